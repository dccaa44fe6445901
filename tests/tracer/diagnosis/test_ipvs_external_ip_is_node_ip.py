import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    IN_RCV,
    IN_TCP,
    MASTER_1,
    MASTER_2,
    NO_SOCKET,
    UNSPECIFIED,
    WORKER,
    Story,
    cluster,
    node_state,
    service,
    words,
)
from tracer.address import parse
from tracer.cluster.model import Cluster, Node, ServicePort
from tracer.diagnosis.finding import Severity
from tracer.events import Flag, Hook, TcpFlag
from tracer.node.model import NodeState

CAUSE = "ipvs-external-ip-is-node-ip"
FORWARD = service(
    "port-forward",
    "kube-system",
    ports=(ServicePort("", 6, 6444, "6443"),),
    external_ips=(parse(MASTER_1), parse(MASTER_2)),
)
FAULTY = node_state(MASTER_2, "10.200.1.10", mode="ipvs")
ETCD = f"{MASTER_2}:2380"


def test_it_is_found_before_any_flow():
    story = Story(cluster(FORWARD), FAULTY)
    bound = next(f for f in story.found if f.subject.address == parse(MASTER_2))
    assert bound.cause == CAUSE
    assert bound.severity == Severity.CRITICAL
    assert bound.subject.service == "kube-system/port-forward"
    assert bound.summary == (
        "node IP 172.18.0.4 (master-2) is bound on kube-ipvs0 by Service "
        "kube-system/port-forward (externalIPs): packets for it are delivered to this node itself"
    )
    assert bound.count == 0


def test_the_owner_sees_what_the_other_nodes_do_to_it():
    story = Story(cluster(FORWARD), FAULTY)
    own = next(f for f in story.found if f.subject.address == parse(MASTER_1))
    assert "every node in ipvs mode but its owner" in own.summary
    assert len(story.found) == 2


def test_the_recovery_is_printed_in_order_with_real_names():
    story = Story(cluster(FORWARD), FAULTY)
    steps = story.found[0].remedy
    assert len(steps) == 7
    assert "(master-1, master-2)" in steps[0]
    assert "crictl stop" in steps[1]
    assert "docker stop" in steps[1]
    for ip in (MASTER_1, MASTER_2):
        assert f"ip addr del {ip}/32 dev kube-ipvs0" in steps[2]
    assert steps[3].endswith("kubectl delete service port-forward -n kube-system")
    assert steps[4].endswith("systemctl start kubelet")
    assert "(worker-1)" in steps[5]
    assert "DenyServiceExternalIPs" in steps[6]


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_the_same_service_is_harmless_in_other_modes(mode):
    story = Story(cluster(FORWARD), node_state(mode=mode))
    story.tell(
        packet(1, "172.18.0.9:4000", f"{MASTER_1}:6444", "S"),
        packet(1, f"{MASTER_1}:6444", "172.18.0.9:4000", "SA"),
    )
    story.wait(10)
    assert story.found == []


def test_the_cluster_alone_tells_when_the_mode_is_known():
    story = Story(cluster(FORWARD), NodeState(proxy_mode="ipvs"))
    assert story.causes == [CAUSE, CAUSE]
    assert {finding.confidence for finding in story.found} == {0.9}


def test_nothing_is_claimed_while_the_mode_is_unknown():
    assert Story(cluster(FORWARD), NodeState()).found == []


def test_a_load_balancer_address_left_to_its_proxy_is_not_bound():
    proxied = service(load_balancer_ips=(parse(MASTER_2),), load_balancer_modes=("Proxy",))
    assert Story(cluster(proxied), NodeState(proxy_mode="ipvs")).found == []
    direct = service(load_balancer_ips=(parse(MASTER_2),), load_balancer_modes=("VIP",))
    assert Story(cluster(direct), NodeState(proxy_mode="ipvs")).causes == [CAUSE]


def test_an_address_left_behind_is_named_without_a_service():
    finding = Story(cluster(), FAULTY).only
    assert "a Service that no longer exists" in finding.summary
    assert not any("kubectl delete" in step for step in finding.remedy)


