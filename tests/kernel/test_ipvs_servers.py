"""What the kernel tells of its virtual servers is what ipvsadm tells of them."""

from __future__ import annotations

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
