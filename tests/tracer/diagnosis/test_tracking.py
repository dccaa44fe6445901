"""Conntrack, filters, bridges and links."""

from dataclasses import replace

import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    IN_HOOK,
    MASTER_1,
    MASTER_2,
    NETFILTER,
    POD_HERE,
    POD_THERE,
    TEXTS,
    THERE,
    VIP,
    Story,
    asked_in_vain,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    translated,
    with_sysctls,
    words,
)
from tracer.address import parse
from tracer.events import Flag, Hook, TcpFlag
from tracer.node.routing import NextHop, Route
from tracer.node.xtables import XtChain, XtTables

KNOWN = cluster(service(), endpoints=[HERE, THERE])
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
BACKEND = f"{POD_HERE}:8080"
CSUM, IN_UDP = 90, 91
TOO_BIG = 3 << 8 | 4


def ruled(**chains):
    named = {name.replace("_", "-"): lines for name, lines in chains.items()}
    made = {name: XtChain(name, "ACCEPT" if name == "FORWARD" else "", lines)
            for name, lines in named.items()}  # fmt: skip
    tables = XtTables(False, "nft", "", {"filter": made})
    state = node_state()
    known = state.known | {"xtables", "xtables.ip"}
    return replace(state, xtables=(tables,), known=known)


INVALID = ruled(KUBE_FORWARD=["-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP"])


def stray(story):
    """A segment of a connection that did not begin here, dropped."""
    ends = f"{CLIENT_POD}:40000", f"{POD_THERE}:8080"
    story.tell(packet(1, *ends, "A", seq=5))
    story.tell(dropped(1, ends, NETFILTER, IN_HOOK, tcp_flags=16))


def test_packets_without_a_beginning_are_dropped_by_kube_proxys_rule():
    story = Story(KNOWN, INVALID)
    stray(story)
    assert story.causes == ["conntrack-invalid-drop"]


@pytest.mark.parametrize(
    "state",
    [ruled(), with_sysctls(INVALID, net__netfilter__nf_conntrack_tcp_be_liberal="1")],
)
def test_without_the_rule_or_its_strictness_it_is_another_cause(state):
    story = Story(KNOWN, state)
    stray(story)
    assert "conntrack-invalid-drop" not in story.causes


def test_answers_whose_requests_took_another_way_are_dropped_by_it():
    story = Story(KNOWN, INVALID)
    back = f"{POD_THERE}:8080", f"{CLIENT_POD}:40000"
    story.tell(packet(1, *back, "SA"))
    story.tell(dropped(1, back, NETFILTER, IN_HOOK, tcp_flags=TcpFlag.SYN | TcpFlag.ACK))
    assert story.causes == ["conntrack-invalid-drop"]


def test_a_request_that_is_dropped_began_here():
    story = Story(KNOWN, INVALID)
    story.tell(dropped(1, ASK, NETFILTER, IN_HOOK))
    story.tell(packet(1, *ASK, "S"))
    assert "conntrack-invalid-drop" not in story.causes


def test_a_client_that_resets_the_pod_itself_in_mid_flow():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, *ASK, BACKEND), *handshake(1, *ASK))
    story.tell(packet(5, ASK[0], BACKEND, "R", seq=9))
    assert story.causes == ["conntrack-invalid-rst"]


def test_its_own_reset_only_goes_out_translated():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, *ASK, BACKEND), *handshake(1, *ASK))
    story.tell(
        packet(5, *ASK, "R", seq=9),
        packet(5, ASK[0], BACKEND, "R", seq=9, flags=Flag.OUTGOING),
        packet(5, ASK[0], BACKEND, "R", seq=9, ifindex=7),
    )
    assert story.causes == []


def test_an_old_mapping_holds_a_fixed_port():
    story = Story(cluster(service(), endpoints=[THERE]), node_state())
    story.tell(translated(0, *ASK, "10.10.1.77:8080", flags=Flag.DST_NAT | Flag.EXISTING))
    story.tell(*handshake(0.5, f"{CLIENT_POD}:39000", f"{MASTER_1}:9000"), *asked_in_vain(1, *ASK))
    story.wait(2)
    assert story.causes == ["stale-tcp-sctp-conntrack"]
    assert "conntrack -D -p tcp --orig-dst 10.200.1.10" in words(story.only)


def test_prohibited_is_a_firewalls_word():
    story = Story(KNOWN, node_state())
    story.tell(record(Hook.ICMP_SENT, 1, *ASK, detail=3 << 8 | 10, tcp_flags=2))
    assert story.causes == ["foreign-firewall-order"]


def walled(*rules):
    """A node with these rules in FORWARD, through which packets can be walked."""
    state = ruled(FORWARD=list(rules))
    way = Route("main", "unicast", parse("0.0.0.0"), 96, False, hops=(NextHop("eth0"),))
    state = replace(state, routes=(way,), known=state.known | {"routes"})
    settings = {"net__ipv4__conf__all__rp_filter": "0", "net__ipv4__conf__eth0__rp_filter": "0"}
    return with_sysctls(state, **settings, net__ipv4__ip_forward="1")


