"""What is fuzzed: one function of bytes for each format that comes from outside."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.cluster import file as cluster_file
from tracer.cluster.model import Cluster
from tracer.commands.captures import open_captures
from tracer.errors import TracerError
from tracer.events import EventBatch
from tracer.filters import grammar
from tracer.node import (
    attributes,
    conntrack,
    ctnetlink,
    iproute,
    ipset,
    iptables,
    ipvs,
    ipvs_servers,
    nft_json,
    nft_text,
    proxy_mode,
    routes,
    sysctl,
)
from tracer.node.lines import Unread
from tracer.node.model import NodeState
from tracer.path import ask
from tracer.pipeline import Pipeline

_PACKETS = tuple(
    ask.packet_of(source, target)
    for source, target in (
        ("10.244.1.10:40000", "10.96.0.10:80"),
        ("172.18.0.5:40000", "172.18.0.3:30080/udp"),
        ("[fd00:10:244::5]:40000", "[fd00:10:96::10]:80"),
    )
)

_NFT_RULESET = b"""table ip kube-proxy {
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . tcp . 80 : goto service-WEB }
  }
  set cluster-ips { type ipv4_addr; elements = { 10.96.0.10, 10.96.0.0/24 } }
  chain nat-prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip saddr != 10.244.0.0/16 ct state new meta mark set meta mark or 0x4000
  }
  chain service-WEB { numgen random mod 2 vmap { 0 : jump endpoint-A, 1 : jump endpoint-B } }
  chain endpoint-A { ip saddr 10.244.1.5 counter reject with icmp port-unreachable }
  chain endpoint-B { meta l4proto tcp dnat to 10.244.1.5:8080 comment "a \\"b" }
}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """One format."""

    name: str
    read: Callable[[bytes], None]
    """Raises nothing, whatever the bytes are."""
    seeds: tuple[str, ...] = ()
    """Globs below ``pcaps/`` of files in this format."""
    words: tuple[str, ...] = ()
    """Words of the format, for the fuzzer to put in."""
    samples: tuple[bytes, ...] = ()
    """Inputs of which the scenarios have none."""


def _text(data: bytes) -> str:
    """As the state directory reads its files."""
    return data.decode("utf-8", "replace")


def _parser(parse: Callable[[str, Unread], Any]) -> Callable[[bytes], None]:
    """A parser of text: what it does not understand it counts."""

    def read(data: bytes) -> None:
        unread = Unread("fuzz")
        parse(_text(data), unread)
        assert len("".join(unread.listed())) < 1 << 16

    return read


def _walked(state: NodeState) -> None:
    """What was parsed also has to be walked: an odd rule is a doubt, never a fault."""
    for packet in _PACKETS:
        ask.explain(state, Cluster(), packet)


def _iptables(data: bytes) -> None:
    tables = [iptables.parse(_text(data), Unread("fuzz"), ipv6=ipv6) for ipv6 in (False, True)]
    known = frozenset({"xtables", "xtables.ip", "xtables.ip6"})
    _walked(NodeState(xtables=tables[0] + tables[1], known=known))


def _ipset(data: bytes) -> None:
    rule = "*nat\n-A PREROUTING -m set --match-set {} dst,dst,dst -j RETURN\n"
    sets = ipset.parse(_text(data), Unread("fuzz"))
    rules = "".join(rule.format(found.name) for found in sets[:8] if found.name.isalnum())
    tables = iptables.parse(rules, Unread("fuzz"), ipv6=False)
    _walked(NodeState(xtables=tables, address_sets=sets, known=frozenset({"xtables"})))


def _ipvs_servers(data: bytes) -> None:
    servers = ipvs_servers.parse_servers(_text(data), Unread("fuzz"))
    _walked(NodeState(virtual_servers=servers, known=frozenset({"virtual_servers"})))


