import pytest

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    handshake,
    node_state,
    service,
    translated,
)
from tracer.diagnosis.finding import Severity
from tracer.events import Flag, Hook, Origin, Protocol

CAUSE = "unanswered-unexplained"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
KNOWN = cluster(service(), endpoints=[THERE])
OTHERS = handshake(0.5, f"{CLIENT_POD}:39999", f"{VIP}:80")
"""Another flow of the same interface, whose answer is seen."""


def asking(*seconds, ends=ASK, **fields):
    return tuple(packet(second, *ends, "S", **fields) for second in seconds)


def told(*records, wait=4, lost=0):
    story = Story(KNOWN, node_state())
    story.tell(*records)
    story.wait(wait, lost=lost)
    return story


def test_silence_after_translation_is_found():
    story = told(*OTHERS, translated(1, ASK[0]), *asking(1))
    finding = story.only
    assert (finding.cause, finding.severity) == (CAUSE, Severity.INFO)
    assert finding.confidence == 0.6
    assert finding.subject.service == "default/web"


def test_only_a_client_that_insists_is_worth_a_warning():
    story = told(*OTHERS, translated(1, ASK[0]), *asking(1, 2), wait=6)
    assert story.only.severity == Severity.WARNING


@pytest.mark.parametrize(("times", "confidence"), [((1, 2), 0.75), ((1, 2, 4), 0.9)])
def test_repetitions_make_it_surer(times, confidence):
    assert told(*OTHERS, *asking(*times), wait=6).only.confidence == confidence


def test_losses_make_it_less_sure_and_are_told():
    finding = told(*OTHERS, *asking(1, 2, 3.5), wait=6, lost=7).only
    assert finding.confidence == pytest.approx(0.36)
    assert "7 records were lost meanwhile" in finding.evidence[-1].text


def test_it_is_not_judged_before_three_seconds():
    assert told(*OTHERS, *asking(1), wait=2.5).found == []


def test_where_no_answer_is_visible_at_all_nothing_is_said():
    assert told(*asking(1), wait=20).found == []
    assert told(*asking(1, 2, 4), wait=20).found == []


def test_answers_seen_later_make_the_silence_before_tell_and_end_it():
    story = told(*asking(1), wait=10)
    story.tell(*handshake(12, f"{CLIENT_POD}:39999", f"{VIP}:80"))
    story.wait(1)
    assert story.closed == [CAUSE]
    assert story.causes == []


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_what_is_open_in_the_end_does_not_hang_on_how_much_comes_at_once(steps):
    seen = [*OTHERS, translated(1, ASK[0]), *asking(1, 2, 4)]
    seen += handshake(25, f"{CLIENT_POD}:39998", f"{VIP}:80")
    seen += asking(26, 27, 29, ends=(f"{CLIENT_POD}:40001", "10.96.0.99:80"), seq=5)
    seen.append(translated(26, f"{CLIENT_POD}:40001", virtual="10.96.0.99:80"))
    size = -(-len(seen) // steps)
    story = Story(KNOWN, node_state())
    for first in range(0, len(seen), size):
        story.tell(*seen[first : first + size])
    story.wait(9)
    assert story.closed == [CAUSE]
    assert [finding.subject.flow.src_port for finding in story.found] == [40001]


def test_answers_on_another_interface_make_nothing_visible():
    assert told(*OTHERS, *asking(1, ifindex=9), wait=20).found == []


def test_a_client_that_goes_on_talking_was_answered_out_of_sight():
    story = told(*OTHERS, *asking(1), packet(1.1, *ASK, "A", seq=1001), wait=20)
    assert story.found == []


def test_a_retry_that_succeeds_is_no_finding():
    story = told(*OTHERS, *asking(1, 2), packet(2.1, *ASK[::-1], "SA"), wait=20)
    assert story.found == []


def test_an_answer_after_five_seconds_closes_it():
    story = told(*OTHERS, *asking(1))
    story.tell(packet(6, *ASK[::-1], "SA"))
    assert story.found == []
    assert story.closed == [CAUSE]


def test_a_client_that_resets_has_given_up_itself():
    assert told(*OTHERS, *asking(1), packet(1.5, *ASK, "R", seq=1001)).found == []


def test_flows_to_no_service_are_not_our_affair():
    stranger = asking(1, 2, 4, ends=(f"{CLIENT}:5000", "203.0.113.5:443"))
    assert told(*OTHERS, *stranger, wait=20).found == []


def test_kernel_records_alone_do_not_show_absence():
    assert told(translated(1, ASK[0]), wait=60).found == []


def test_conntrack_asked_and_silent_is_absence():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0]))
    update = translated(4.5, ASK[0], hook=Hook.CT_UPDATE)
    story.tell(update, origin=Origin.CONNTRACK)
    assert story.causes == [CAUSE]


