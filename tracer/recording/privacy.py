"""What a recording may say: packets shortened, and for strangers nothing that names anybody."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracer.cells import Naming
from tracer.cluster.model import Cluster, ServiceKind
from tracer.enrich import ServiceHit
from tracer.events import EventBatch, EventRows, Hook, PacketBytes, Records, as_rows
from tracer.node.model import NodeState
from tracer.packets import Spans
from tracer.recording.addresses import AddressMap
from tracer.recording.headers import extent, hide
from tracer.recording.pseudonyms import Pseudonyms, hidden_cluster, hidden_lines

QUOTED_BYTES = 128
"""Of the packet in an ICMP error: its headers, whatever extensions it has."""
_ADDRESSES = ("src", "dst", "nat_src", "nat_dst")
_FLOW_ADDRESSES = ("client", "virtual", "source", "backend")
_INTERFACE_SYSCTL = re.compile(r"(net\.ipv[46]\.(?:conf|neigh)\.)(.+)(\.\w+)")
_KEPT_CONF = {"all", "default"}


class Privacy:
    """Everything as it is."""

    anonymizes = False

    def batch(self, batch: EventBatch) -> EventBatch:
        """A batch as it may be seen."""
        return batch

    def node(self, node: NodeState) -> NodeState:
        """A node's state as it may be seen."""
        return node

    def cluster(self, cluster: Cluster) -> Cluster:
        """A cluster as it may be seen."""
        return cluster

    def name(self, name: str) -> str:
        """The name of a node as it may be seen."""
        return name

    def shown(
        self, flows: npt.NDArray[np.void], naming: Naming
    ) -> tuple[npt.NDArray[np.void], Naming]:
        """Rows of dtype ``FLOW``, and their names, as they may be seen."""
        return flows, naming


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of each packet stays."""

    snap: int = 0
    """Bytes from its beginning; 0 all."""
    payload: int = -1
    """Bytes behind its headers; -1 all."""

    def shortened(self, packets: PacketBytes) -> PacketBytes:
        """The same packets; the length on the wire stays."""
        spans = Spans.of(packets)
        lengths = spans.lengths
        if self.snap:
            lengths = np.minimum(lengths, self.snap)
        if self.payload >= 0:
            headers = extent(packets, spans, packets.data)
            quoted = np.where(headers.quotes, QUOTED_BYTES, self.payload)
            kept = headers.ends - spans.starts + quoted
            lengths = np.where(headers.valid, np.minimum(lengths, kept), lengths)
        if bool((lengths == spans.lengths).all()):
            return packets
        return replace(spans, lengths=lengths).packed()


class Shortened(Privacy):
    """Packets cut, everything else as it is."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut

    def batch(self, batch: EventBatch) -> EventBatch:
        """The batch with its packets cut."""
        if batch.packets is None or not len(batch.records):
            return batch
        return replace(batch, packets=self._cut.shortened(batch.packets))


