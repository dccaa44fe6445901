import pytest

from tests.tracer.node.rows import TABLES
from tracer import address
from tracer.cluster.model import Cluster, Node
from tracer.node import collect
from tracer.node.collect import Collector, node_of
from tracer.node.model import InterfaceAddress, NodeState
from tracer.node.programmed import Traces


@pytest.fixture
def proc(tmp_path):
    for path, content in (
        ("net/ip_vs", (TABLES / "ip_vs").read_text()),
        ("sys/net/netfilter/nf_conntrack_max", "262144\n"),
        ("sys/net/ipv4/vs/conntrack", "1\n"),
        ("sys/net/ipv4/conf/eth0.100/rp_filter", "2\n"),
        ("sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return tmp_path


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch):
    monkeypatch.setattr(collect, "told_mode", lambda: "")
    monkeypatch.setattr(collect, "traces", lambda unread: Traces(False, False))


def node_state(*addresses):
    found = (text.split() for text in addresses)
    return NodeState(
        addresses=tuple(InterfaceAddress(name, address.parse(ip), 32) for name, ip in found)
    )


def cluster(**nodes):
    return Cluster(
        nodes=tuple(
            Node(name, tuple(map(address.parse, texts.split()))) for name, texts in nodes.items()
        )
    )


@pytest.mark.parametrize(
    ("resolution_s", "ticks"), [(0.004, 250), (0.01, 100), (0.003333333, 300), (1e-9, 0)]
)
def test_the_coarse_clock_tells_the_kernel_s_ticks(monkeypatch, resolution_s, ticks):
    monkeypatch.setattr(collect.time, "clock_getres", lambda clock: resolution_s)
    assert collect.ticks_per_s() == ticks


def test_what_the_kernel_shows_is_read(proc):
    state = Collector(proc=proc).collect()
    assert len(state.virtual_servers) == 6
    assert state.sysctls == {
        "net.netfilter.nf_conntrack_max": "262144",
        "net.ipv4.ip_local_port_range": "32768\t60999",
        "net.ipv4.vs.conntrack": "1",
        "net.ipv4.conf.eth0/100.rp_filter": "2",
    }
    assert "lo" in state.interfaces.values()
    assert state.known >= {"addresses", "interfaces", "virtual_servers", "sysctls"}
    assert "proxy_mode" not in state.known


def test_without_ipvs_there_are_no_servers_and_that_is_known(tmp_path):
    state = Collector(proc=tmp_path).collect()
    assert (state.virtual_servers, "virtual_servers" in state.known) == ((), True)
    assert "sysctls" not in state.known


def test_what_cannot_be_read_is_left_out_and_named(proc):
    (proc / "net/ip_vs").unlink()
    (proc / "net/ip_vs").mkdir()
    state = Collector(proc=proc).collect()
    assert "virtual_servers" not in state.known
    assert any("ip_vs cannot be read" in line for line in state.unparsed)


def test_the_mode_is_asked_once_in_a_while(proc, monkeypatch):
    asked = []
    monkeypatch.setattr(collect, "told_mode", lambda: asked.append(1) or "nftables")
    collector = Collector(proc=proc)
    assert [collector.collect().proxy_mode for _ in range(3)] == ["nftables"] * 3
    assert len(asked) == 1


def test_the_node_is_the_one_with_this_machine_s_addresses():
    nodes = cluster(a="192.168.0.1 fd00::1", b="192.168.0.2")
    assert node_of(nodes, node_state("eth0 192.168.0.2", "lo 127.0.0.1")) == "b"
    assert node_of(nodes, node_state("eth0 10.0.0.1")) == ""


def test_an_external_ip_on_kube_ipvs0_does_not_make_it_another_node():
    nodes = cluster(a="192.168.0.1", b="192.168.0.2", c="192.168.0.3")
    state = node_state("eth0 192.168.0.1", "kube-ipvs0 192.168.0.2", "kube-ipvs0 192.168.0.3")
    assert node_of(nodes, state) == "a"


def test_two_nodes_that_fit_equally_are_none():
    assert node_of(cluster(a="10.0.0.1", b="10.0.0.1"), node_state("eth0 10.0.0.1")) == ""


def test_the_user_s_name_for_the_node_wins(proc):
    state = Collector("worker-7", proc).collect(cluster(a="127.0.0.1"))
    assert (state.node_name, "node_name" in state.known) == ("worker-7", True)