def test_it_closes_when_the_addresses_are_given_back():
    story = Story(cluster(FORWARD), FAULTY)
    story.node(node_state(mode="ipvs"))
    assert story.found == []
    assert story.closed == [CAUSE, CAUSE]


def test_a_claim_on_the_owner_alone_lasts_as_long_as_the_service():
    story = Story(cluster(service(external_ips=(parse(MASTER_1),))), node_state(mode="ipvs"))
    assert "every node in ipvs mode but its owner" in story.only.summary
    story.cluster(cluster())
    assert story.found == []


def refused_here(seconds, port):
    """The peer connection as node1's loopback shows it: source and destination are one."""
    syn = packet(seconds, f"{MASTER_2}:{port}", ETCD, "S", flags=Flag.LOOPBACK, ifindex=1, seq=port)
    reset = packet(seconds, ETCD, f"{MASTER_2}:{port}", "RA", flags=Flag.LOOPBACK, ifindex=1)
    return syn, reset


def test_peer_traffic_is_named_as_delivered_locally():
    story = Story(cluster(FORWARD), FAULTY)
    update = story.tell(*refused_here(1, 40001), *refused_here(1.5, 40002))
    (finding,) = update.updated
    assert finding.count == 2
    assert (
        "packets for node master-2 delivered locally on node master-1: "
        "172.18.0.4:40001 -> 172.18.0.4:2380/tcp"
    ) in words(finding)
    story.wait(10)
    assert story.causes == [CAUSE, CAUSE]


def test_kernel_records_alone_show_it_too():
    story = Story(cluster(FORWARD), FAULTY)
    ends = f"{MASTER_2}:40001", ETCD
    syn = {"tcp_flags": TcpFlag.SYN}
    story.tell(
        record(Hook.LOCAL_IN, 1, *ends, **syn),
        record(Hook.DROP, 1, *ends, reason=NO_SOCKET, detail=IN_TCP, **syn),
        record(Hook.RST_SENT, 1, *ends, **syn),
    )
    bound = next(f for f in story.found if f.subject.address == parse(MASTER_2))
    assert bound.count == 1
    story.wait(10)
    assert set(story.causes) == {CAUSE}


def test_packets_from_the_other_node_are_taken_for_spoofed():
    story = Story(cluster(FORWARD), FAULTY)
    syn = {"tcp_flags": TcpFlag.SYN, "reason": UNSPECIFIED, "detail": IN_RCV}
    story.tell(record(Hook.DROP, 1, f"{MASTER_2}:5000", f"{MASTER_1}:22", **syn))
    assert any("taken for spoofed" in words(finding) for finding in story.found)


def test_the_services_own_port_works_and_is_no_evidence():
    story = Story(cluster(FORWARD), FAULTY)
    ends = f"{WORKER}:40001", f"{MASTER_2}:6444"
    story.tell(
        record(Hook.LOCAL_IN, 1, *ends, tcp_flags=TcpFlag.SYN),
        record(Hook.IPVS_NEW, 1, *ends, nat=(ends[0], f"{MASTER_1}:6443"), flags=Flag.IPVS),
        packet(1.1, ends[0], ends[1], "S"),
        packet(1.2, ends[1], ends[0], "SA"),
    )
    story.wait(10)
    assert {finding.count for finding in story.found} == {0}


def test_names_are_plain_text_and_one_word_in_commands():
    hostile = service("x; reboot", "\x1b[31mred", external_ips=(parse(MASTER_2),))
    finding = Story(cluster(hostile), FAULTY).only
    assert "\x1b" not in words(finding)
    assert any(
        step.endswith("kubectl delete service 'x; reboot' -n '\\x1b[31mred'")
        for step in finding.remedy
    )


def test_ipv6_addresses_are_removed_with_their_own_prefix():
    node = Node("master-2", (parse("fd00:18::4"),), control_plane=True)
    taken = service(external_ips=(parse("fd00:18::4"),))
    story = Story(Cluster((taken,), nodes=(node,)), node_state("fd00:18::4", mode="ipvs"))
    assert "ip addr del fd00:18::4/128 dev kube-ipvs0" in words(story.only)
