"""IPVS's connections, servers and settings."""

from dataclasses import replace

import pytest

from tests.builders import at, mapping, packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    HERE,
    IN_HOOK,
    NETFILTER,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    dropped,
    handshake,
    node_state,
    refused_by,
    service,
    with_sysctls,
    words,
)
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Turn
from tracer.diagnosis.finding import Severity
from tracer.events import Flag, Hook, TcpFlag
from tracer.node.model import VirtualServer

KNOWN = cluster(service(), endpoints=[HERE, THERE])
ENDS = f"{CLIENT_POD}:40000", f"{VIP}:80"
BACKEND = f"{POD_HERE}:8080"


def server(*weights, ip=VIP, port=80):
    pods = (POD_HERE, POD_THERE)
    backends = tuple((parse(p), 8080, w) for p, w in zip(pods, weights, strict=False))
    return VirtualServer(6, parse(ip), port, "rr", backends)


def node(*servers, **sysctls):
    known = with_sysctls(node_state(VIP, mode="ipvs"), **sysctls)
    return replace(known, virtual_servers=servers, known=known.known | {"virtual_servers"})


def test_a_ready_endpoint_without_weight_is_named_with_the_command():
    story = Story(KNOWN, node(server(0, 1)))
    assert story.causes == ["ipvs-weight-zero-after-restart"]
    assert f"ipvsadm -e -t {VIP}:80 -r {BACKEND} -m -w 1" in story.only.remedy
    story.node(node(server(1, 1)))
    assert story.causes == []


def test_a_new_endpoint_is_named_when_kube_proxy_has_had_its_time():
    story = Story(KNOWN, node(server(0, 1)))
    came = ClusterChange(at(0), Turn.JOINED, HERE.service, HERE)
    story.cluster(replace(KNOWN, changes=(came,), generation=2))
    assert story.causes == []
    story.wait(29)
    assert story.causes == []
    story.wait(1)
    assert story.causes == ["ipvs-weight-zero-after-restart"]


def test_an_endpoint_that_is_not_ready_may_have_none():
    known = cluster(service(), endpoints=[replace(HERE, ready=False), THERE])
    assert Story(known, node(server(0, 1))).causes == []


def test_a_virtual_server_that_no_service_has():
    story = Story(KNOWN, node(server(1, 1), server(1, ip="10.200.1.77")))
    assert story.causes == ["ipvs-foreign-virtual-server"]
    assert "ipvsadm -D -t 10.200.1.77:80" in words(story.only)


def test_node_ports_on_the_nodes_addresses_are_the_services():
    assert Story(KNOWN, node(server(1, 1, ip="172.18.0.3", port=30080))).causes == []


@pytest.mark.parametrize(
    ("value", "severity"), [("3", Severity.WARNING), ("1", Severity.INFO), ("0", None)]
)
def test_a_defence_that_is_on(value, severity):
    story = Story(KNOWN, node(server(1, 1), net__ipv4__vs__drop_packet=value))
    assert [finding.severity for finding in story.found] == [severity] * (severity is not None)


def test_port_21_is_special():
    ports = service()
    ports = replace(ports, ports=(replace(ports.ports[0], port=21),))
    known = cluster(ports, endpoints=[HERE])
    assert Story(known, node(server(1, port=21))).causes == ["ipvs-defense-or-ftp-special-case"]


@pytest.mark.parametrize(("release", "found"), [("5.4.0-90", True), ("6.1.0", False), ("x", False)])
def test_old_kernels_delay_connections_that_reuse_ports(release, found):
    settings = {
        "kernel__osrelease": release,
        "net__ipv4__vs__conn_reuse_mode": "1",
        "net__ipv4__vs__conntrack": "1",
    }
    story = Story(KNOWN, node(server(1, 1), **settings))
    assert story.causes == ["ipvs-conn-reuse-delay"] * found


def connected(story):
    """An IPVS connection with its answer, both legs seen."""
    story.tell(
        record(Hook.IPVS_NEW, 1, *ENDS, nat=(ENDS[0], BACKEND), flags=Flag.IPVS | Flag.AFTER),
        *handshake(1, *ENDS),
        *handshake(1, ENDS[0], BACKEND),
    )


def test_a_reset_in_the_services_name_that_the_backend_did_not_send():
    story = Story(KNOWN, node(server(1, 1)))
    connected(story)
    story.tell(packet(950, *ENDS, "A", seq=5), packet(950, ENDS[1], ENDS[0], "R", seq=7))
    assert story.causes == ["ipvs-idle-timeout-rst"]
    assert "ipvsadm --set 7200 120 300" in words(story.only)


def test_where_packets_were_lost_the_backends_reset_may_be_among_them():
    story = Story(KNOWN, node(server(1, 1)))
    connected(story)
    story.tell(packet(9, *ENDS, "A", seq=5), packet(9, ENDS[1], ENDS[0], "R", seq=7), lost=3)
    assert story.causes == []


