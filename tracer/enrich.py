"""Names for numbers: which Service, pod and node the addresses of flows belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tracer.address import AddressColumn, as_prefix, cut, is_ipv4, routable
from tracer.cluster.host_ports import bound, taken_on
from tracer.cluster.lookup import KeyTable, Numbers, rest, rest_of
from tracer.cluster.model import (
    Cluster,
    Handover,
    Node,
    Pod,
    Service,
    ServiceKind,
    ServicePort,
)
from tracer.flow import Flows, Rows
from tracer.names import Names
from tracer.node.model import NodeState

Entries = dict[tuple[bytes, int], int]
"""(16 packed bytes, port and protocol) -> number."""
Made = TypeVar("Made")
_FORMER_OWNERS = 4
"""Owners that are remembered of one address, before the present one."""
_IPV4, _IPV6 = bytes(16), b"\1" + bytes(15)
"""Stand-ins for an address where only its family matters."""


@dataclass(frozen=True, slots=True)
class ServiceHit:
    """One way to reach a Service: its port and the kind of address used.

    For a host port it is the pod that is reached: then these are the pod's names.
    """

    namespace: str
    name: str
    port_name: str
    kind: ServiceKind

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class Enricher:
    """Joins flow rows with a cluster, by column; numbers once given keep their meaning."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._hits: list[ServiceHit] = []
        self._hit_numbers: dict[ServiceHit, int] = {}
        self._cluster = Cluster()
        self._node = NodeState()
        self._made: dict[str, tuple[tuple[object, ...], Any]] = {}
        """What each look-up table was made from, and the table."""
        self._build()

    def set_cluster(self, cluster: Cluster, node: NodeState | None = None) -> None:
        """Name by this cluster from now on; without a node state the last one stays."""
        node = self._node if node is None else node
        same_node = (node.addresses, node.node_name) == (self._node.addresses, self._node.node_name)
        changed = cluster is not self._cluster or not same_node
        self._cluster, self._node = cluster, node
        if changed:
            self._build()

    def annotate(self, flows: Flows, rows: Rows) -> None:
        """Write service, names and generation into these rows of an array of dtype ``FLOW``."""
        protocols = flows["protocol"][rows]
        flows["service"][rows] = self.services_of(
            flows["virtual"][rows], flows["virtual_port"][rows], protocols
        )
        times = flows["last_ns"][rows]
        client, backend = flows["client"][rows], flows["backend"][rows]
        backends = self.backends_of(backend, flows["backend_port"][rows], protocols)
        flows["client_name"][rows] = self._then(self.names_of(client), client, times)
        flows["backend_name"][rows] = self._then(backends, backend, times)
        flows["generation"][rows] = self._cluster.generation

    def services_of(
        self,
        addresses: AddressColumn,
        ports: npt.NDArray[np.uint16],
        protocols: npt.NDArray[np.uint8],
    ) -> Numbers:
        """Service number of each destination, -1 where it is none; ports in native order.

        As in kube-proxy's chains: the addresses of Services come first, then node
        ports on the addresses of nodes, then what the CNI's port mapping would take.
        """
        keys = rest(ports, protocols)
        found = self._direct.find(addresses, keys)
        left = np.flatnonzero(found < 0)
        family = self._node_addresses.find(addresses[left], np.zeros(left.size, np.uint64))
        on_nodes, family = left[family >= 0], family[family >= 0]
        stand_ins = np.zeros((on_nodes.size, 2), dtype=np.uint64)
        stand_ins[:, 0] = family
        found[on_nodes] = self._node_ports.find(stand_ins, keys[on_nodes])
        left = left[found[left] < 0]
        found[left] = self._host_ports.find(addresses[left], keys[left])
        return found

    def names_of(self, addresses: AddressColumn) -> Numbers:
        """Names number of the pod or node that owns each address, 0 where none is known.

        Where nobody does, the pod that a slice names, or that had the address last.
        """
        found = self._owners.find(addresses, np.zeros(len(addresses), dtype=np.uint64))
        for table in (self._sliced, self._last_owners):
            left = np.flatnonzero(found < 0)
            if left.size:
                found[left] = table.find(addresses[left], np.zeros(left.size, dtype=np.uint64))
        return np.maximum(found, 0)

    def _then(
        self, names: Numbers, addresses: AddressColumn, times: npt.NDArray[np.int64]
    ) -> Numbers:
        """The names as they were: an address names the pod that had it at that time."""
        for former in self._former:
            at = former.table.find(addresses, np.zeros(len(addresses), dtype=np.uint64))
            earlier = (at >= 0) & (times < former.until_ns[at])
            names[earlier] = former.names[at[earlier]]
        return names

    def backends_of(
        self,
        addresses: AddressColumn,
        ports: npt.NDArray[np.uint16],
        protocols: npt.NDArray[np.uint8],
    ) -> Numbers:
        """As ``names_of``, but knows which hostNetwork pod listens on a node's port."""
        found = self._listeners.find(addresses, rest(ports, protocols))
        left = np.flatnonzero(found < 0)
        found[left] = self.names_of(addresses[left])
        return found

    def hit(self, number: int) -> ServiceHit | None:
        """What a service number means; None for -1."""
        return self._hits[number] if 0 <= number < len(self._hits) else None

    def name(self, number: int) -> str:
        """What a names number means; empty for 0."""
        return self.names.text(number)

    def watched_prefixes(self) -> list[tuple[bytes, int]]:
        """Every address whose traffic concerns the cluster, as (16 bytes, bits of 128)."""
        ranges = {
            prefix for node in self._cluster.nodes for prefix in map(as_prefix, node.pod_cidrs)
        }
        wide = {prefix for prefix in ranges if prefix is not None}
        lengths = sorted({bits for _, bits in wide})
        single = {ip for ip in self._addresses() if not any(cut(ip, b) in wide for b in lengths)}
        return sorted(wide | {(ip, 128) for ip in single})

    def _addresses(self) -> Iterator[bytes]:
        """Addresses of Services, endpoints, pods and nodes, and what IPVS holds."""
        for service in self._cluster.services:
            yield from (ip for _, ip in _service_addresses(service))
        yield from (endpoint.ip for endpoint in self._cluster.endpoints)
        for pod in self._cluster.pods:
            yield from pod.ips
            yield from (port.ip for port in pod.host_ports if bound(port) and routable(port.ip))
        yield from (ip for node in self._cluster.nodes for ip in node.addresses)
        yield from filter(routable, self._node.local_addresses | self._node.ipvs_addresses)
        yield from (server.ip for server in self._node.virtual_servers)

    def _build(self) -> None:
        """Make the look-up tables anew whose sources changed; of two equal keys the first counts.

        Sources are compared as values are handed on: parts that did not change are the same object.
        """
        cluster, local = self._cluster, self._node.local_addresses
        services = cluster.services
        self._direct = self._table("direct", (services,), self._service_entries)
        self._node_ports = self._table("node ports", (services,), self._node_port_entries)
        where = (cluster.pods, cluster.nodes, local, self._node.node_name)
        self._host_ports = self._table("host ports", where, self._host_port_entries)
        places = (cluster.nodes, local)
        self._node_addresses = self._table("nodes", places, self._node_address_entries)
        self._owners = self._table("owners", where, self._owner_entries)
        behind = (cluster.endpoints, cluster.pods, cluster.nodes, local)
        self._sliced = self._table("slices", behind, self._sliced_entries)
        self._listeners = self._table("listeners", behind, self._listener_entries)
        held = (cluster.handovers, cluster.nodes)
        self._last_owners = self._table("last owners", held, self._last_owner_entries)
        self._former = self._kept("former", held, self._former_owners)

    def _table(
        self, name: str, sources: tuple[object, ...], entries: Callable[[], Entries]
    ) -> KeyTable:
        return self._kept(name, sources, lambda: KeyTable(entries()))

    def _kept(self, name: str, sources: tuple[object, ...], make: Callable[[], Made]) -> Made:
        before = self._made.get(name)
        if before is None or not all(map(_same, before[0], sources)):
            before = self._made[name] = sources, make()
        made: Made = before[1]
        return made

    def _number(self, namespace: str, name: str, port_name: str, kind: ServiceKind) -> int:
        hit = ServiceHit(namespace, name, port_name, kind)
        number = self._hit_numbers.setdefault(hit, len(self._hits))
        if number == len(self._hits):
            self._hits.append(hit)
        return number

    def _services(self) -> list[Service]:
        return sorted(self._cluster.services, key=lambda service: service.key)

    def _service_entries(self) -> Entries:
        found: Entries = {}
        services = self._services()
        for wanted in (ServiceKind.CLUSTER_IP, ServiceKind.EXTERNAL_IP, ServiceKind.LOAD_BALANCER):
            for service in services:
                ips = [ip for kind, ip in _service_addresses(service) if kind == wanted]
                for port in service.ports if ips else ():
                    number = self._number(service.namespace, service.name, port.name, wanted)
                    for ip in ips:
                        found.setdefault((ip, rest_of(port.port, port.protocol)), number)
        return found

    def _node_port_entries(self) -> Entries:
        """Node ports by family: they hold on every node, so addresses would only multiply them."""
        found: Entries = {}
        for service in self._services():
            for port in _node_ports(service):
                number = self._number(
                    service.namespace, service.name, port.name, ServiceKind.NODE_PORT
                )
                for family in _families(service):
                    key = family, rest_of(port.node_port, port.protocol)
                    found.setdefault(key, number)
        return found

    def _host_port_entries(self) -> Entries:
        """Ports taken on one address come before those that are taken on all."""
        found: Entries = {}
        nodes = {node.name: node for node in self._cluster.nodes}
        taken = [(port, pod) for pod in self._cluster.pods for port in pod.host_ports
                 if not pod.host_network and not pod.finished]  # fmt: skip
        for port, pod in sorted(taken, key=lambda pair: not bound(pair[0])):
            number = self._number(pod.namespace, pod.name, "", ServiceKind.HOST_PORT)
            families = set(map(is_ipv4, pod.ips)) or {True, False}
            for ip in taken_on(port, self._addresses_of_node(pod.node, nodes)):
                if is_ipv4(ip) in families and self._means(ip, pod):
                    found.setdefault((ip, rest_of(port.port, port.protocol)), number)
        return found

    def _means(self, ip: bytes, pod: Pod) -> bool:
        """Whether that address, asked for here, is the pod's node: loopback is everybody's own."""
        return routable(ip) or pod.node == self._node.node_name

    def _addresses_of_node(self, name: str, nodes: dict[str, Node]) -> set[bytes]:
        known = set(nodes[name].addresses) if name in nodes else set()
        return known | self._node.local_addresses if name == self._node.node_name else known

    def _owner_entries(self) -> Entries:
        """Pods with addresses of their own, nodes, and this node's addresses on any interface."""
        found: Entries = {}
        for ip, pod in self._cluster.read_pod_by_address.items():
            found[ip, 0] = self.names.number(pod.key)
        for node in self._cluster.nodes:
            for ip in node.addresses:
                found.setdefault((ip, 0), self.names.number(node.name))
        if self._node.node_name:
            for ip in filter(routable, sorted(self._node.local_addresses)):
                found.setdefault((ip, 0), self.names.number(self._node.node_name))
        return found

    def _node_address_entries(self) -> Entries:
        return {(ip, 0): 0 if is_ipv4(ip) else 1 for ip in sorted(self._machines())}

    def _machines(self) -> set[bytes]:
        """Addresses that several pods share: the nodes'."""
        return self._cluster.node_by_address.keys() | self._node.local_addresses

    def _sliced_entries(self) -> Entries:
        """Pods that only slices name: those of other nodes, where only this node's are read."""
        if not self._cluster.nodes:
            return {}  # any of them may stand for a node, where the port matters
        known = self._cluster.read_pod_by_address.keys() | self._machines()
        number = self.names.number
        return {
            (endpoint.ip, 0): number(endpoint.pod)
            for endpoint in self._cluster.endpoints
            if endpoint.pod and endpoint.ip not in known
        }

    def _listener_entries(self) -> Entries:
        """Endpoints on nodes' addresses that name their pod; then ports of hostNetwork pods."""
        found: Entries = {}
        anywhere, machines = not self._cluster.nodes, self._machines()
        here = [e for e in self._cluster.endpoints if e.pod and (anywhere or e.ip in machines)]
        for endpoint in sorted(here, key=lambda endpoint: not endpoint.ready):
            key = endpoint.ip, rest_of(endpoint.port, endpoint.protocol)
            found.setdefault(key, self.names.number(endpoint.pod))
        for pod in self._cluster.pods:
            for place in _declared_listeners(pod):
                if self._means(place[0], pod):
                    found.setdefault(place, self.names.number(pod.key))
        return found

    def _last_owner_entries(self) -> Entries:
        """Addresses that nobody has taken since their pod went."""
        return {
            (handover.ip, 0): self.names.number(handover.before)
            for handover in self._cluster.handovers
            if not handover.after and handover.ip not in self._cluster.node_by_address
        }

    def _former_owners(self) -> list[_Former]:
        """Who had which address until when: the latest of each address, those before, and so on."""
        layers: list[dict[bytes, Handover]] = []
        for handover in reversed(self._cluster.handovers):
            if handover.ip not in self._cluster.node_by_address:
                layer = next((one for one in layers if handover.ip not in one), None)
                if layer is None and len(layers) < _FORMER_OWNERS:
                    layers.append(layer := {})
                if layer is not None:
                    layer[handover.ip] = handover
        return [_Former.of(layer, self.names) for layer in layers]