def test_conntracks_word_of_a_reply_ends_it():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0]))
    story.tell(translated(4.5, ASK[0], hook=Hook.CT_UPDATE), origin=Origin.CONNTRACK)
    flags = Flag.DST_NAT | Flag.REPLIED
    story.tell(translated(6, ASK[0], hook=Hook.CT_UPDATE, flags=flags), origin=Origin.CONNTRACK)
    assert story.found == []


def test_a_mapping_that_ends_unreplied_is_absence():
    story = told(translated(1, ASK[0]), wait=60)
    story.tell(translated(121, ASK[0], hook=Hook.CT_END))
    assert story.causes == [CAUSE]


def test_connections_from_before_are_not_judged():
    story = told(*OTHERS)
    before = translated(1, ASK[0], flags=Flag.DST_NAT | Flag.EXISTING)
    story.tell(before, origin=Origin.CONNTRACK)
    story.wait(60)
    assert story.found == []


def test_a_flow_looked_up_in_the_table_was_still_seen_to_begin():
    story = Story(KNOWN, node_state())
    story.tell(translated(1, ASK[0]))
    looked_up = translated(4.5, ASK[0], hook=Hook.CT_UPDATE, flags=Flag.DST_NAT | Flag.EXISTING)
    story.tell(looked_up, origin=Origin.CONNTRACK)
    assert story.causes == [CAUSE]


def datagrams(*seconds, port=5353):
    ends = f"{CLIENT_POD}:{port}", f"{VIP}:80"
    made = [packet(second, *ends, protocol=Protocol.UDP) for second in seconds]
    return translated(1, ends[0], f"{VIP}:80", protocol=Protocol.UDP), *made


def test_one_datagram_without_answer_is_everyday():
    assert told(*OTHERS, *datagrams(1), wait=20).found == []


def answered_datagram(second, port):
    ends = f"{CLIENT_POD}:{port}", f"{VIP}:80"
    there, back = (packet(second, *way, protocol=Protocol.UDP) for way in (ends, ends[::-1]))
    return translated(second, ends[0], f"{VIP}:80", protocol=Protocol.UDP), there, back


SILENT = [record for port in (5353, 5354, 5355) for record in datagrams(1, 6, port=port)]


def test_repeated_datagrams_of_several_are_a_hint_where_others_were_answered():
    finding = told(*answered_datagram(0.5, 6000), *SILENT, wait=4).only
    assert (finding.severity, finding.confidence, finding.count) == (Severity.INFO, 0.3, 3)


@pytest.mark.parametrize(
    "records",
    [
        [*OTHERS, *SILENT],
        [*answered_datagram(0.5, 6000), *SILENT[:6]],
        [*answered_datagram(3, 6000), *SILENT],
    ],
    ids=["never answered any", "two senders", "the backend answers others meanwhile"],
)
def test_datagrams_that_want_no_answer_are_everyday(records):
    assert told(*records, wait=4).found == []


def test_it_closes_when_the_destination_answers_for_a_while():
    story = told(*OTHERS, *asking(1))
    other = f"{CLIENT_POD}:41000"
    story.tell(*handshake(6, other, ASK[1]))
    story.wait(6)
    assert story.causes == []
    assert story.closed == [CAUSE]


def test_the_end_of_the_input_judges_every_wait_that_is_over():
    story = told(*OTHERS, *asking(1), wait=0)
    story.pipeline.now_ns += 4_000_000_000
    assert [finding.cause for finding in story.pipeline.finish().opened] == [CAUSE]


def test_the_backend_leg_counts_as_the_request():
    """The request is seen leaving for the pod only, on an interface with answers."""
    pod = f"{POD_THERE}:8080"
    story = told(
        translated(0.5, f"{CLIENT_POD}:39999"),
        *handshake(0.5, f"{CLIENT_POD}:39999", pod),
        translated(1, ASK[0]),
        packet(1, ASK[0], pod, "S"),
    )
    assert story.causes == [CAUSE]