def test_a_rule_that_is_listed_later_is_shown_then():
    story = Story(KNOWN, node_state())
    story.tell(record(Hook.ICMP_SENT, 1, *ASK, detail=3 << 8 | 10, tcp_flags=2))
    assert "-D FORWARD" not in words(story.only)
    story.node(walled("-A FORWARD -j REJECT --reject-with icmp-host-prohibited"))
    assert "iptables -t filter -D FORWARD -j REJECT" in words(story.only)
    assert story.only.count == 1


def test_the_foreign_rule_is_shown():
    story = Story(KNOWN, walled(f"-A FORWARD -s {CLIENT_POD}/32 -j DROP"))
    story.tell(dropped(1, ASK, NETFILTER, IN_HOOK))
    assert story.causes == ["foreign-firewall-order"]
    assert f"-A FORWARD -s {CLIENT_POD}/32 -j DROP" in words(story.only)
    assert f"iptables -t filter -D FORWARD -s {CLIENT_POD}/32 -j DROP" in words(story.only)


def bridged(**settings):
    state = with_sysctls(node_state(), **settings)
    return replace(state, masters={"veth1": "cbr0"}, known=state.known | {"masters"})


OFF = {"net__bridge__bridge-nf-call-iptables": "0"}
ON = {"net__bridge__bridge-nf-call-iptables": "1"}


def unheard(story):
    story.tell(
        *handshake(0, f"{CLIENT_POD}:39000", f"{MASTER_1}:9000"),
        translated(1, *ASK, BACKEND),
        *asked_in_vain(1, *ASK),
    )
    story.wait(2)


def test_answers_past_netfilter_over_a_bridge():
    story = Story(KNOWN, bridged(**OFF))
    unheard(story)
    assert story.causes == ["bridge-nf-call-off"]
    assert "modprobe br_netfilter" in words(story.only)
    story.node(bridged(**ON))
    assert story.closed == ["bridge-nf-call-off"]


@pytest.mark.parametrize("state", [bridged(**ON), with_sysctls(node_state(), **OFF)])
def test_where_bridges_are_filtered_or_there_is_none(state):
    story = Story(KNOWN, state)
    unheard(story)
    assert story.causes == ["unanswered-unexplained"]


def test_a_masqueraded_pod_that_does_not_reach_itself_over_a_bridge():
    story = Story(KNOWN, bridged(**ON))
    own = f"{POD_HERE}:40000", f"{VIP}:80"
    story.tell(
        *handshake(0, f"{CLIENT_POD}:39000", f"{MASTER_1}:9000"),
        translated(1, *own, BACKEND, source=f"{MASTER_1}:50000"),
        *asked_in_vain(1, *own),
    )
    story.wait(2)
    assert story.causes == ["bridge-hairpin-mode-off"]
    assert "chosen itself and masqueraded" in words(story.only)


def test_what_a_bridge_translated_before_it_threw_it_away_is_not_called_masqueraded():
    story = Story(KNOWN, bridged(**ON))
    story.tell(
        *handshake(0, f"{CLIENT_POD}:39000", f"{MASTER_1}:9000"),
        *asked_in_vain(1, f"{POD_HERE}:40000", f"{POD_HERE}:8080"),
    )
    story.wait(2)
    assert story.causes == ["bridge-hairpin-mode-off"]
    assert "masqueraded" not in story.only.summary


def too_big(seconds):
    return record(Hook.ICMP_SENT, seconds, *ASK, detail=TOO_BIG, tcp_flags=16)


def test_too_big_again_and_again_is_a_black_hole():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, *ASK, BACKEND), *handshake(1, *ASK), too_big(2))
    story.wait(5)
    assert story.causes == []
    story.tell(too_big(9))
    assert story.causes == ["mtu-blackhole"]


def test_too_big_once_is_how_path_mtu_discovery_works():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, *ASK, BACKEND), *handshake(1, *ASK))
    story.tell(too_big(2), too_big(2.001), too_big(2.3))
    story.wait(10)
    assert story.causes == []


def test_a_wrong_checksum_on_a_tunnels_port(monkeypatch):
    monkeypatch.setitem(TEXTS, CSUM, "UDP_CSUM")
    monkeypatch.setitem(TEXTS, IN_UDP, "__udp4_lib_rcv+0x9")
    story = Story(KNOWN, node_state())
    for port in (8472, 9999):
        ends = f"{MASTER_2}:50000", f"{MASTER_1}:{port}"
        story.tell(dropped(1, ends, CSUM, IN_UDP, protocol=17, tcp_flags=0))
    assert (story.found[0].cause, story.found[0].count) == ("vxlan-checksum-offload", 1)


def test_a_cluster_ip_is_asked_from_outside():
    elsewhere = replace(node_state(name=""), addresses=(), node_name="")
    story = Story(KNOWN, elsewhere)
    story.tell(*asked_in_vain(1, f"{CLIENT}:40000", f"{VIP}:80"))
    story.wait(2)
    assert story.causes == ["clusterip-from-outside"]
    assert f"ip route add {VIP}/32 via 172.18." in words(story.only)


def test_on_a_node_its_rules_decide():
    story = Story(KNOWN, node_state())
    story.tell(*asked_in_vain(1, f"{CLIENT}:40000", f"{VIP}:80"))
    story.wait(2)
    assert "clusterip-from-outside" not in story.causes
