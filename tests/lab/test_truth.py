"""The kernel's listings and the clients' account mean the same connections."""

from __future__ import annotations

from lab.objects import read, to_cluster
from lab.traffic import Exchange
from lab.truth import Key, Mapped, from_clients, from_conntrack, from_ipvs

KEY = Key("tcp", ("10.244.1.100", 37368), ("10.96.0.10", 80))
MAPPED = Mapped(("10.244.1.11", 8080), ("10.244.1.100", 37368))
LINE = (
    "tcp      6 119 TIME_WAIT src=10.244.1.100 dst=10.96.0.10 sport=37368 dport=80 "
    "src=10.244.1.11 dst=10.244.1.100 sport=8080 dport=37368 [ASSURED] mark=0 use=1\n"
)


def test_conntrack():
    assert from_conntrack(LINE) == {KEY: MAPPED}
    assert from_conntrack("ipv4     2 " + LINE) == {KEY: MAPPED}


def test_connections_that_are_not_translated_are_left_out():
    plain = (
        "udp      17 29 src=10.0.0.1 dst=10.0.0.2 sport=5 dport=6 "
        "src=10.0.0.2 dst=10.0.0.1 sport=6 dport=5 mark=0 use=1\n"
    )
    assert from_conntrack(plain + "icmp     1 29 src=10.0.0.1 dst=10.0.0.2\n") == {}


def test_ipvs():
    listing = (
        "IPVS connection entries\n"
        "pro expire state       source             virtual            destination\n"
        "TCP 01:56  TIME_WAIT   10.244.1.100:37368 10.96.0.10:80      10.244.1.11:8080\n"
        "UDP 04:59  UDP         [fd00::64]:5       [fd00:10:96::a]:53 [fd00::b]:8053\n"
    )
    found = from_ipvs(listing)
    assert found[KEY] == MAPPED.backend
    assert found[Key("udp", ("fd00::64", 5), ("fd00:10:96::a", 53))] == ("fd00::b", 8053)


def test_clients():
    answered = Exchange(
        "tcp", "10.244.1.100", 37368, "10.96.0.10", 80, "echo-1", "10.244.1.100", 37368
    )
    failed = Exchange("tcp", "10.244.1.100", 37370, "10.96.0.10", 80, failure="refused")
    assert from_clients([answered, failed], to_cluster(read("default"))) == {KEY: MAPPED}
