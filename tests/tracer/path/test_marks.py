"""IPVS servers of firewall marks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tracer.path.node import interface, node, packet, route, told, walked
from tracer import address
from tracer.node.model import MarkServer

ADDRESSES = interface("eth0", "172.30.0.2/24") + interface("kube-ipvs0", "10.96.0.10/32")
ROUTES = [route("10.244.0.0/16", "cni0"), route("172.30.0.0/24", "eth0")]
MARKED = """*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 10.96.0.10/32 -j MARK --set-xmark {mark}/0xffffffff
COMMIT
"""


def state(mark: str = "0x7", weight: int = 1, *, ipv6: bool = False):
    backend = (address.parse("10.244.1.10"), 0, weight)
    server = MarkServer(7, ipv6, "rr", (backend,), ("masq",))
    made = node(ADDRESSES, ROUTES, xtables=MARKED.format(mark=mark))
    return replace(made, mark_servers=(server,))


def test_a_marked_packet_goes_to_the_marks_backend_and_keeps_its_port():
    path = walked(state(), packet("172.30.0.9", "10.96.0.10:8443", "eth0"))
    assert told(path) == "delivered 10.244.1.10:8443"


@pytest.mark.parametrize("mark", ["0x4007", "0x6", "0x0"])
def test_the_whole_mark_counts(mark):
    path = walked(state(mark), packet("172.30.0.9", "10.96.0.10:80", "eth0"))
    assert path.verdict == "local"


def test_a_mark_of_the_other_family_is_another():
    path = walked(state(ipv6=True), packet("172.30.0.9", "10.96.0.10:80", "eth0"))
    assert path.verdict == "local"


def test_a_mark_without_usable_backends_refuses():
    path = walked(state(weight=0), packet("172.30.0.9", "10.96.0.10:80", "eth0"))
    assert told(path) == "rejected: ipvs-weight-zero-after-restart"
