"""What breaks a node, and the remedy's commands that mend it."""

from __future__ import annotations

from collections.abc import Callable

from lab.objects import Change, read, to_cluster
from lab.rules.apply import Mode
from lab.shell import run, run_in
from lab.topology import LAN, ROUTER_ADDRESSES, Topology, texts, veth_name
from lab.traffic import Load

Fault = Callable[[Topology], None]


def commands(name: str, *lines: str) -> Fault:
    """Commands in a node, a pod, the client or the LAN, one after the other."""

    def work(topology: Topology) -> None:
        for line in lines:
            topology.run(name, *line.split())

    return work


def on_the_machine(*lines: str) -> Fault:
    """Commands outside every namespace: settings that all of them share."""

    def work(topology: Topology) -> None:
        for line in lines:
            run(line.split())

    return work


def connected(source: str, load: Load) -> Fault:
    """Connections that were made before anything went wrong, and are remembered."""

    def work(topology: Topology) -> None:
        topology.traffic(source, load)

    return work


def both(*faults: Fault) -> Fault:
    """One after the other."""

    def work(topology: Topology) -> None:
        for fault in faults:
            fault(topology)

    return work


def synced(mode: Mode, change: Change, cluster: str = "default") -> Fault:
    """kube-proxy has followed the change."""

    def work(topology: Topology) -> None:
        topology.resync(mode, to_cluster(change(read(cluster))))

    return work


def without_rules(node: str, table: str, chain: str, ending: str) -> Fault:
    """Rules of chains with this beginning, and this end, are lost."""

    def work(topology: Topology) -> None:
        kept = [
            line
            for line in topology.run(node, "iptables-save", "-t", table).splitlines()
            if not (line.startswith(f"-A {chain}") and line.endswith(ending))
        ]
        restore(topology, node, kept)

    return work


def restore(topology: Topology, node: str, lines: list[str]) -> None:
    """Feed a listing back."""
    run_in(topology.namespace(node), ("iptables-restore",), "\n".join(lines) + "\n")


def route_back_by_a_pod(node: str, client: str) -> Fault:
    """The client's answers would leave by a pod's interface, and the filter minds.

    It minds ARP requests as well, so the client is told the node's address beforehand.
    """

    def work(topology: Topology) -> None:
        mac = topology.run(node, "cat", "/sys/class/net/eth0/address").strip()
        (own,) = (item for item in topology.cluster.nodes if item.name == node)
        for ip in texts(own.addresses):
            topology.run("client", *f"ip neigh replace {ip} lladdr {mac} dev eth0".split())
        pod = next(p for p in topology.cluster.pods if p.node == node and not p.host_network)
        topology.run(node, "ip", "route", "add", f"{client}/32", "dev", veth_name(pod))
        topology.run(node, "sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=1")

    return work


def router_sends_back(node_ip: str) -> Fault:
    """The LAN's router forwards, and sends the Services' range to a node."""
    return commands(
        LAN,
        "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0",
        f"ip route add 10.96.0.0/16 via {node_ip}",
    )


def mapped_before_the_rules(source: str, node: str, load: Load) -> Fault:
    """The client sent before the node had the Services' rules, and its mapping stays."""

    def work(topology: Topology) -> None:
        listing = topology.run(node, "iptables-save", "-t", "nat").splitlines()
        topology.run(node, "iptables", "-t", "nat", "-F", "PREROUTING")
        topology.traffic(source, load)
        restore(topology, node, listing)

    return work


DEFAULT_ROUTE = f"ip route add default via {ROUTER_ADDRESSES[0]}"
