"""The cluster kept up to date from the API server: a thread for each kind, one snapshot of all.

Which pods: this node's (``spec.nodeName``), where it is known which node this is. Pods of
other nodes that stand behind a Service are named by its slices (``targetRef``), and a list
of all pods is most of what a large cluster's API server would have to send to every node.
What stays without a name are clients on other nodes that are behind no Service; those who
want them ask for all pods.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from tracer.clock import rfc3339, wall_ns
from tracer.cluster.api.connection import Connection
from tracer.cluster.api.credentials import Candidate, candidates
from tracer.cluster.api.kinds import KINDS, NODES, PODS, Kind
from tracer.cluster.api.rights import LACKS, refusals
from tracer.cluster.api.store import Store
from tracer.cluster.api.stream import FIRST_DELAY_S, Health, News, Phase, Stream
from tracer.cluster.model import Cluster
from tracer.errors import InputError, UnableError
from tracer.privileges import WHILE_ASKING, limit_thread
from tracer.sources import Problem

SNAPSHOT_S = 0.2
"""A small cluster has a new snapshot this often at most."""
OBJECTS_A_SECOND = 100_000
"""A large one has as many as its objects allow: each costs everyone who reads it."""
FIRST_SNAPSHOT_S = 10.0
"""Without an answer for one kind for this long the others are handed out."""
HEARD_OUT_S = 20.0
LOOK_S = 0.1
NEWS_WAITING = 256
JOIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Choice:
    """How the cluster is to be read."""

    kubeconfig: Path | None = None
    """Given by the user: then it must work."""
    all_pods: bool = False
    called: str = ""
    """What this node may be called: a kubelet may read only its own Node, by name."""
    root: Path = Path("/")
    keeps_rights: bool = False
    """Threads do not give up capabilities: the whole process will, or shall not."""


class ClusterWatch:
    """Hands out a new ``Cluster`` whenever the API tells of a change; see ``StateReader``."""

    def __init__(
        self,
        choice: Choice,
        node_of: Callable[[Cluster], str],
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        """``node_of`` says which node of a cluster this is, from what else is known of it."""
        self._choice, self._node_of, self._first_delay_s = choice, node_of, first_delay_s
        self._stopping = Event()
        self._news: queue.Queue[News | BaseException] = queue.Queue(NEWS_WAITING)
        self._threads: list[Thread] = []
        self._streams: list[Stream] = []
        self._connection: Connection | None = None
        self._failure = ""
        self._store = Store()
        self._latest = Cluster(known=frozenset())
        self._first = Event()
        self._started = self._told = 0.0
        self._pods_of = ""

    @property
    def latest(self) -> Cluster:
        """The last snapshot; any thread may look."""
        return self._latest

    @property
    def connection(self) -> Connection | None:
        """The API server that is followed; None until one has been found."""
        return self._connection

    def open(self) -> bool:
        """Begin; False where there is no configuration at all.

        A configuration that the user named must work now; others are tried in the background.
        """
        found = list(candidates(self._choice.kubeconfig, self._choice.root))
        self._started = time.monotonic()
        if self._choice.kubeconfig is not None:
            self._connection = _asked_for(found[0])
            self._follow(self._connection)
        elif found:
            self._start("cluster-api", partial(self._connect, found))
        return bool(found)

    def first(self, within_s: float) -> Cluster:
        """The first snapshot, if there is one within so many seconds of ``open``.

        A server that answers, and has more to say than it could say by then, is heard out.
        """
        self._first.wait(max(0.0, self._started + within_s - time.monotonic()))
        while self._being_read() and time.monotonic() < self._started + HEARD_OUT_S:
            self._first.wait(LOOK_S)
        return self._latest

    def _being_read(self) -> bool:
        """Whether the first snapshot is still on its way: no kind is in trouble."""
        if self._first.is_set() or self._connection is None or self._stopping.is_set():
            return False
        return all(stream.health.phase is not Phase.FAILING for stream in self._streams)

    def poll(self, timeout: float) -> Cluster | None:
        """A new snapshot, or None when there is none within ``timeout`` seconds."""
        ends_at = time.monotonic() + timeout
        while True:
            left = ends_at - time.monotonic()
            try:
                self._take(self._news.get(timeout=max(left, 0.0)))
                for _ in range(self._news.qsize()):
                    self._take(self._news.get_nowait())
            except queue.Empty:
                pass
            if self._due():
                return self._snapshot()
            if left <= 0:
                return None

    @property
    def heard_ns(self) -> int:
        """When the kind that has been silent longest was heard of, wall clock; 0 not yet."""
        return _heard([stream.health for stream in self._streams])

    def problems(self) -> list[Problem]:
        """What is missing or old, kind by kind, and why."""
        if self._connection is None:
            return [Problem("no names", self._failure)] if self._failure else []
        host = self._connection.host
        failing: dict[str, list[Stream]] = {}
        for stream in self._streams:
            if stream.health.phase in (Phase.FAILING, Phase.FORBIDDEN):
                failing.setdefault(stream.health.why, []).append(stream)
        return [_problem(host, why, streams) for why, streams in failing.items()]

    def close(self) -> None:
        """Stop all threads; safe to call twice."""
        self._stopping.set()
        for stream in self._streams:
            stream.interrupt()
        ends_at = time.monotonic() + JOIN_S
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < ends_at:
            try:  # a full queue holds its writers
                self._news.get(timeout=0.01)
            except queue.Empty:
                continue
        if self._connection is not None:
            self._connection.close()

    def _connect(self, found: list[Candidate]) -> None:
        """Take the configuration that may read most."""
        best: tuple[int, Connection] | None = None
        failures = []
        for candidate in found:
            if self._stopping.is_set():
                return
            try:
                connection = Connection(candidate)
            except InputError as error:
                failures.append(f"{candidate.label}: {error.why}")
                continue
            refused = refusals(connection)
            granted = sum(not refusal for refusal in refused.values())
            unreachable = any(error.status == 0 for error in refused.values() if error)
            if best is None or granted + unreachable > best[0]:
                best = granted + unreachable, connection
            if granted == len(refused):
                break
        if best is None:
            self._failure = "; ".join(failures)
        else:
            self._follow(best[1])

    def _follow(self, connection: Connection) -> None:
        self._connection = connection
        mine = f"metadata.name={self._choice.called}"
        for kind in KINDS:
            if kind is NODES:
                self._stream(kind, ("", mine) if self._choice.called else ("",))
            elif kind is not PODS:
                self._stream(kind, ("",))

    def _stream(self, kind: Kind, selectors: tuple[str, ...]) -> None:
        assert self._connection is not None
        stream = Stream(
            kind, self._connection, self._put, self._stopping, selectors, self._first_delay_s
        )
        self._streams.append(stream)
        self._start(f"watch-{kind.name}", stream.run)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        # A daemon: one that waits for a server which never answers does not hold the exit.
        thread = Thread(target=self._guarded, args=(work,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Whatever goes wrong in a thread is handed to the one that polls.

        It talks to a server: it gives up the rights that only tracing needs.
        """
        try:
            if not self._choice.keeps_rights:
                limit_thread(WHILE_ASKING)
            work()
        except BaseException as error:
            self._put(error)

    def _put(self, item: News | BaseException) -> None:
        while not self._stopping.is_set():
            try:
                self._news.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def _take(self, item: News | BaseException) -> None:
        if isinstance(item, BaseException):
            raise item
        self._store.take(item)

    def _due(self) -> bool:
        """Whether there is something to tell, and it is time to."""
        if self._streams and not any(stream.kind is PODS for stream in self._streams):
            self._choose_pods()
        now = time.monotonic()
        pause = max(SNAPSHOT_S, self._store.objects / OBJECTS_A_SECOND)
        if not self._store.dirty or now < self._told + pause:
            return False
        return bool(self._told) or self._settled() or now > self._started + FIRST_SNAPSHOT_S

    def _settled(self) -> bool:
        return len(self._streams) == len(KINDS) and all(map(self._answered, self._streams))

    def _answered(self, stream: Stream) -> bool:
        """Whether a kind has been read, or may not be; its list may still be on its way here."""
        refused = stream.health.phase is Phase.FORBIDDEN and not stream.health.listed
        return refused or stream.kind.part in self._store.known

    def _choose_pods(self) -> None:
        """Ask for pods, once it is clear which node this is, or that it cannot be known."""
        nodes = next((stream for stream in self._streams if stream.kind is NODES), None)
        late = time.monotonic() > self._started + FIRST_SNAPSHOT_S
        if nodes is None or not (self._answered(nodes) or late):
            return
        name = self._node_of(self._store.nodes_only())
        mine = f"spec.nodeName={name}"
        if self._choice.all_pods or not name:
            self._stream(PODS, ("", mine) if name else ("",))
        else:
            self._pods_of = name
            self._stream(PODS, (mine,))

    def _snapshot(self) -> Cluster:
        self._told = time.monotonic()
        partly = {stream.kind.part for stream in self._streams if stream.selector}
        self._latest = self._store.snapshot(wall_ns(), self._pods_of, partly - {PODS.part})
        self._first.set()
        return self._latest