class Anonymized(Shortened):
    """For strangers: addresses and names replaced, payload wiped; the key is never stored."""

    anonymizes = True

    def __init__(self, cut: Cut, key: bytes | None = None) -> None:
        super().__init__(cut)
        key = key or secrets.token_bytes(32)
        self._addresses = AddressMap(key)
        self._names = Pseudonyms(key)
        self._mask = np.uint64(int.from_bytes(key[:8], "little"))
        self._factor = np.uint64(int.from_bytes(key[8:16], "little") | 1)

    def batch(self, batch: EventBatch) -> EventBatch:
        """The batch with nothing in it that names anybody."""
        batch = super().batch(batch)
        packets = batch.packets
        return replace(
            batch,
            records=self._records(batch.records),
            texts=self._texts(batch),
            interfaces={n: self._names.interface(name) for n, name in batch.interfaces.items()},
            packets=None if packets is None else self._packets(packets),
        )

    def node(self, node: NodeState) -> NodeState:
        """What is understood well enough to hide it; rules and routes are left out."""
        shown = NodeState(
            addresses=tuple(
                replace(
                    each,
                    interface=self._names.interface(each.interface),
                    ip=self._addresses.packed(each.ip),
                )
                for each in node.addresses
            ),
            interfaces={n: self._names.interface(name) for n, name in node.interfaces.items()},
            virtual_servers=tuple(
                replace(
                    server,
                    ip=self._addresses.packed(server.ip),
                    backends=tuple((self._addresses.packed(b[0]), *b[1:]) for b in server.backends),
                )
                for server in node.virtual_servers
            ),
            sysctls={self._sysctl(name): value for name, value in node.sysctls.items()},
            proxy_mode=node.proxy_mode,
            node_name=self._names.node(node.node_name),
            health_answers=tuple(
                replace(
                    answer,
                    service=self._names.key("service", answer.service),
                    ip=self._addresses.packed(answer.ip) if answer.ip else b"",
                )
                for answer in node.health_answers
            ),
            netns=node.netns,
            at_ns=node.at_ns,
            unparsed=hidden_lines(node.unparsed),
        )
        told = {"addresses", "interfaces", "virtual_servers", "sysctls", "proxy_mode"}
        return replace(shown, known=node.known & (told | {"node_name", "netns"}))

    def cluster(self, cluster: Cluster) -> Cluster:
        """The same cluster under other names and addresses."""
        return hidden_cluster(cluster, self._names, self._addresses)

    def name(self, name: str) -> str:
        """What stands for the name of a node."""
        return self._names.node(name)

    def shown(
        self, flows: npt.NDArray[np.void], naming: Naming
    ) -> tuple[npt.NDArray[np.void], Naming]:
        """Copies of the rows with other addresses, and names that stand for theirs."""
        hidden = flows.copy()
        for field in _FLOW_ADDRESSES:
            hidden[field] = self._addresses.column(flows[field])

        def hit(number: int) -> ServiceHit | None:
            found = naming.hit(number)
            if found is None:
                return None
            kind = "pod" if found.kind == ServiceKind.HOST_PORT else "service"
            key = self._names.key(kind, f"{found.namespace}/{found.name}")
            namespace, _, name = key.partition("/")
            return ServiceHit(namespace, name, self._names.port(found.port_name), found.kind)

        def name(number: int) -> str:
            return self._names.owner(naming.name(number))

        return hidden, replace(naming, hit=hit, name=name, tunnel=lambda _: None)

    def _records(self, records: Records) -> EventRows:
        hidden = as_rows(records).copy()
        for field in _ADDRESSES:
            hidden[field] = self._addresses.column(records[field])
        # Kernel addresses tell where this kernel lies in memory: only their equality stays.
        known = records["cookie"] != 0
        mixed = (records["cookie"] ^ self._mask) * self._factor
        mixed ^= mixed >> np.uint64(32)
        hidden["cookie"] = np.where(known, mixed * self._factor, np.uint64(0))
        return hidden

    def _texts(self, batch: EventBatch) -> dict[int, str]:
        """Names of tables and chains hold those of Services; all others are the kernel's."""
        tables = batch.records["hook"] == Hook.TABLE
        labels = set(np.unique(batch.records["detail"][tables]).tolist())
        return {
            number: self._names.made("table", text) if number in labels else self._names.text(text)
            for number, text in batch.texts.items()
        }

    def _packets(self, packets: PacketBytes) -> PacketBytes:
        hidden = replace(packets, data=packets.data.copy())
        hide(hidden.data, hidden, Spans.of(hidden), self._addresses)
        return hidden

    def _sysctl(self, name: str) -> str:
        found = _INTERFACE_SYSCTL.fullmatch(name)
        if found is None or found[2] in _KEPT_CONF:
            return name
        return f"{found[1]}{self._names.interface(found[2])}{found[3]}"
