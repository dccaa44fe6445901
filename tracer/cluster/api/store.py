"""News of four kinds -> snapshots of the cluster, with what changed and when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain

from tracer.cluster import objects
from tracer.cluster.api.kinds import KINDS, Key, Kind, Value
from tracer.cluster.api.owners import Owners
from tracer.cluster.api.stream import Changed, News
from tracer.cluster.model import (
    Cluster,
    ClusterChange,
    Endpoint,
    Node,
    Pod,
    Service,
    Turn,
    endpoint_key,
    usable,
)
from tracer.cluster.objects import EndpointSet

HISTORY = 16384
"""Changes that are kept."""
NOTES = 1000
"""Objects that could not be read whole, of which the notes are kept."""


class Store:
    """The latest objects; owned by one thread. A slice changes only what its Service has."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Key, Value]] = {kind.name: {} for kind in KINDS}
        self._slices: dict[str, dict[Key, EndpointSet]] = {}
        """Slices of each Service."""
        self._grouped: dict[str, tuple[Endpoint, ...]] = {}
        self._notes: dict[str, dict[Key, tuple[str, ...]]] = {kind.name: {} for kind in KINDS}
        self._changes: deque[ClusterChange] = deque(maxlen=HISTORY)
        self._owners = Owners(HISTORY)
        self._node_addresses: frozenset[bytes] = frozenset()
        self._known: set[str] = set()
        self._dirty: set[str] = set()
        self._last = Cluster(known=frozenset())

    @property
    def dirty(self) -> bool:
        """Whether a snapshot would differ from the last one."""
        return bool(self._dirty)

    @property
    def objects(self) -> int:
        """How many there are: what a snapshot costs."""
        return sum(map(len, self._values.values())) + len(self._last.endpoints)

    @property
    def known(self) -> frozenset[str]:
        """Fields of ``Cluster`` that were read."""
        return frozenset(self._known)

    def nodes_only(self) -> Cluster:
        """The nodes, before there is a whole snapshot."""
        nodes = self._values["nodes"].values()
        return Cluster(nodes=tuple(node for node in nodes if isinstance(node, Node)))

    def take(self, news: News) -> None:
        """Apply news; the first list of a kind is where its history begins."""
        if isinstance(news, Changed):
            self._note(news.kind, [(one.key, one.notes) for one in news.readings])
            pairs = [(one.key, one.value) for one in news.readings]
            self._apply(news.kind, pairs, news.at_ns)
            return
        before = self._values[news.kind.name]
        lost = [key for key in before if key not in news.values]
        gone: list[tuple[Key, Value | None]] = [(key, None) for key in lost]
        self._notes[news.kind.name] = {}
        self._note(news.kind, news.notes.items())
        self._apply(news.kind, [*gone, *news.values.items()], news.at_ns)
        self._known.add(news.kind.part)
        self._dirty |= {"known", news.kind.part}

    def snapshot(
        self, at_ns: int, pods_of: str = "", partly: AbstractSet[str] = frozenset()
    ) -> Cluster:
        """All as it is now.

        ``pods_of`` is the node whose pods are read, empty for all nodes; ``partly`` are
        other parts that are not read whole, and so are not called known.
        """
        parts: dict[str, object] = {"at_ns": at_ns, "pods_of": pods_of}
        grouped = None
        for kind in KINDS:
            if kind.part in self._dirty and kind.part != "endpoints":
                parts[kind.part] = tuple(self._values[kind.name].values())
        if "endpoints" in self._dirty:
            grouped = dict(self._grouped)
            parts["endpoints"] = tuple(chain.from_iterable(grouped.values()))
        if "known" in self._dirty:
            parts["known"] = frozenset(self._known - partly)
        if "changes" in self._dirty:
            parts["changes"] = tuple(self._changes)
        parts["unparsed"] = tuple(self._unparsed())
        parts["handovers"] = self._owners.handovers()
        self._dirty = set()
        self._last = self._last.successor(grouped, **parts)
        return self._last

    def _apply(self, kind: Kind, pairs: Iterable[tuple[Key, Value | None]], at_ns: int) -> None:
        values, fresh = self._values[kind.name], kind.part not in self._known
        for key, value in pairs:
            before = values.get(key)
            if value == before:
                continue
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
            self._dirty.add(kind.part)
            if isinstance(before, EndpointSet) or isinstance(value, EndpointSet):
                self._slice_changed(key, before, value, at_ns, fresh)
            elif isinstance(before, Pod) or isinstance(value, Pod):
                self._pod_changed(before, value, at_ns)
            elif isinstance(value, Node):
                self._node_addresses |= frozenset(value.addresses)
            elif not fresh and (isinstance(before, Service) or isinstance(value, Service)):
                self._service_changed(key, before, value, at_ns)

    def _service_changed(
        self, key: Key, before: Value | None, after: Value | None, at_ns: int
    ) -> None:
        turn = Turn.CHANGED if before and after else Turn.ADDED if after else Turn.REMOVED
        self._remember(ClusterChange(at_ns, turn, f"{key[0]}/{key[1]}"))

    def _pod_changed(self, before: Value | None, after: Value | None, at_ns: int) -> None:
        had = _own_addresses(before)
        has = _own_addresses(after)
        for ip in has:
            assert isinstance(after, Pod)
            self._owners.claim(ip, after.key, at_ns)
        for ip in had:
            if ip not in has:
                assert isinstance(before, Pod)
                self._owners.release(ip, before.key, at_ns)

    def _slice_changed(
        self, key: Key, before: Value | None, after: Value | None, at_ns: int, fresh: bool
    ) -> None:
        for value in (before, after):
            if isinstance(value, EndpointSet):
                self._slices.setdefault(value.service, {}).pop(key, None)
        if isinstance(after, EndpointSet):
            self._slices[after.service][key] = after
        services = {one.service for one in (before, after) if isinstance(one, EndpointSet)}
        for service in sorted(services):
            self._regroup(service, at_ns, fresh)

    def _regroup(self, service: str, at_ns: int, fresh: bool) -> None:
        """Make the endpoints of a Service anew from its slices."""
        slices = self._slices[service]
        before = self._grouped.pop(service, ())
        after = tuple(objects.merged(slices.values()))
        if after:
            self._grouped[service] = after
        if not slices:
            del self._slices[service]
        if fresh:
            self._claim(after, at_ns)
            return
        had = {endpoint_key(one): one for one in _used(before)}
        has = {endpoint_key(one): one for one in _used(after)}
        joined = [one for key, one in has.items() if key not in had]
        for one in joined:
            self._remember(ClusterChange(at_ns, Turn.JOINED, service, one))
        self._claim(joined, at_ns)
        for key, one in had.items():
            if key not in has:
                self._remember(ClusterChange(at_ns, Turn.LEFT, service, one))
                if one.pod and one.ip not in self._node_addresses:
                    self._owners.release(one.ip, one.pod, at_ns)

    def _claim(self, endpoints: Iterable[Endpoint], at_ns: int) -> None:
        """Pods of other nodes are known by the slices that name them; hostNetwork is no owner."""
        for one in endpoints:
            if one.pod and one.ip not in self._node_addresses:
                self._owners.claim(one.ip, one.pod, at_ns)

    def _remember(self, change: ClusterChange) -> None:
        self._changes.append(change)
        self._dirty.add("changes")

    def _note(self, kind: Kind, pairs: Iterable[tuple[Key, tuple[str, ...]]]) -> None:
        kept = self._notes[kind.name]
        for key, notes in pairs:
            if kept.pop(key, ()) != notes:
                self._dirty.add("unparsed")
            if notes and len(kept) < NOTES:
                kept[key] = notes

    def _unparsed(self) -> Iterator[str]:
        for kept in self._notes.values():
            yield from chain.from_iterable(kept.values())


def _own_addresses(value: Value | None) -> tuple[bytes, ...]:
    """Addresses that name this pod and no other."""
    if isinstance(value, Pod) and not value.host_network and not value.finished:
        return value.ips
    return ()


def _used(endpoints: Iterable[Endpoint]) -> Iterator[Endpoint]:
    """The endpoints kube-proxy would use, port by port."""
    by_port: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        by_port.setdefault(endpoint.port_name, []).append(endpoint)
    for group in by_port.values():
        yield from usable(group)