def test_a_packet_that_ipvs_dropped_first_is_that_of_a_server_which_was_removed():
    story = Story(KNOWN, node(server(1, 1)))
    connected(story)
    story.tell(dropped(9, ENDS, NETFILTER, IN_HOOK, tcp_flags=TcpFlag.ACK))
    story.tell(packet(9.2, *ENDS, "A", seq=5), packet(9.2, ENDS[1], ENDS[0], "R", seq=7))
    assert story.causes == []


UNTOUCHED = {"nat": ENDS, "flags": Flag.AFTER}


def run_out(story, *closing):
    """Both entries of a connection that worked are gone."""
    translation = {"nat": (ENDS[0], BACKEND), "flags": Flag.IPVS | Flag.AFTER}
    story.tell(record(Hook.CT_NEW, 1, *ENDS, **translation))
    connected(story)
    story.tell(
        *closing,
        record(Hook.CT_END, 6, *ENDS, **translation),
        record(Hook.IPVS_END, 6, *ENDS, **translation),
    )


def forgotten(story, *closing):
    """The next packet is the node's own."""
    run_out(story, *closing)
    story.tell(
        record(Hook.CT_NEW, 12, *ENDS, **UNTOUCHED),
        packet(12, *ENDS, "A", seq=5),
        packet(12, ENDS[1], ENDS[0], "R", seq=7),
        record(Hook.CT_END, 12, *ENDS, **UNTOUCHED),
    )
    story.wait(3)


def test_a_reset_after_conntrack_forgot_the_connection_too():
    story = Story(KNOWN, node(server(1, 1)))
    forgotten(story)
    assert story.causes == ["ipvs-idle-timeout-rst"]
    assert (story.only.count, story.only.since_ns) == (1, at(12))
    assert f"{ENDS[0]}" in words(story.only)


def test_conntracks_word_may_come_after_the_reset():
    story = Story(KNOWN, node(server(1, 1)))
    run_out(story)
    story.tell(packet(12, *ENDS, "A", seq=5), packet(12, ENDS[1], ENDS[0], "R", seq=7))
    story.tell(record(Hook.CT_NEW, 12.1, *ENDS, **UNTOUCHED))
    story.tell(record(Hook.CT_END, 12.2, *ENDS, **UNTOUCHED))
    story.wait(4)
    assert story.causes == ["ipvs-idle-timeout-rst"]


def test_a_straggler_of_a_connection_that_was_closed_is_nobodys_loss():
    story = Story(KNOWN, node(server(1, 1)))
    forgotten(story, packet(3, *ENDS, "FA", seq=5))
    assert story.causes == []


@pytest.mark.parametrize("batches", [1, 2])
def test_a_reset_of_the_backend_is_its_own_affair(batches):
    """Its translated copy may come in the next batch."""
    story = Story(KNOWN, node(server(1, 1)))
    connected(story)
    both = packet(9, BACKEND, ENDS[0], "R", seq=7), packet(9, ENDS[1], ENDS[0], "R", seq=7)
    for told in (both,) if batches == 1 else ((each,) for each in both):
        story.tell(*told)
    story.tell(record(Hook.IPVS_END, 19, *ENDS, nat=(ENDS[0], BACKEND), flags=Flag.IPVS))
    assert story.found == []


def test_a_reused_port_leads_to_a_drained_server():
    known = cluster(service(), endpoints=[THERE])
    settings = {"net__ipv4__vs__conn_reuse_mode": "0"}
    story = Story(known, node(server(0, 1), **settings))
    story.tell(*refused_by(1, ENDS, BACKEND))
    assert story.causes == ["ipvs-reuse-to-draining-server"]
    other = Story(known, node(server(0, 1)))
    other.tell(*refused_by(1, ENDS, BACKEND))
    assert other.causes == ["endpoint-removal-lag"]


def test_ports_used_again_lead_to_the_server_of_before_whatever_its_weight_is():
    """The weight is read once a second; that the same ports led there is known at once."""
    known = cluster(service(), endpoints=[THERE])
    off = {"net__ipv4__vs__conn_reuse_mode": "0"}
    story = Story(known, node(server(1, 1), **off))
    story.tell(mapping(1, *ENDS, BACKEND), *handshake(1, *ENDS))
    story.tell(mapping(3, *ENDS, BACKEND, hook=Hook.CT_END))
    story.tell(*refused_by(5, ENDS, BACKEND))
    assert story.causes == ["ipvs-reuse-to-draining-server"]
    assert "which is gone" in words(story.only)
    story.node(node(server(0, 1), **off))
    story.tell(*refused_by(6, (f"{CLIENT_POD}:40001", ENDS[1]), BACKEND))
    assert story.causes == ["ipvs-reuse-to-draining-server"]