@dataclass(frozen=True, slots=True)
class _Former:
    """One former owner of each of some addresses."""

    table: KeyTable
    """Address -> position in the columns below."""
    until_ns: npt.NDArray[np.int64]
    names: Numbers

    @classmethod
    def of(cls, layer: dict[bytes, Handover], names: Names) -> _Former:
        handovers = layer.values()
        numbers = [names.number(handover.before) for handover in handovers]
        return cls(
            KeyTable({(ip, 0): at for at, ip in enumerate(layer)}),
            np.array([handover.at_ns for handover in handovers], dtype=np.int64),
            np.array(numbers, dtype=np.int32),
        )


def _same(one: object, other: object) -> bool:
    """Whether nothing changed; large parts of a cluster are compared by identity only."""
    return one is other or (isinstance(one, frozenset | str) and one == other)


def _service_addresses(service: Service) -> Iterator[tuple[ServiceKind, bytes]]:
    """What kube-proxy programs: nothing for headless Services or addresses left to a proxy."""
    if service.headless or service.type == "ExternalName":
        return
    for ip in service.cluster_ips:
        yield ServiceKind.CLUSTER_IP, ip
    for ip in service.external_ips:
        yield ServiceKind.EXTERNAL_IP, ip
    modes = (*service.load_balancer_modes, *("VIP",) * len(service.load_balancer_ips))
    for ip, mode in zip(service.load_balancer_ips, modes, strict=False):
        if mode != "Proxy":
            yield ServiceKind.LOAD_BALANCER, ip


def _node_ports(service: Service) -> Iterator[ServicePort]:
    if not service.headless and service.type != "ExternalName":
        yield from (port for port in service.ports if port.node_port)


def _families(service: Service) -> set[bytes]:
    """Families a Service serves; both where its ClusterIPs are not known."""
    known = {_IPV4 if is_ipv4(ip) else _IPV6 for ip in service.cluster_ips}
    return known or {_IPV4, _IPV6}


def _declared_listeners(pod: Pod) -> Iterator[tuple[bytes, int]]:
    if pod.host_network and not pod.finished:
        for port in pod.host_ports:
            key = rest_of(port.port, port.protocol)
            yield from ((ip, key) for ip in taken_on(port, pod.ips))
