"""A large node's state: how long it takes to read, the first ``explain``, and an audit of it.

5,000 Services with 28 endpoints each and client affinity make about 700,000 lines of
iptables-save; the same Services as virtual servers and as nftables JSON follow. Each engine
has a process of its own, so that its peak of memory is its own.
``python -m bench.state [SERVICES]``.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Service, ServicePort
from tracer.diagnosis.audit import audit
from tracer.events import EventBatch, Origin, no_records
from tracer.node import iptables, nft_json
from tracer.node.chain_names import iptables_hash, nft_endpoint, nft_port
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread
from tracer.node.model import IPVS_DEVICE, InterfaceAddress, NodeState, VirtualServer
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
    own = [f":KUBE-{name} - [0:0]" for name in ("SERVICES", "MARK-MASQ", "POSTROUTING")]
    head = ["*nat", *bases, *own]
    glue = ["-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES",
            "-A POSTROUTING -j KUBE-POSTROUTING",
            "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
            "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-A KUBE-POSTROUTING -j MASQUERADE --random-fully"]  # fmt: skip
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
    for hook, priority in (("prerouting", -100), ("output", -100), ("postrouting", 100)):
        yield {"chain": home | {"name": f"nat-{hook}", "type": "nat", "hook": hook,
                                "prio": priority, "policy": "accept"}}  # fmt: skip
    yield {"map": home | {"name": "service-nodeports", "map": "verdict", "elem": []}}
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
            source = {"payload": {"protocol": "ip", "field": "saddr"}}
            mine = {"match": {"op": "==", "left": source, "right": ip}}
            mark = {"jump": {"target": "mark-for-masquerade"}}
            yield {"rule": home | {"chain": end, "expr": [mine, mark]}}
            yield {"rule": home | {"chain": end, "expr": [{"dnat": {"addr": ip, "port": 8080}}]}}
    yield {"map": home | {"name": "service-ips", "map": "verdict", "elem": elements}}


def state(*, virtual_servers: tuple[VirtualServer, ...] = (), **parts: object) -> NodeState:
    """A node with one link."""
    value, _ = network("0.0.0.0/0")
    route = Route("main", "unicast", value.to_bytes(16, "big"), 96, False,
                  hops=(NextHop("eth0"),))  # fmt: skip
    bound = (InterfaceAddress(IPVS_DEVICE, server.ip, 32) for server in virtual_servers)
    return NodeState(
        addresses=(InterfaceAddress("eth0", parse("172.18.0.2"), 16), *bound),
        routes=(route,),
        sysctls={"net.ipv4.ip_forward": "1", "net.ipv4.vs.conntrack": "1"},
        known=KNOWN if not virtual_servers else KNOWN - {"address_sets"},
        virtual_servers=virtual_servers,
        **parts,  # type: ignore[arg-type]
    )


def load_iptables(text: str, unread: Unread) -> NodeState:
    return state(xtables=iptables.parse(text, unread, ipv6=False))


def load_ipvs(text: str, unread: Unread) -> NodeState:
    return state(virtual_servers=parse_servers(text, unread))


def load_nft(text: str, unread: Unread) -> NodeState:
    return state(nft=nft_json.parse(text, unread))


def cluster(services: int) -> Cluster:
    """What kube-proxy would have made these rules from."""
    port = (ServicePort("http", 6, 80, "8080"),)
    keys = [(f"team-{number % 97}", f"service-{number}") for number in range(services)]
    made = (
        Service(
            namespace, name, "ClusterIP", port, (parse(service_ip(number)),), affinity_seconds=10800
        )
        for number, (namespace, name) in enumerate(keys)
    )
    behind = (
        Endpoint(f"{namespace}/{name}", "http", 6, parse(ip), 8080, f"node-{at}")
        for number, (namespace, name) in enumerate(keys)
        for at, ip in enumerate(endpoints(number))
    )
    nodes = (Node("node-0", (parse("172.18.0.2"),), ("10.128.0.0/9",)),)
    return Cluster(tuple(made), tuple(behind), (), nodes)


def measure(
    name: str, make: Callable[[int], str], load: Callable[[str, Unread], NodeState], services: int
) -> None:
    """Print processor time of reading, of two walks and of an audit, and memory."""
    text = make(services)
    unread = Unread(name)
    before = _peak_mb()
    started, wall = time.process_time(), time.perf_counter()
    loaded = load(text, unread)
    read_s, read_wall = time.process_time() - started, time.perf_counter() - wall
    assert not unread.count, unread.listed()
    read_mb = _peak_mb()
    first, second = _walks(loaded, name)
    told = replace(loaded, proxy_mode=name, node_name="node-0")
    world = cluster(services)
    started = time.process_time()
    found = audit(told, world, EventBatch(no_records(), Origin.CONNTRACK, 0)).findings
    audit_s = time.process_time() - started
    causes = ", ".join(f"{cause} {n}" for cause, n in Counter(f.cause for f in found).items())
    print(
        f"{name:<10} {text.count(chr(10)) + 1:>8} lines {len(text) / 1e6:6.1f} MB: read "
        f"{read_s:5.2f} s ({read_wall:.2f} s on the clock), first explain {first:5.1f} ms, next "
        f"{second:5.1f} ms, audit {audit_s:5.2f} s; peak {read_mb:.0f} MB read (text alone "
        f"{before:.0f}), {_peak_mb():.0f} MB with cluster and audit; found: {causes or 'nothing'}",
        flush=True,
    )


def _walks(loaded: NodeState, name: str) -> list[float]:
    """Milliseconds of processor time of the first two walks."""
    walks = []
    for number in (17, 18):
        source, device = ("172.18.0.2", "") if name == "ipvs" else ("203.0.113.9", "eth0")
        packet = Packet(6, parse(source), parse(service_ip(number)), 1234, 80, incoming=device)
        started = time.process_time()
        path = summed(Walker(loaded, ipv6=False).walk(packet))
        walks.append((time.process_time() - started) * 1e3)
        assert len(path.choices) == ENDPOINTS, (name, path.verdict, path.unknown)
    return walks


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """All three engines, one after the other."""
    services = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    for name, make, load in (
        ("iptables", iptables_text, load_iptables),
        ("ipvs", ipvs_text, load_ipvs),
        ("nftables", nft_text, load_nft),
    ):
        alone = multiprocessing.get_context("spawn").Process(
            target=measure, args=(name, make, load, services)
        )
        alone.start()
        alone.join()
        if alone.exitcode:
            sys.exit(f"{name}: failed")


if __name__ == "__main__":
    main()
