"""A question about a packet, in words, and everything that is known about its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracer import address
from tracer.address import MAPPED_PREFIX
from tracer.cluster.model import Cluster
from tracer.errors import InputError
from tracer.events import PROTOCOL_NAMES
from tracer.node.lines import packed
from tracer.node.model import NodeState
from tracer.path.names import Names
from tracer.path.packet import UNTOLD, Doubt, Packet
from tracer.path.path import Path, summed
from tracer.path.routing import Question
from tracer.path.translation import split_endpoint
from tracer.path.walk import Walker

_PROTOCOLS = {name: number for number, name in PROTOCOL_NAMES.items() if number in (6, 17, 132)}
_REMEDY = "For example: viptrace explain 10.244.1.10 10.96.0.10:53/udp"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The path of one packet with the names around it."""

    packet: Packet
    """As it was sent."""
    path: Path
    names: Names
    state: NodeState
    notes: tuple[str, ...] = ()
    """What was taken for granted, and what other nodes decide."""


def packet_of(source: str, destination: str) -> Packet:
    """``SRC[:PORT]`` and ``DST:PORT[/udp|/sctp]``; InputError for anything else."""
    target, _, protocol = destination.partition("/")
    number = _PROTOCOLS.get(protocol or "tcp")
    if number is None:
        raise InputError(f"{protocol} is not a protocol here.", "It is tcp, udp or sctp.", _REMEDY)
    src, sport = _endpoint(source)
    dst, dport = _endpoint(target)
    if dport is None:
        raise InputError(f"{destination} has no port.", "A destination is ADDRESS:PORT.", _REMEDY)
    if address.is_ipv4(src) != address.is_ipv4(dst):
        raise InputError(
            f"{source} and {destination} are of different families.", "", "Give two of the same."
        )
    return Packet(number, src, dst, sport, dport)


def _endpoint(text: str) -> tuple[bytes, int | None]:
    host, port = split_endpoint(text)
    try:
        number = int(port) if port else None
        ip = packed(host)
    except ValueError:
        number, ip = 65536, b""
    if number is not None and not 0 <= number < 65536:
        raise InputError(
            f"{text} is not an address with a port.", "IPv6 is written [fd00::1]:80.", _REMEDY
        )
    return ip, number


def explain(
    state: NodeState, cluster: Cluster, packet: Packet, sender: str = "", node_name: str = ""
) -> Explanation:
    """Walk a packet; ``sender`` is ``local``, ``iface:NAME``, ``pod:ns/name`` or empty."""
    walker = Walker(state, ipv6=packet.ipv6)
    names = Names(cluster)
    sent = placed(walker, cluster, packet, sender)
    path = summed(walker.walk(sent))
    path = _refined(path, state, cluster, packet)
    notes = (*assumed(state, ipv6=packet.ipv6), *_elsewhere(path, names, node_name))
    return Explanation(sent, path, names, state, notes)


def placed(walker: Walker, cluster: Cluster, packet: Packet, sender: str = "") -> Packet:
    """The packet at the interface where it comes in; ``sender`` as for ``explain``."""
    kind, _, name = sender.partition(":")
    if not any(packet.src[12:]) and packet.src[:12] in (bytes(12), MAPPED_PREFIX):
        return _with_source(walker, packet)
    if kind == "local":
        return packet
    if kind == "iface" and name:
        return replace(packet, incoming=_interface(walker.ground.state, name))
    if kind == "pod" and name:
        pods = {pod.key: pod for pod in cluster.pods}
        family = (
            [ip for ip in pods[name].ips if address.is_ipv4(ip) != packet.ipv6]
            if (name in pods)
            else []
        )
        if not family:
            raise InputError(
                f"There is no pod {name} with an address of this family.",
                "It is looked up in the cluster's objects.",
                "Give them with --cluster FILE.",
            )
        if pods[name].host_network:
            return packet
        return replace(packet, src=family[0], incoming=_device_to(walker, family[0]))
    if sender:
        raise InputError(
            f"--from {sender} is not understood.", "", "Give pod:ns/name, iface:NAME or local."
        )
    if walker.ground.kind_of(packet.src) == "local":
        return packet
    return replace(packet, incoming=_device_to(walker, packet.src))


def _interface(state: NodeState, name: str) -> str:
    """The name, as far as it cannot be a mistake."""
    known = {*state.interfaces.values(), *(one.interface for one in state.addresses)}
    if known and name not in known:
        raise InputError(
            f"There is no interface {name} on this node.",
            f"It has {', '.join(sorted(known))}.",
            "Name one of them: --from iface:NAME",
        )
    return name


def _with_source(walker: Walker, packet: Packet) -> Packet:
    """The packet of a process here that leaves the choice of its source to the kernel."""
    way = walker.ground.way(Question(packet.dst, packet.src))
    if isinstance(way, Doubt) or not way.hops or way.route is None:
        return packet
    if way.kind == "local":
        return replace(packet, src=packet.dst)
    hop = way.hops[0]
    chosen = walker.ground.masquerade_source(hop.device, hop.gateway or packet.dst)
    return replace(packet, src=way.route.source or chosen or packet.src)


def _device_to(walker: Walker, ip: bytes) -> str:
    """The interface by which an address is reached, so by which it comes."""
    way = walker.ground.way(Question(ip, bytes(16)))
    hops = () if isinstance(way, Doubt) else way.hops
    return hops[0].device if hops else UNTOLD


def _refined(path: Path, state: NodeState, cluster: Cluster, packet: Packet) -> Path:
    """A node's own address on kube-ipvs0 swallows what is meant for that node."""
    owner = cluster.node_by_address.get(packet.dst)
    bound = packet.dst in state.ipvs_addresses and packet.dst not in state.local_addresses
    if owner is None or not bound or path.choices:
        return path
    return replace(path, cause="ipvs-external-ip-is-node-ip")


def assumed(state: NodeState, *, ipv6: bool) -> tuple[str, ...]:
    """What is taken for granted because its file is not there."""
    family = "ip6" if ipv6 else "ip"
    found = []
    if "nft" not in state.known:
        found.append("no nftables rules beside those of iptables (nft.json is not there)")
    if f"xtables.{family}" not in state.known and "nft" in state.known:
        found.append(f"no legacy iptables rules ({family}tables-save.txt is not there)")
    if "policy_rules" not in state.known and "routes" in state.known:
        found.append("only the kernel's own policy rules (rule.json is not there)")
    return tuple(f"taken for granted: {text}" for text in found)


def _elsewhere(path: Path, names: Names, node_name: str) -> tuple[str, ...]:
    """Other nodes have rules of their own for what is sent to them."""
    if path.verdict != "delivered" or not node_name:
        return ()
    nodes = {names.node_of(choice.ip) for choice in path.choices} - {"", node_name}
    return tuple(f"the rest is decided on node {name}" for name in sorted(nodes))