def _nft(parse: Callable[[str, Unread], Any]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        ruleset = parse(_text(data), Unread("fuzz"))
        _walked(NodeState(nft=ruleset, known=frozenset({"nft"})))

    return read


def _addresses(data: bytes) -> None:
    found = iproute.parse(_text(data), Unread("fuzz"))
    _walked(NodeState(addresses=found.addresses, interfaces=found.names, masters=found.masters))


def _routes(data: bytes) -> None:
    text = _text(data)
    _walked(
        NodeState(
            routes=routes.parse_routes(text, Unread("fuzz")),
            policy_rules=routes.parse_rules(text, Unread("fuzz")),
            neighbours=routes.parse_neighbours(text, Unread("fuzz")),
            known=frozenset({"routes", "policy_rules", "neighbours"}),
        )
    )


def _connections(parse: Callable[[bytes, Unread], Any]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        records = parse(data, Unread("fuzz"))
        assert len(records) <= len(data)

    return read


def _netlink(data: bytes) -> None:
    block = attributes.Block.of([data[: len(data) // 2], data[len(data) // 2 :]])
    ctnetlink.decode(attributes.messages(block), 1)


def _new_connection() -> bytes:
    """A ctnetlink message with both tuples, a status and an id."""
    attribute = ctnetlink.attribute
    ips = attribute(1, b"\x0a\xf4\x01\x05") + attribute(2, b"\x0a\x60\x00\x0a")
    numbers = attribute(1, b"\x06") + attribute(2, b"\x9c\x40") + attribute(3, b"\x00\x50")
    both = attribute(1, ips, nested=True) + attribute(2, numbers, nested=True)
    body = struct.pack("=BBH", 2, 0, 0)
    for kind in (1, 2):
        body += attribute(kind, both, nested=True)
    body += attribute(3, b"\x00\x00\x01\x8e") + attribute(12, b"\x00\x00\x00\x07")
    return struct.pack("=IHHII", 16 + len(body), ctnetlink.MESSAGE_NEW, 0x600, 0, 0) + body


def _cluster(data: bytes) -> None:
    with suppress(TracerError):
        cluster_file.parse(data, "fuzz")


def _filter(data: bytes) -> None:
    with suppress(TracerError):
        grammar.parse(_text(data))


def _capture(data: bytes) -> None:
    """A capture or recording, from the file to the findings."""
    descriptor = os.memfd_create("fuzz")
    try:
        os.write(descriptor, data)
        with suppress(TracerError):
            # With their bytes packets come as rows, without them field by field.
            _replayed(Path(f"/proc/self/fd/{descriptor}"), keep_bytes=bool(len(data) % 2))
    finally:
        os.close(descriptor)


def _replayed(path: Path, *, keep_bytes: bool) -> None:
    captures = open_captures([path], keep_bytes=keep_bytes)
    pipeline = Pipeline(pair=True, max_flows=1 << 12)
    try:
        for source in captures.sources:
            source.open()
            while (batch := source.read(0)) is not None:
                if isinstance(batch, EventBatch):
                    pipeline.feed(batch)
        pipeline.finish()
    finally:
        for stream in captures.streams:
            stream.close()


TARGETS = (
    Target("capture", _capture, ("*/capture.pcapng", "*/*.pcap")),
    Target(
        "iptables",
        _iptables,
        ("*/state/ip*tables-save.txt",),
        ("--to-destination ", "--probability ", "-m comment --comment ", "-j KUBE-MARK-MASQ"),
    ),
    Target("ipset", _ipset, ("*/state/ipset-save.txt",), ("create ", "add ", "hash:ip,port ")),
    Target("ipvs-servers", _ipvs_servers, ("*/state/ipvsadm-save.txt",), ("-A -t ", "-a -t ")),
    Target(
        "ipvs-connections",
        _connections(ipvs.parse_connections),
        ("*/state/ipvsadm-conn.txt", "*/truth/ipvsadm-conn.txt"),
    ),
    Target(
        "conntrack",
        _connections(conntrack.parse),
        ("*/state/conntrack.txt", "*/truth/conntrack.txt"),
        ("src=", "dst=", "sport=", "[UNREPLIED]", "[ASSURED]"),
    ),
    Target("nft-json", _nft(nft_json.parse), ("*/state/nft.json",), ('"vmap"', '"jump"')),
    Target("nft-text", _nft(nft_text.parse), (), ("vmap {", "numgen random mod"), (_NFT_RULESET,)),
    Target("addresses", _addresses, ("*/state/addr.json",)),
    Target("routes", _routes, ("*/state/route.json", "*/state/rule.json", "*/state/neigh.json")),
    Target("sysctl", _parser(sysctl.parse), ("*/state/sysctl.txt",)),
    Target("proxy-mode", _parser(proxy_mode.parse), ("*/state/proxy-mode.txt",)),
    Target("cluster", _cluster, ("*/cluster.yaml", "*/cluster.json")),
    Target(
        "filter",
        _filter,
        (),
        ("service=", " and ", "cause=", "10.0.0.0/8", "port ", "not "),
        (b"service=default/web and not (port 443 or 10.0.0.0/8)", b"state!=established"),
    ),
    Target("netlink", _netlink, samples=(_new_connection(),)),
)
