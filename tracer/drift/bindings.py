"""What ipvs mode needs beside its virtual servers: addresses on kube-ipvs0, members of sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer import address
from tracer.cluster.model import Cluster, Endpoint, ServiceKind
from tracer.drift.difference import Difference, Turn, few
from tracer.drift.places import Demand
from tracer.events import PROTOCOL_NAMES
from tracer.node.chain_names import ipset_name
from tracer.node.model import IPVS_DEVICE, NodeState

LOOP_BACK = "KUBE-LOOP-BACK"
_BITMAPS = {"tcp": "TCP", "udp": "UDP"}
Members = dict[str, dict[str, str]]
"""The Service of each member, by set."""


def unbound(
    node: NodeState, cluster: Cluster, demand: Demand, *, ipv6: bool
) -> Iterator[Difference]:
    """Addresses that kube-ipvs0 lacks, and those it holds for nobody."""
    owners = {ip: ones[0].service for (_, ip, _), ones in demand.items() if ip}
    own = {address.text(ip) for ip in node.local_addresses}
    bound = {address.text(ip) for ip in node.ipvs_addresses if address.is_ipv4(ip) != ipv6}
    for ip in sorted(owners.keys() - bound - own):
        told = f"not on {IPVS_DEVICE}: packets for it are not taken here"
        yield Difference(Turn.NOT_BOUND, f"address {ip}", told, owners[ip], IPVS_DEVICE)
    nodes = {address.text(ip) for ip in cluster.node_by_address}
    for ip in sorted(bound - owners.keys() - nodes):
        told = f"on {IPVS_DEVICE}, and no Service has it: whatever is sent to it ends here"
        yield Difference(Turn.LEFT_BOUND, f"address {ip}", told, by=IPVS_DEVICE)


def set_differences(
    node: NodeState, cluster: Cluster, demand: Demand, node_name: str, *, ipv6: bool
) -> Iterator[Difference]:
    """Members that kube-proxy's sets lack, and those that stand for nothing."""
    if "address_sets" not in node.known:
        return
    sets = {found.name: frozenset(found.members) for found in node.address_sets}
    wanted = _members(demand)
    if node_name:
        wanted[LOOP_BACK] = _loop_back(cluster, node_name, ipv6=ipv6)
    for name, members in wanted.items():
        own = ipset_name(name, ipv6)
        found = sets.get(own, frozenset())
        for member in sorted(members.keys() - found):
            told = f"set {own} lacks {member}" + ("" if own in sets else ": the set is not there")
            yield Difference(Turn.SET_LACKS, f"member {member}", told, members[member], own)
        left = found.difference(members, _also_in(name, wanted))
        if name == LOOP_BACK:
            left -= _known_loops(cluster)
        if left:
            told = f"set {own} still has {few(left)}"
            yield Difference(Turn.SET_LEFT, f"{len(left)} members of {own}", told, by=own)


def _also_in(name: str, wanted: Members) -> Iterable[str]:
    """kube-proxy puts Local node ports in both sets; the rule for Local ones comes first."""
    return wanted.get(name.replace("NODE-PORT-", "NODE-PORT-LOCAL-"), ())


def _members(demand: Demand) -> Members:
    """Members by set; a set without any is judged, too: nothing may be left in it."""
    names = ("KUBE-CLUSTER-IP", "KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER-LOCAL")
    found: Members = {name: {} for name in names}
    for suffix in ("", "-LOCAL"):
        found |= {f"KUBE-EXTERNAL-IP{suffix}": {}}
        found |= {f"KUBE-NODE-PORT{suffix}-{word}": {} for word in _BITMAPS.values()}
    for (protocol, ip, port), ones in demand.items():
        for one in ones:
            local = "-LOCAL" if one.local else ""
            entry = f"{ip},{protocol}:{port}"
            if one.kind is ServiceKind.CLUSTER_IP:
                found["KUBE-CLUSTER-IP"][entry] = one.service
            elif one.kind is ServiceKind.EXTERNAL_IP:
                found[f"KUBE-EXTERNAL-IP{local}"][entry] = one.service
            elif one.kind is ServiceKind.LOAD_BALANCER:
                found["KUBE-LOAD-BALANCER"][entry] = one.service
                if one.local:
                    found["KUBE-LOAD-BALANCER-LOCAL"][entry] = one.service
            elif protocol in _BITMAPS:
                found[f"KUBE-NODE-PORT{local}-{_BITMAPS[protocol]}"][str(port)] = one.service
    return found


def _loop_back(cluster: Cluster, node_name: str, *, ipv6: bool) -> dict[str, str]:
    """The hairpin entry of every usable endpoint on this node."""
    return {
        _loop(e): e.service
        for e in cluster.endpoints
        if e.node == node_name and e.ready and address.is_ipv4(e.ip) != ipv6
        and e.service in cluster.services_by_key
        and cluster.services_by_key[e.service].cluster_ips
        and not cluster.services_by_key[e.service].proxied_by
    }  # fmt: skip


def _known_loops(cluster: Cluster) -> frozenset[str]:
    """Entries of endpoints in any condition: kube-proxy keeps those that are not ready."""
    return frozenset(map(_loop, cluster.endpoints))


def _loop(endpoint: Endpoint) -> str:
    ip = address.text(endpoint.ip)
    protocol = PROTOCOL_NAMES.get(endpoint.protocol, str(endpoint.protocol))
    return f"{ip},{protocol}:{endpoint.port},{ip}"
