"""Address sets as ``ipset`` keeps them, asked by a packet."""

from __future__ import annotations

import pytest

from tests.tracer.path.node import packet
from tracer.node import ipset
from tracer.node.lines import Unread
from tracer.node.model import NodeState
from tracer.path.ground import Ground
from tracer.path.members import in_set
from tracer.path.packet import Doubt

SETS = """\
create ip hash:ip family inet
add ip 10.96.0.10
add ip 192.0.2.0-192.0.2.7
create service hash:ip,port family inet
add service 10.96.0.10,tcp:80
add service 10.96.0.11,udp:53-54
create hairpin hash:ip,port,ip family inet
add hairpin 10.244.1.11,tcp:8080,10.244.1.11
create wide hash:net family inet
add wide 10.0.0.0/8
add wide 10.96.0.0/16 nomatch
add wide 10.96.0.8/29
create ranged hash:ip,port,net family inet
add ranged 10.96.0.10,tcp:80,203.0.113.0/24
create ports bitmap:port range 0-65535
add ports 80
create six hash:ip family inet6
add six fd00::1
create link hash:net,iface family inet
add link 10.0.0.0/8,eth0
create masked hash:ip family inet netmask 24
add masked 10.96.0.0
create strange hash:mac
add strange 01:02:03:04:05:06
create all list:set size 8
add all ip
add all service
create more list:set size 8
add more nothing
"""
GROUND = Ground(
    NodeState(address_sets=ipset.parse(SETS, Unread("ipset")), known=frozenset({"address_sets"})),
    ipv6=False,
)


@pytest.mark.parametrize(
    ("name", "sides", "target", "expected"),
    [
        ("ip", "dst", "10.96.0.10:80", True),
        ("ip", "src", "10.96.0.10:80", False),
        ("ip", "dst", "192.0.2.5:80", True),
        ("ip", "dst", "192.0.2.9:80", False),
        ("service", "dst,dst", "10.96.0.10:80", True),
        ("service", "dst,dst", "10.96.0.10:81", False),
        ("wide", "dst", "10.1.2.3:80", True),
        ("wide", "dst", "10.96.1.1:80", False),
        ("wide", "dst", "10.96.0.10:80", True),
        ("ranged", "dst,dst,src", "10.96.0.10:80", True),
        ("ports", "dst", "1.2.3.4:80", True),
        ("ports", "dst", "1.2.3.4:81", False),
        ("six", "dst", "10.96.0.10:80", False),
        ("link", "dst,src", "10.1.1.1:80", True),
        ("all", "dst,dst", "10.96.0.10:81", True),
        ("all", "dst,dst", "10.96.0.99:81", False),
    ],
)
def test_a_packet_and_a_set(name, sides, target, expected):
    sent = packet("203.0.113.9", target, "eth0")
    assert in_set(GROUND, name, sides.split(","), sent) is expected


def test_protocols_are_told_apart():
    sent = packet("203.0.113.9", "10.96.0.11:54", "eth0", "udp")
    assert in_set(GROUND, "service", ["dst", "dst"], sent) is True
    assert in_set(GROUND, "service", ["dst", "dst"], packet("1.1.1.1", "10.96.0.11:54")) is False


def test_a_pod_that_talks_to_itself():
    itself = packet("10.244.1.11", "10.244.1.11:8080")
    assert in_set(GROUND, "hairpin", ["dst", "dst", "src"], itself) is True


@pytest.mark.parametrize("name", ["masked", "strange", "missing", "more"])
def test_what_is_not_understood_is_a_doubt(name):
    assert isinstance(in_set(GROUND, name, ["dst"], packet("1.1.1.1", "10.96.0.10:80")), Doubt)


def test_a_source_port_that_was_not_given_is_a_doubt():
    sent = packet("10.96.0.10", "1.1.1.1:80")
    assert isinstance(in_set(GROUND, "service", ["src", "src"], sent), Doubt)
