"""What the kernel tells of its virtual servers is what ipvsadm tells of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kernel import field
from tracer.node.collect import Collector
from tracer.node.ipvs_servers import parse
from tracer.node.lines import Unread

pytestmark = pytest.mark.kernel

SERVERS = """\
-A -t 10.9.8.7:80 -s rr -p 10800
-a -t 10.9.8.7:80 -r 10.1.2.3:8080 -m -w 3
-A -u [fd00::987]:53 -s sh
-a -u [fd00::987]:53 -r [fd00::123]:53 -m -w 1
-A -f 9 -s wrr -p 360
"""


def test_persistence_is_in_seconds_though_the_kernel_tells_ticks():
    field.run("modprobe -a ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh")
    try:
        field.run("ipvsadm -R", stdin=SERVERS)
        state = Collector().collect()
        told = parse(field.run("ipvsadm -Sn"), Unread("ipvsadm"))
        assert set(state.virtual_servers) == set(told[0])
        assert set(state.mark_servers) == set(told[1])
        assert {server.persistent_s for server in state.virtual_servers} == {0, 10800}
    finally:
        field.run("ipvsadm -C")


OTHER = "vt-ipvs-other"


def many(mark: int) -> str:
    """Rules of more servers than a page of the listing holds."""
    lines = [f"-A -f {mark} -s rr -p 60", f"-a -f {mark} -r 10.1.0.1:0 -m -w 2"]
    for number in range(1, 151):
        persistent = " -p 300" if number % 3 == 0 else ""
        v4, v6 = f"-t 10.9.{mark}.{number}:80", f"-u [fd00::{number:x}]:53"
        lines += [f"-A {v4} -s rr{persistent}", f"-A {v6} -s wrr"]
        lines += [
            f"-a {v4} -r 10.1.{pod}.{number}:8080 -{way} -w {pod}"
            for pod, way in enumerate(("m", "g", "i"))
        ]
        lines.append(f"-a {v6} -r [fd00:1::{number:x}]:53 -m -w {number}")
    return "\n".join(lines) + "\n"


def test_servers_of_other_namespaces_hide_none_of_ours():
    field.run("modprobe -a ip_vs ip_vs_rr ip_vs_wrr")
    field.run(f"ip netns add {OTHER}")
    try:
        field.run(f"ip netns exec {OTHER} ipvsadm -R", stdin=many(7))
        field.run("ipvsadm -R", stdin=many(9))
        state = Collector().collect()
        told = parse(field.run("ipvsadm -Sn"), Unread("ipvsadm"))
        assert len(state.virtual_servers) == len(told[0]) == 300
        for found, expected in ((state.virtual_servers, told[0]), (state.mark_servers, told[1])):
            assert set(map(ordered, found)) == set(map(ordered, expected))
    finally:
        field.run("ipvsadm -C")
        field.run(f"ip netns del {OTHER}")


def ordered(server):
    """The same with its backends in order, of which each listing has its own."""
    backends = sorted(zip(server.backends, server.methods, strict=True))
    return replace(server, backends=tuple(backends), methods=())
