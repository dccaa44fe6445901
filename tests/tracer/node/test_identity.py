import pytest

from tests.tracer.node.test_collect import cluster, node_state
from tracer.node.identity import host_names, node_of, told_name


@pytest.mark.parametrize(
    ("addresses", "names", "expected"),
    [
        (("eth0 192.168.0.2",), (), "b"),
        (("eth0 192.168.0.2",), ("a",), "b"),  # what it has outweighs what it is called
        (("eth0 10.9.9.9",), ("a",), ""),  # a laptop that happens to be called so
        ((), ("a",), "a"),  # addresses could not be read
        (("eth0 192.168.0.1", "eth1 192.168.0.2"), ("b",), "b"),
        (("eth0 192.168.0.1", "eth1 192.168.0.2"), (), ""),
    ],
)
def test_addresses_decide_and_names_settle_a_draw(addresses, names, expected):
    nodes = cluster(a="192.168.0.1", b="192.168.0.2")
    assert node_of(nodes, node_state(*addresses), names) == expected


def test_a_pod_is_told_its_node_or_reads_the_hosts_name(tmp_path):
    assert told_name({"NODE_NAME": "worker-7"}) == "worker-7"
    assert told_name({}) == ""
    (tmp_path / "host/etc").mkdir(parents=True)
    (tmp_path / "host/etc/hostname").write_text("Worker-7.example.com\n")
    assert {"worker-7.example.com", "worker-7"} <= host_names(tmp_path)
