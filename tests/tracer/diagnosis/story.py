"""A cluster of three nodes and a story about it: feed records, ask what is found."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import at, batch, mapping, packet, record
from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Pod, Service, ServicePort
from tracer.diagnosis.finding import Finding
from tracer.events import Hook, Loss, Origin, TcpFlag
from tracer.node.model import IPVS_DEVICE, InterfaceAddress, NodeState
from tracer.pipeline import Pipeline

MASTER_1, MASTER_2, WORKER = "172.18.0.3", "172.18.0.4", "172.18.0.5"
CLIENT, CLIENT_POD, VIP = "192.168.50.100", "10.10.1.9", "10.200.1.10"
POD_HERE, POD_THERE = "10.10.1.3", "10.10.2.3"
NETFILTER, IN_NFT, NO_SOCKET, IN_TCP, UNSPECIFIED, IN_PURGE, RPFILTER, IN_RCV, MERGED = range(1, 10)
CHECKSUM, ADDRESS_ERROR, NO_NEIGHBOUR, IN_IP_ERROR, IN_HOOK, EGRESS, IN_QUEUE = range(10, 17)
TEXTS = {
    NETFILTER: "NETFILTER_DROP",
    IN_NFT: "nft_do_chain+0x1c2",
    NO_SOCKET: "NO_SOCKET",
    IN_TCP: "tcp_v4_rcv+0x44",
    UNSPECIFIED: "NOT_SPECIFIED",
    IN_PURGE: "skb_queue_purge+0x10",
    RPFILTER: "IP_RPFILTER",
    IN_RCV: "ip_rcv_finish_core+0x9",
    MERGED: "TCP_OFOMERGE",
    CHECKSUM: "IP_CSUM",
    EGRESS: "TC_EGRESS",
    IN_QUEUE: "__dev_queue_xmit+0x5a1",
    ADDRESS_ERROR: "IP_INADDRERRORS",
    NO_NEIGHBOUR: "NEIGH_FAILED",
    IN_IP_ERROR: "ip_error+0x7c",
    IN_HOOK: "nf_hook_slow+0xa2",
}

NODES = tuple(
    Node(name, (parse(ip),), control_plane=name.startswith("master"))
    for name, ip in (("master-1", MASTER_1), ("master-2", MASTER_2), ("worker-1", WORKER))
)


def service(name="web", namespace="default", **fields) -> Service:
    """ClusterIP 10.200.1.10, port 80 -> 8080, node port 30080."""
    fields.setdefault("ports", (ServicePort("http", 6, 80, "8080", 30080),))
    fields.setdefault("cluster_ips", (parse(VIP),))
    return Service(namespace, name, "NodePort", **fields)


def endpoint(ip, node, key="default/web", **fields) -> Endpoint:
    return Endpoint(key, "http", 6, parse(ip), 8080, node, f"default/pod-{ip}", **fields)


def pod(ip, node, **fields) -> Pod:
    return Pod("default", f"pod-{ip}", node, (parse(ip),), **fields)


HERE, THERE = endpoint(POD_HERE, "master-1"), endpoint(POD_THERE, "worker-1")
PODS = (pod(POD_HERE, "master-1"), pod(POD_THERE, "worker-1"), pod(CLIENT_POD, "master-1"))


def cluster(*services, endpoints=(), pods=PODS) -> Cluster:
    return Cluster(tuple(services), tuple(endpoints), tuple(pods), NODES)


def node_state(*ipvs, mode="iptables", ip=MASTER_1, name="master-1") -> NodeState:
    """The node ``master-1`` with these addresses on kube-ipvs0."""
    addresses = [InterfaceAddress("eth0", parse(ip), 24)]
    addresses += [InterfaceAddress(IPVS_DEVICE, parse(address), 32) for address in ipvs]
    known = frozenset({"addresses", "proxy_mode"})
    return NodeState(tuple(addresses), proxy_mode=mode, node_name=name, known=known)


def with_sysctls(state: NodeState, **values) -> NodeState:
    """The same node with these settings; ``__`` stands for a dot."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return replace(state, sysctls={**state.sysctls, **named}, known=state.known | {"sysctls"})


def refused_by(seconds, ends, backend):
    """A mapping to the backend, and its reset that answers the request."""
    client, server = ends
    return (
        mapping(seconds, client, server, backend),
        packet(seconds, client, server, "S"),
        packet(seconds, backend, client, "RA"),
    )


def asked_in_vain(seconds, client, server, times=3, **fields):
    """A SYN and its repetitions after 1, 3 and 7 seconds."""
    waits = (0, 1, 3, 7)[:times]
    return [packet(seconds + wait, client, server, "S", seq=77, **fields) for wait in waits]


def dropped(seconds, ends, reason, place, **fields):
    """A request that the kernel freed, with reason and place."""
    fields.setdefault("tcp_flags", TcpFlag.SYN)
    return record(Hook.DROP, seconds, *ends, reason=reason, detail=place, **fields)


class Story:
    """A pipeline and the time it has come to."""

    def __init__(self, known: Cluster | None = None, node: NodeState | None = None):
        self.pipeline = Pipeline()
        self.now = 0.0
        if node is not None:
            self.node(node)
        if known is not None:
            self.cluster(known)

    def cluster(self, known: Cluster):
        return self.pipeline.set_cluster(known, at(self.now))

    def node(self, state: NodeState):
        return self.pipeline.set_node(state, at(self.now))

    def tell(self, *records, until=None, lost=0, origin=Origin.KERNEL):
        """Feed records; time goes on to ``until``, else to the last record."""
        if until is None:
            latest = [(int(r["time_ns"].max()) - at(0)) / 1e9 for r in records]
            until = max([self.now, *latest])
        self.now = until
        told = batch(*records, until=until, origin=origin, lost=Loss(kernel=lost), texts=TEXTS)
        return self.pipeline.feed(told)

    def wait(self, seconds, lost=0):
        return self.tell(until=self.now + seconds, lost=lost)

    @property
    def found(self) -> list[Finding]:
        return self.pipeline.findings.open()

    @property
    def causes(self) -> list[str]:
        return [finding.cause for finding in self.found]

    @property
    def closed(self) -> list[str]:
        return [finding.cause for finding in self.pipeline.findings.closed()]

    @property
    def only(self) -> Finding:
        (finding,) = self.found
        return finding


def handshake(seconds, client, server):
    """A SYN and its answer on the wire: shows that answers are visible there."""
    return packet(seconds, client, server, "S"), packet(seconds, server, client, "SA")


def translated(seconds, client, virtual=f"{VIP}:80", backend=f"{POD_THERE}:8080", **fields):
    return mapping(seconds, client, virtual, backend, **fields)


def with_endpoints(known: Cluster, *endpoints) -> Cluster:
    return replace(known, endpoints=endpoints, generation=known.generation + 1)


def words(finding: Finding) -> str:
    """All its text, to search in."""
    lines = [finding.summary, *(line.text for line in finding.evidence), *finding.remedy]
    return "\n".join(lines)
