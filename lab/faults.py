"""What breaks a node, and the remedy's commands that mend it."""

from __future__ import annotations

import time

from lab.netns import call
from lab.objects import Change, read, to_cluster
from lab.rules.apply import Mode, apply
from lab.scenario import Fault
from lab.shell import run, run_in
from lab.strays import answer_outside_the_window, ping
from lab.topology import LAN, ROUTER_ADDRESSES, Topology, texts, veth_name
from lab.traffic import Load
from tracer.errors import UnableError

TRIES = 60
"""Each is given the wanted one of three pods by chance: as good as certain."""


def commands(name: str, *lines: str) -> Fault:
    """Commands in a node, a pod, the client or the LAN, one after the other.

    ``{pod}`` stands for the node's end of that pod's link.
    """

    def work(topology: Topology) -> None:
        devices = {"{" + pod.name + "}": veth_name(pod) for pod in topology.cluster.pods}
        for line in lines:
            topology.run(name, *(devices.get(part, part) for part in line.split()))

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


def pinned(source: str, load: Load, pod: str, node: str) -> Fault:
    """The node's session affinity holds that source to this pod: it asks anew until it does.

    Which pod a source is given is chance; a choice that was not meant is forgotten there.
    """

    def work(topology: Topology) -> None:
        for _ in range(TRIES):
            (exchange,) = topology.traffic(source, load)
            if exchange.answered_by == pod:
                return
            ip = exchange.client_ip
            topology.run(
                node, "sh", "-ec", f"for f in /proc/net/xt_recent/*; do echo -{ip} >$f; done"
            )
            topology.run(node, "conntrack", "-D", "-s", ip, "-d", load.ip)
        raise UnableError(f"{source} was never given {pod}", f"{TRIES} connections went elsewhere")

    return work


def pinged(source: str, ip: str) -> Fault:
    """Somebody pings an address from there."""

    def work(topology: Topology) -> None:
        call(topology.namespace(source), ping, ip, 3)

    return work


def answered_outside(pod: str, port: int, question: int) -> Fault:
    """The pod answers that question, counted from 1, outside the connection's window as well."""

    def work(topology: Topology) -> None:
        call(topology.namespace(pod), answer_outside_the_window, port, question)

    return work


def killed(pod: str) -> Fault:
    """The pod's process ends, whoever talks to it."""

    def work(topology: Topology) -> None:
        topology.stop_server(pod)

    return work


def later(seconds: float) -> Fault:
    """Nothing, for a while."""

    def work(topology: Topology) -> None:
        del topology
        time.sleep(seconds)

    return work


def both(*faults: Fault) -> Fault:
    """One after the other."""

    def work(topology: Topology) -> None:
        for fault in faults:
            fault(topology)

    return work


def synced(change: Change, cluster: str = "default") -> Fault:
    """kube-proxy has followed the change, in the mode that it runs in."""

    def work(topology: Topology) -> None:
        topology.resync(topology.mode, to_cluster(change(read(cluster))))

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


def without_nft_rules(node: str, chain: str, words: str) -> Fault:
    """The same of kube-proxy's table for nftables: rules of these chains that say these words."""

    def work(topology: Topology) -> None:
        inside, listing = "", "nft -a list table ip kube-proxy"
        for line in topology.run(node, *listing.split()).splitlines():
            rule, _, handle = line.strip().partition(" # handle ")
            if rule.startswith("chain "):
                inside = rule.split()[1]
            elif handle and inside.startswith(chain) and words in rule:
                where = f"ip kube-proxy {inside} handle {handle}"
                topology.run(node, "nft", "delete", "rule", *where.split())

    return work


def restore(topology: Topology, node: str, lines: list[str]) -> None:
    """Feed a listing back."""
    run_in(topology.namespace(node), ("iptables-restore",), "\n".join(lines) + "\n")


def introduce(topology: Topology, node: str) -> None:
    """The client learns the node's hardware address without asking."""
    mac = topology.run(node, "cat", "/sys/class/net/eth0/address").strip()
    (own,) = (item for item in topology.cluster.nodes if item.name == node)
    for ip in texts(own.addresses):
        topology.run("client", *f"ip neigh replace {ip} lladdr {mac} dev eth0".split())


def route_back_by_a_pod(node: str, client: str) -> Fault:
    """The client's answers would leave by a pod's interface, and the filter minds.

    It minds ARP requests as well, so the client is told the node's address beforehand.
    """

    def work(topology: Topology) -> None:
        introduce(topology, node)
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


def named_otherwise(node: str, name: str, change: Change) -> Fault:
    """kube-proxy runs under another name than its node's."""

    def work(topology: Topology) -> None:
        cluster = to_cluster(change(read("default")))
        apply(cluster, name, topology.mode, topology.namespace(node))

    return work


def also_in_mode(node: str, mode: Mode, change: Change) -> Fault:
    """Another mode's rules are there as well, as they were for another cluster."""

    def work(topology: Topology) -> None:
        apply(to_cluster(change(read("default"))), node, mode, topology.namespace(node))

    return work


def in_legacy_too(node: str) -> Fault:
    """What iptables-nft holds is in iptables-legacy as well."""

    def work(topology: Topology) -> None:
        rules = topology.run(node, "iptables-save")
        run_in(topology.namespace(node), ("iptables-legacy-restore",), rules)

    return work


def pods_on_a_bridge(node: str) -> Fault:
    """The node's pods hang on a bridge and see each other there, as with a bridge plug-in."""

    def work(topology: Topology) -> None:
        pods = [pod for pod in topology.cluster.pods if pod.node == node and not pod.host_network]
        (owner,) = (item for item in topology.cluster.nodes if item.name == node)
        lines = [
            "link add cbr0 type bridge",
            "link set cbr0 up",
            "addr add 169.254.1.1/32 dev cbr0",
        ]
        for pod in pods:
            name, ip = veth_name(pod), texts(pod.ips)[0]
            lines += [f"link set {name} master cbr0", f"addr del 169.254.1.1/32 dev {name}"]
            lines += [f"route replace {ip}/32 dev cbr0 src {texts(owner.addresses)[0]}"]
            topology.run(pod.name, *f"ip addr add {ip}/24 dev eth0".split())
            topology.run(pod.name, *["ip", "neigh", "flush", "all"])
        run(["ip", "-n", topology.namespace(node), "-batch", "-"], "\n".join(lines) + "\n")

    return work


DEFAULT_ROUTE = f"ip route add default via {ROUTER_ADDRESSES[0]}"
