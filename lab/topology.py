"""The cluster out of network namespaces: client, nodes on one LAN, routed pods behind veths.

Each node and each pod with an address of its own is a namespace; the LAN is a bridge in another.
A pod is routed the way Calico does it: /32, gateway 169.254.1.1 (fe80::1) on the node's veth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from types import TracebackType

from lab.netns import NAMED, Child, call
from lab.proxying import Proxies, WrittenRules
from lab.rules.apply import Mode
from lab.rules.plan import GATEWAY, SERVICE_RANGES
from lab.server import serve
from lab.shell import run, run_in
from lab.traffic import Exchange, Load, drive
from tracer import address
from tracer.cluster.model import Cluster, Node, Pod
from tracer.errors import InputError, UnableError

CLIENT_ADDRESSES = ("172.18.0.100", "fc00:172:18::64")
ROUTER_ADDRESSES = ("172.18.0.1", "fc00:172:18::1")
"""The nodes' default gateway: without one, kube-proxy's verdict comes after 'no route'."""
CLIENT = "client"
LAN = "lan"
LAN_PREFIX = {False: 16, True: 64}
NODE_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv6.conf.default.accept_dad=0",
)
KEEP_ENTRIES = (
    "net.netfilter.nf_conntrack_udp_timeout=900",
    "net.netfilter.nf_conntrack_udp_timeout_stream=900",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait=900",
    "net.netfilter.nf_conntrack_tcp_timeout_close=900",
)
"""Where connections are counted, the first must still be in the table when the last is made."""
START_TIMEOUT_S = 300.0


def texts(packed: Iterable[bytes]) -> list[str]:
    """Addresses as text."""
    return [address.text(item) for item in packed]


def _single(ip: str) -> str:
    return f"{ip}/128" if ":" in ip else f"{ip}/32"


def veth_name(pod: Pod) -> str:
    """The node's end of a pod's veth; interface names are 15 characters at most."""
    return "veth" + hashlib.sha256(pod.key.encode()).hexdigest()[:8]


@dataclass
class Topology:
    """Namespaces of one cluster; a context manager that leaves nothing behind."""

    cluster: Cluster
    prefix: str
    """Unique on this machine: the beginning of every namespace name."""
    gateway: str = ""
    """The node through which the client reaches Service addresses; empty: the first worker."""
    proxies: Proxies = field(default_factory=WrittenRules)
    proxied: frozenset[str] = frozenset()
    """Nodes that have a proxy, where the traffic passes no others; empty: all."""
    servers: dict[str, Child] = field(default_factory=dict)
    """Server process by pod key."""
    mode: Mode = "iptables"
    """In which kube-proxy's rules are programmed."""

    def __post_init__(self) -> None:
        if not self.gateway:
            workers = [node for node in self.cluster.nodes if not node.control_plane]
            self.gateway = (workers or list(self.cluster.nodes))[0].name
        names = self._names()
        if len(set(names)) != len(names):
            raise InputError("two pods or nodes of the cluster file share a name", ", ".join(names))

    def __enter__(self) -> Topology:
        try:
            self.build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def namespace(self, name: str) -> str:
        """The network namespace of a node, a pod (by its bare name) or ``client``."""
        return f"{self.prefix}-{name}"

    def build(self) -> None:
        """Namespaces, links, addresses, routes, servers."""
        lines = [f"netns add {self.namespace(name)}" for name in self._names()]
        run(["ip", "-batch", "-"], "\n".join(lines) + "\n")
        for node in self.cluster.nodes:
            run_in(self.namespace(node.name), ["sysctl", "-q", "-w", *NODE_SYSCTLS])
        run(["ip", "-batch", "-"], "\n".join(self._links()) + "\n")
        self._batch(LAN, self._lan())
        self._batch(CLIENT, self._client())
        for node in self.cluster.nodes:
            self._batch(node.name, self._node(node))
        for pod in self._routed_pods():
            self._batch(pod.name, self._pod(pod))
        for pod in self.cluster.pods:
            self._start_server(pod)

    def close(self) -> None:
        """Stop proxies and servers, delete the namespaces; safe to call twice."""
        self.proxies.close()
        for server in self.servers.values():
            server.stop()
        self.servers.clear()
        there = [self.namespace(name) for name in self._names()]
        lines = [f"netns del {name}" for name in there if (NAMED / name).exists()]
        run(["ip", "-force", "-batch", "-"], "\n".join(lines) + "\n", check=False)

    def program(self, mode: Mode, cluster: Cluster | None = None) -> None:
        """kube-proxy's first sync on every node."""
        self.mode = mode
        self.proxies.program(self._nodes(), mode, cluster or self.cluster)

    def resync(self, mode: Mode, cluster: Cluster) -> None:
        """kube-proxy's next sync on every node, for a changed cluster."""
        self.proxies.resync(self._nodes(), mode, cluster)

    def keep_entries(self, node: str) -> None:
        """Lengthen the node's connection timeouts: its table becomes a record of the run."""
        self.run(node, "sysctl", "-q", "-w", *KEEP_ENTRIES)

    def traffic(self, source: str, load: Load) -> list[Exchange]:
        """Drive ``load`` from a node, pod or the client."""
        return call(self.namespace(source), drive, load)

    def run(self, name: str, *command: str, check: bool = True) -> str:
        """A command's output inside a node, pod or the client."""
        return run_in(self.namespace(name), command, check=check)

    def stop_server(self, pod: str) -> None:
        """Kill the process of ``namespace/name``; its addresses stay."""
        self.servers.pop(pod).stop()

    def start_server(self, pod: str) -> None:
        """Another process for ``namespace/name``, which ends the one it has."""
        if pod in self.servers:
            self.stop_server(pod)
        self._start_server(next(known for known in self.cluster.pods if known.key == pod))

    def _nodes(self) -> dict[str, str]:
        names = [node.name for node in self.cluster.nodes]
        return {name: self.namespace(name) for name in names if name in (self.proxied or names)}

    def _names(self) -> list[str]:
        nodes = [node.name for node in self.cluster.nodes]
        return [LAN, CLIENT, *nodes, *(pod.name for pod in self._routed_pods())]

    def _routed_pods(self) -> list[Pod]:
        return [pod for pod in self.cluster.pods if not pod.host_network and pod.ips]

    def _batch(self, name: str, lines: Iterable[str]) -> None:
        text = "\n".join(["link set lo up", *lines]) + "\n"
        run(["ip", "-n", self.namespace(name), "-batch", "-"], text)

    def _links(self) -> Iterable[str]:
        lan = self.namespace(LAN)
        for index, name in enumerate((CLIENT, *(node.name for node in self.cluster.nodes))):
            peer = self.namespace(name)
            yield f"link add port{index} netns {lan} type veth peer name eth0 netns {peer}"
        for pod in self._routed_pods():
            node, inside = self.namespace(pod.node), self.namespace(pod.name)
            yield f"link add {veth_name(pod)} netns {node} type veth peer name eth0 netns {inside}"

    def _lan(self) -> Iterable[str]:
        yield "link add br0 type bridge"
        yield "link set br0 up"
        yield from _addresses(ROUTER_ADDRESSES, "br0")
        for index in range(len(self.cluster.nodes) + 1):
            yield f"link set port{index} master br0 up"

    def _client(self) -> Iterable[str]:
        yield "link set eth0 up"
        yield from _addresses(CLIENT_ADDRESSES, "eth0")
        (gateway,) = (node for node in self.cluster.nodes if node.name == self.gateway)
        for via in texts(gateway.addresses):
            for ip in (*SERVICE_RANGES, *map(_single, self._external_addresses())):
                if (":" in ip) == (":" in via):
                    yield f"route add {ip} via {via}"
        for node in self.cluster.nodes:
            yield from _pod_routes(node)

    def _external_addresses(self) -> list[str]:
        owned = set(self.cluster.node_by_address)
        found = {
            ip
            for service in self.cluster.services
            for ip in (*service.external_ips, *service.load_balancer_ips)
            if ip not in owned
        }
        return sorted(texts(found))

    def _node(self, node: Node) -> Iterable[str]:
        yield "link set eth0 up"
        yield from _addresses(texts(node.addresses), "eth0")
        families = {":" in ip for ip in texts(node.addresses)}
        for via in ROUTER_ADDRESSES:
            if (":" in via) in families:
                yield f"route add default via {via}"
        for pod in self._routed_pods():
            if pod.node == node.name:
                name = veth_name(pod)
                yield f"addr add {GATEWAY[False]}/32 dev {name} scope link"
                yield f"addr add {GATEWAY[True]}/64 dev {name} nodad"
                yield f"link set {name} up"
                for ip in texts(pod.ips):
                    yield f"route add {_single(ip)} dev {name}{_source(node, ip)}"
        for other in self.cluster.nodes:
            if other.name != node.name:
                yield from _pod_routes(other)

    def _pod(self, pod: Pod) -> Iterable[str]:
        yield "link set eth0 up"
        for ip in texts(pod.ips):
            nodad = " nodad" if ":" in ip else ""
            yield f"addr add {_single(ip)} dev eth0{nodad}"
        yield f"route add {GATEWAY[False]} dev eth0"
        yield f"route add default via {GATEWAY[False]} dev eth0"
        yield f"route add default via {GATEWAY[True]} dev eth0"

    def _start_server(self, pod: Pod) -> None:
        tcp, udp = self._ports(pod, 6), self._ports(pod, 17)
        if not tcp and not udp:
            return
        here, there = Pipe(duplex=False)
        place = pod.node if pod.host_network else pod.name
        child = Child(self.namespace(place), serve, pod.name, tcp, udp, there)
        self.servers[pod.key] = child
        there.close()
        if not here.poll(START_TIMEOUT_S):
            raise UnableError(f"the server of pod {pod.key} did not start")
        here.recv()

    def _ports(self, pod: Pod, protocol: int) -> list[int]:
        """Ports the pod serves: those its endpoints name, and its host ports."""
        behind = {
            item.port
            for item in self.cluster.endpoints
            if item.protocol == protocol and item.pod == pod.key
        }
        declared = {port.container_port for port in pod.host_ports if port.protocol == protocol}
        return sorted(behind | declared)


def _addresses(addresses: Iterable[str], device: str) -> Iterable[str]:
    for ip in addresses:
        nodad = " nodad" if ":" in ip else ""
        yield f"addr add {ip}/{LAN_PREFIX[':' in ip]} dev {device}{nodad}"


def _source(node: Node, ip: str) -> str:
    """The node speaks to its pods with its own address, not with the gateway's."""
    for own in texts(node.addresses):
        if (":" in own) == (":" in ip):
            return f" src {own}"
    return ""


def _pod_routes(node: Node) -> Iterable[str]:
    for cidr in node.pod_cidrs:
        for via in texts(node.addresses):
            if (":" in via) == (":" in cidr):
                yield f"route add {cidr} via {via}"
                break
