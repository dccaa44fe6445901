"""A large node's state: how long it takes to read, how much memory, and the first ``explain``.

5,000 Services with 28 endpoints each and client affinity make about 700,000 lines of
iptables-save; the same Services as virtual servers and as nftables JSON follow.
``python -m bench.state [SERVICES]``.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator

from tracer.address import parse
from tracer.node import iptables, nft_json
from tracer.node.chain_names import iptables_hash, nft_endpoint, nft_port
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread
from tracer.node.model import InterfaceAddress, NodeState
from tracer.node.routing import NextHop, Route
from tracer.path.networks import network
from tracer.path.packet import Packet
from tracer.path.path import summed
from tracer.path.walk import Walker

ENDPOINTS = 28
"""For each Service."""
KNOWN = frozenset(
    {"addresses", "routes", "policy_rules", "sysctls", "xtables", "xtables.ip", "nft",
     "address_sets", "virtual_servers"}
)  # fmt: skip


def service_ip(number: int) -> str:
    return f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}"


def endpoints(number: int) -> list[str]:
    first = number * ENDPOINTS
    return [
        f"10.{128 + (first + n) // 65536}.{(first + n) // 256 % 256}.{(first + n) % 256}"
        for n in range(ENDPOINTS)
    ]


def iptables_text(services: int) -> str:
    """The nat table as iptables-save prints it."""
    declared, rules = [], []
    for number in range(services):
        label, ip = f"team-{number % 97}/service-{number}:http", service_ip(number)
        service = f"KUBE-SVC-{iptables_hash(label, 'tcp')}"
        to = f'-m comment --comment "{label} cluster IP" -m tcp --dport 80'
        declared.append(f":{service} - [0:0]")
        rules.append(f"-A KUBE-SERVICES -d {ip}/32 -p tcp {to} -j {service}")
        rules.append(f"-A {service} ! -s 10.128.0.0/9 -d {ip}/32 -p tcp {to} -j KUBE-MARK-MASQ")
        for at, endpoint in enumerate(endpoints(number)):
            chain = f"KUBE-SEP-{iptables_hash(label, 'tcp', f'{endpoint}:8080')}"
            said = f'-m comment --comment "{label}"'
            recent = f"-m recent --name {chain} --mask 255.255.255.255 --rsource"
            chance = f"-m statistic --mode random --probability {1 / (ENDPOINTS - at):.11f}"
            declared.append(f":{chain} - [0:0]")
            rules.append(f"-A {service} {said} -m recent --rcheck --seconds 10800 --reap "
                         f"--name {chain} --mask 255.255.255.255 --rsource -j {chain}")  # fmt: skip
            rules.append(f"-A {service} {said} {chance if at < ENDPOINTS - 1 else ''} -j {chain}")
            rules.append(f"-A {chain} -s {endpoint}/32 {said} -j KUBE-MARK-MASQ")
            rules.append(f"-A {chain} -p tcp {said} {recent} --set -m tcp "
                         f"-j DNAT --to-destination {endpoint}:8080")  # fmt: skip
    bases = [f":{hook} ACCEPT [0:0]" for hook in ("PREROUTING", "OUTPUT", "POSTROUTING")]
    head = ["*nat", *bases, ":KUBE-SERVICES - [0:0]", ":KUBE-MARK-MASQ - [0:0]"]
    glue = ["-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES",
            "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"]  # fmt: skip
    return "\n".join([*head, *declared, *glue, *rules, "COMMIT", ""])


def ipvs_text(services: int) -> str:
    """``ipvsadm -Sn``."""
    lines = []
    for number in range(services):
        ip = service_ip(number)
        lines.append(f"-A -t {ip}:80 -s rr -p 10800")
        lines += [f"-a -t {ip}:80 -r {each}:8080 -m -w 1" for each in endpoints(number)]
    return "\n".join(lines) + "\n"


def nft_text(services: int) -> str:
    """``nft -j list ruleset``."""
    objects = list(_nft_objects(services))
    return json.dumps({"nftables": objects})


def _nft_objects(services: int) -> Iterator[dict[str, object]]:
    home = {"family": "ip", "table": "kube-proxy"}
    key = [{"payload": {"protocol": "ip", "field": "daddr"}}, {"meta": {"key": "l4proto"}},
           {"payload": {"protocol": "th", "field": "dport"}}]  # fmt: skip
    elements = []
    yield {"table": {"family": "ip", "name": "kube-proxy"}}
    yield {"chain": home | {"name": "nat-prerouting", "type": "nat", "hook": "prerouting",
                            "prio": -100, "policy": "accept"}}  # fmt: skip
    yield {"rule": home | {"chain": "nat-prerouting", "expr": [
        {"vmap": {"key": {"concat": key}, "data": "@service-ips"}}]}}  # fmt: skip
    for number in range(services):
        name = (f"team-{number % 97}", f"service-{number}", "tcp", "http")
        chain = f"service-{nft_port(*name)}"
        ends = {e: f"endpoint-{nft_endpoint(*name, e, 8080)}" for e in endpoints(number)}
        elements.append([{"concat": [service_ip(number), "tcp", 80]}, {"goto": {"target": chain}}])
        choices = [[at, {"goto": {"target": end}}] for at, end in enumerate(ends.values())]
        draw = {"numgen": {"mode": "random", "mod": len(ends), "offset": 0}}
        yield {"rule": home | {"chain": chain, "expr": [
            {"vmap": {"key": draw, "data": {"set": choices}}}]}}  # fmt: skip
        for ip, end in ends.items():
            yield {"rule": home | {"chain": end, "expr": [{"dnat": {"addr": ip, "port": 8080}}]}}
    yield {"map": home | {"name": "service-ips", "map": "verdict", "elem": elements}}


def state(**parts: object) -> NodeState:
    """A node with one link."""
    value, _ = network("0.0.0.0/0")
    route = Route("main", "unicast", value.to_bytes(16, "big"), 96, False,
                  hops=(NextHop("eth0"),))  # fmt: skip
    return NodeState(
        addresses=(InterfaceAddress("eth0", parse("172.18.0.2"), 16),),
        routes=(route,),
        sysctls={"net.ipv4.ip_forward": "1", "net.ipv4.vs.conntrack": "1"},
        known=KNOWN,
        **parts,  # type: ignore[arg-type]
    )


def load_iptables(text: str, unread: Unread) -> NodeState:
    return state(xtables=iptables.parse(text, unread, ipv6=False))


def load_ipvs(text: str, unread: Unread) -> NodeState:
    return state(virtual_servers=parse_servers(text, unread))


def load_nft(text: str, unread: Unread) -> NodeState:
    return state(nft=nft_json.parse(text, unread))


def measure(name: str, text: str, load: Callable[[str, Unread], NodeState]) -> None:
    """Print reading time, memory and the time of the first and the second walk."""
    unread = Unread(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    loaded = load(text, unread)
    read_s = time.perf_counter() - started
    assert not unread.count, unread.listed()
    walks = []
    local = name.startswith("ipvs")
    for number in (17, 18):
        source, device = ("172.18.0.2", "") if local else ("203.0.113.9", "eth0")
        packet = Packet(6, parse(source), parse(service_ip(number)), 1234, 80, incoming=device)
        started = time.perf_counter()
        path = summed(Walker(loaded, ipv6=False).walk(packet))
        walks.append((time.perf_counter() - started) * 1e3)
        assert len(path.choices) == ENDPOINTS, (name, path.verdict, path.unknown)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{name:<10} {text.count(chr(10)) + 1:>8} lines {len(text) / 1e6:7.1f} MB: read "
        f"{read_s:6.2f} s, first explain {walks[0]:7.1f} ms, next {walks[1]:6.1f} ms, "
        f"peak {peak / 1024:.0f} MB (before: {before / 1024:.0f} MB)"
    )


def main() -> None:
    """All three engines, one after the other."""
    services = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    measure("iptables", iptables_text(services), load_iptables)
    measure("ipvs", ipvs_text(services), load_ipvs)
    measure("nftables", nft_text(services), load_nft)


if __name__ == "__main__":
    main()