def _asked_for(candidate: Candidate) -> Connection:
    """The connection a user asked for; InputError or UnableError where it does not work."""
    connection = Connection(candidate)
    refused = refusals(connection)
    first = next((error for error in refused.values() if error is not None), None)
    if first is not None and all(refused.values()):
        connection.close()
        raise UnableError(
            f"The API server at {connection.host} gives nothing to {candidate.label}.",
            str(first),
            "Check with kubectl --kubeconfig, or leave --kubeconfig out.",
        )
    return connection


def _problem(host: str, why: str, streams: list[Stream]) -> Problem:
    kinds = ", ".join(stream.kind.name for stream in streams)
    healths = [stream.health for stream in streams]
    if all(health.phase is Phase.FORBIDDEN for health in healths):
        lacks = "; ".join(LACKS[stream.kind.name] for stream in streams)
        return Problem(f"may not read {kinds}", f"{why}; missing: {lacks}", "deploy/rbac.yaml")
    return Problem(f"{kinds} not heard of from {host}", f"{why}{_age(healths)}")


def _age(healths: list[Health]) -> str:
    """How old the oldest of what is still shown is."""
    heard = _heard(healths)
    if not heard:
        return ""
    seconds = (wall_ns() - heard) // 1_000_000_000
    return f"; what is shown is of {rfc3339(heard)[:19]}Z, {seconds} s old"


def _heard(healths: list[Health]) -> int:
    return min((health.heard_ns for health in healths if health.listed), default=0)
