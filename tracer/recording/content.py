"""All inputs of a run in their order: into blocks, and out of blocks again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tracer.capture_file import CaptureWriter
from tracer.cluster.model import Cluster
from tracer.errors import InputError
from tracer.events import EventBatch, no_records
from tracer.node.model import NodeState
from tracer.recording import batches, header
from tracer.recording.batches import StoredBatch
from tracer.recording.envelope import Kind, Unwrapper, wrapped
from tracer.recording.header import Header
from tracer.recording.states import (
    StateAt,
    decode_cluster,
    decode_node,
    encode_cluster,
    encode_node,
)

__all__ = ["ContentReader", "ContentWriter", "StateAt"]

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What decoding raises on a payload that is not what it should be."""
_NAMES_AT_ONCE = 4096


class ContentWriter:
    """Writes the inputs of a run to one file; times that bring nothing are gathered."""

    def __init__(self, capture: CaptureWriter, facts: Header) -> None:
        self._capture = capture
        self._ticks: list[EventBatch] = []
        self._node: NodeState | None = None
        self._cluster: Cluster | None = None
        self._named: dict[bytes, str] = {}
        self._put(Kind.HEADER, facts.encoded())

    def batch(
        self,
        batch: EventBatch,
        comments: Mapping[int, str] | None = None,
        restated: bool = False,
    ) -> None:
        """Append a batch; ``comments`` by row number, on packets only."""
        if batches.is_tick(batch) and not restated:
            self._ticks.append(batch)
            return
        self.flush()
        self._capture.write(batch, comments)
        self._put(Kind.BATCH, batches.encode(batch, restated))

    def node(self, node: NodeState, at_ns: int) -> None:
        """Append what the node's kernel holds from now on."""
        self.flush()
        self._put(Kind.NODE, encode_node(node, at_ns, self._node))
        self._capture.know(node.interfaces)
        self._node = node

    def cluster(self, cluster: Cluster, at_ns: int) -> None:
        """Append what Kubernetes says from now on."""
        self.flush()
        self._put(Kind.CLUSTER, encode_cluster(cluster, at_ns, self._cluster))
        self._cluster = cluster

    def journal(self, lines: Iterable[tuple[int, str]]) -> None:
        """Append lines (time, words) for readers to show."""
        for time_ns, line in lines:
            self._capture.journal(time_ns, line)

    def know(self, interfaces: Mapping[int, str]) -> None:
        """Names for interfaces that are described from now on."""
        self._capture.know(interfaces)

    def names(self, names: Mapping[bytes, str]) -> None:
        """Append names that readers are to show, as far as they are new."""
        new = [(ip, name) for ip, name in names.items() if self._named.get(ip) != name]
        for first in range(0, len(new), _NAMES_AT_ONCE):
            self._capture.names(dict(new[first : first + _NAMES_AT_ONCE]))
        self._named.update(new)

    def flush(self) -> None:
        """Append the times gathered."""
        if self._ticks:
            ticks, self._ticks = self._ticks, []
            self._put(Kind.TICKS, batches.encode_ticks(ticks))

    def _put(self, kind: Kind, payload: bytes) -> None:
        for body in wrapped(kind, payload):
            self._capture.local(body)


class ContentReader:
    """Turns the bodies of local blocks into inputs; what is damaged is counted."""

    def __init__(self, name: str) -> None:
        self.header: Header | None = None
        self._name = name
        self._unwrapper = Unwrapper()
        self._damaged = 0
        self._node, self._cluster = NodeState(), Cluster()

    @property
    def damaged(self) -> int:
        """Blocks so far that could not be read."""
        return self._damaged + self._unwrapper.damaged

    def take(self, body: bytes) -> Iterator[StoredBatch | StateAt]:
        """Inputs that a block completes; InputError if a newer viptrace wrote the file."""
        whole = self._unwrapper.take(body)
        if whole is None:
            return
        kind, payload = whole
        if kind == Kind.HEADER:
            self.header = header.decoded(payload, self._name)
            self._node, self._cluster = NodeState(), Cluster()
            return
        try:
            yield from self._decoded(kind, payload)
        except (*_DAMAGE, InputError):
            self._damaged += 1

    def _decoded(self, kind: int, payload: bytes) -> list[StoredBatch | StateAt]:
        layout = (self.header or Header()).event
        if kind == Kind.BATCH:
            return [batches.decode(payload, layout)]
        if kind == Kind.TICKS:
            ticks = batches.decode_ticks(payload)
            return [StoredBatch(EventBatch(no_records(), o, until), False) for until, o in ticks]
        if kind == Kind.NODE:
            found = decode_node(payload, self._node)
            self._node = found.state if isinstance(found.state, NodeState) else self._node
            return [found]
        if kind == Kind.CLUSTER:
            found = decode_cluster(payload, self._cluster)
            self._cluster = found.state if isinstance(found.state, Cluster) else self._cluster
            return [found]
        return []
