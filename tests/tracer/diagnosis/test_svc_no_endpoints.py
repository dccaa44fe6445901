import pytest

from tests.builders import packet, record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    HERE,
    IN_NFT,
    NETFILTER,
    VIP,
    Story,
    cluster,
    endpoint,
    handshake,
    node_state,
    service,
    translated,
    with_endpoints,
    words,
)
from tracer.address import parse
from tracer.diagnosis.finding import Severity
from tracer.events import Flag, Hook, Protocol, TcpFlag

CAUSE = "svc-no-endpoints"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
SYN = {"tcp_flags": TcpFlag.SYN}
EMPTY = cluster(
    service(selector={"app": "web"}), endpoints=[endpoint("10.10.1.3", "x", ready=False)]
)


def rejected(seconds, port=40000):
    ends = f"{CLIENT_POD}:{port}", f"{VIP}:80"
    return (
        record(Hook.DROP, seconds, *ends, reason=NETFILTER, detail=IN_NFT, **SYN),
        record(Hook.ICMP_SENT, seconds, *ends, detail=3 << 8 | 3, **SYN),
    )


def no_destination(seconds):
    return (record(Hook.IPVS_NO_DEST, seconds, *ASK, **SYN), *rejected(seconds))


@pytest.mark.parametrize(
    ("records", "confidence", "says"),
    [
        (no_destination(1), 1.0, "no usable real server"),
        (rejected(1), 0.95, "refused with ICMP 3/3"),
    ],
    ids=["ipvs", "iptables and nftables"],
)
def test_a_refusal_of_a_service_without_endpoints_is_explained(records, confidence, says):
    story = Story(EMPTY, node_state())
    story.tell(*records)
    finding = story.only
    assert (finding.cause, finding.severity) == (CAUSE, Severity.WARNING)
    assert finding.confidence == confidence
    assert finding.subject.service == "default/web"
    assert says in words(finding)
    assert "Service default/web port http: 0 of 1 endpoints usable" in words(finding)
    assert "kubectl get pods -n default -l app=web" in words(finding)


def test_it_is_one_finding_with_a_count():
    story = Story(EMPTY, node_state())
    for number in range(5):
        story.tell(*rejected(1 + number, 40000 + number))
    assert story.only.count == 5
    assert len(story.only.evidence) <= 10


def test_an_icmp_seen_on_the_wire_is_enough():
    story = Story(EMPTY)
    icmp = record(
        Hook.PACKET,
        1.1,
        "172.18.0.3:0",
        f"{CLIENT_POD}:0",
        nat=ASK,
        protocol=Protocol.ICMP,
        detail=3 << 8 | 3,
        reason=Protocol.TCP,
        flags=Flag.QUOTED,
        ifindex=2,
    )
    story.tell(packet(1, *ASK, "S"), icmp)
    assert story.only.cause == CAUSE
    assert "refused with ICMP 3/3 from 172.18.0.3" in words(story.only)


def test_silence_is_weaker_evidence_and_loss_weakens_it_further():
    def silent(lost):
        story = Story(EMPTY)
        story.tell(packet(1, *ASK, "S"), packet(2, *ASK, "S"))
        assert story.found == []
        story.wait(3, lost=lost)
        return story.only

    assert silent(0).confidence == 0.7
    assert silent(3).confidence == pytest.approx(0.28)


def test_a_reset_is_never_this_cause():
    story = Story(EMPTY)
    story.tell(packet(1, *ASK, "S"), packet(1, *ASK[::-1], "RA"))
    story.wait(4)
    assert story.causes == ["refused-by-backend"]


def test_a_service_with_endpoints_is_not_blamed():
    story = Story(cluster(service(), endpoints=[HERE]), node_state())
    story.tell(*rejected(1))
    assert CAUSE not in story.causes


def test_without_a_cluster_ipvs_is_believed():
    story = Story(node=node_state())
    story.tell(*no_destination(1))
    assert story.only.cause == CAUSE
    assert story.only.confidence == 0.8


def test_it_closes_when_endpoints_come_back_and_stays_closed():
    story = Story(EMPTY, node_state())
    story.tell(*rejected(1))
    update = story.cluster(with_endpoints(EMPTY, HERE))
    assert [finding.cause for finding in update.closed] == [CAUSE]
    story.wait(30)
    assert story.found == []


def test_it_closes_when_the_port_answers_again():
    story = Story(EMPTY, node_state())
    story.tell(*rejected(1))
    client = f"{CLIENT_POD}:41000"
    story.tell(translated(5, client), *handshake(5.1, client, f"{VIP}:80"))
    assert story.found == []


def test_a_cluster_that_arrives_late_replaces_the_fallback():
    story = Story(node=node_state())
    story.tell(*rejected(1))
    story.wait(4)
    assert story.causes == ["dropped-unexplained"]
    story.cluster(EMPTY)
    assert story.causes == [CAUSE]
    assert story.closed == []
    assert story.pipeline.findings.counts() == {CAUSE: 1}


def test_ipv6_is_refused_with_its_own_code():
    known = cluster(service(cluster_ips=(parse("fd00:96::10"),)))
    ends = "[fd00:10::9]:40000", "[fd00:96::10]:80"
    story = Story(known, node_state())
    story.tell(record(Hook.ICMP_SENT, 1, *ends, detail=1 << 8 | 4, **SYN))
    assert story.only.cause == CAUSE
    assert "[fd00:10::9]:40000 -> [fd00:96::10]:80/tcp" in words(story.only)
    assert "ICMP 1/4" in words(story.only)
