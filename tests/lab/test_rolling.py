"""A rollout's run judged: by its connections, by the slices' history and by IPVS' servers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lab.history import History, ServerHistory
from lab.objects import read, to_cluster, with_readiness, without_pod
from lab.rolled import LOAD, SERVICE, VIRTUAL, Timed, judged
from lab.traffic import Exchange

S = 1_000_000_000
START = 1_700_000_000 * S
WHOLE = to_cluster(read("default"))
LEFT = to_cluster(without_pod("default", "echo-3")(read("default")))
NOBODY = to_cluster(
    without_pod("default", "echo-1")(
        without_pod("default", "echo-2")(without_pod("default", "echo-3")(read("default")))
    )
)


def history():
    return noted((0, WHOLE, 0), (10, LEFT, 10), (30, WHOLE, 30))


def noted(*changes):
    """Each with its second, and the second by which the rules had followed."""
    found = History(SERVICE)
    for second, cluster, followed in changes:
        found.note(START * bool(second) + second * S, cluster)
        found.followed.append(START + followed * S)
    return found


def made(at_s, pod="echo-1", port=1000, failure=""):
    answer = "" if failure else pod
    exchange = Exchange("tcp", "172.18.0.100", port, LOAD.ip, LOAD.port, answer, failure=failure)
    return Timed(START + int(at_s * S), exchange)


def told(at_s, pod="echo-1", port=1000, departed=None):
    return {
        "type": "translation",
        "client": {"ip": "172.18.0.100", "port": port},
        "virtual": {"ip": LOAD.ip, "port": LOAD.port},
        "backend": {"ip": "10.244.1.11", "port": 8080, "name": f"default/{pod}"},
        "first": datetime.fromtimestamp((START + at_s * S) / S, UTC).isoformat(),
        "departed_s": departed,
    }


def rfc3339(second):
    return datetime.fromtimestamp(START / S + second, UTC).isoformat()


def finding(cause, status="open", since=20, **subject):
    return {
        "type": "finding",
        "cause": cause,
        "status": status,
        "since": rfc3339(since),
        "subject": {"service": SERVICE, "address": None, "flow": None, **subject},
        "summary": "so it is",
    }


def lag(at_s=20, ip="10.244.2.13", port=1000):
    flow = {"src": {"ip": "172.18.0.100", "port": port}}
    return finding("endpoint-removal-lag", since=at_s, address=ip, flow=flow)


def weightless(since, ip="10.244.2.13"):
    return finding("ipvs-weight-zero-after-restart", since=since, address=ip)


def servers(*readings, virtual=VIRTUAL):
    """Each with its second, and the weights by the pods' addresses."""
    found = ServerHistory()
    for second, weights in readings:
        found.times.append(START + second * S)
        found.tables.append({virtual: {f"{ip}:8080": weight for ip, weight in weights.items()}})
    return found


def run(lines, connections, known=None, kernel_has=None, **lost):
    summary = {"type": "summary", "lost": lost, "lag": [{"service": "default/echo"}]}
    there = kernel_has or ServerHistory()
    return judged([*lines, summary], connections, known or history(), there)


def test_for_how_long_a_pod_has_been_away():
    known = history()
    assert known.away_s("echo-3", START + 5 * S) is None
    assert known.away_s("echo-3", START + 15 * S) == 5.0
    assert known.away_s("echo-3", START + 31 * S) is None
    assert known.away_s("echo-1", START + 15 * S) is None


def test_a_rollout_that_is_told_rightly():
    lines = [told(1), told(15, "echo-3", 1001, departed=5.1)]
    found = run(lines, [made(1), made(15, "echo-3", 1001)], kernel=0)
    assert (found.connections, found.late, found.faults) == (2, 1, ())
    assert found.lag == [{"service": "default/echo"}]
    assert next(found.lines()) == "connections 2, to departed endpoints 1, failed 0"


def test_what_may_be_wrong():
    assert run([], [made(1)]).faults == ("1000: no translation",)
    (fault,) = run([told(1, "echo-2")], [made(1)]).faults
    assert "answered by echo-1" in fault
    late = [made(20, "echo-3")]
    (fault,) = run([told(20, "echo-3")], late).faults
    assert fault == "1000: departed for None s, the slices say 10.0"
    (fault,) = run([told(20, "echo-3", departed=99.0)], late).faults
    assert fault.startswith("1000: departed for 99.0 s")
    assert run([told(1)], [made(1)], kernel=2).faults == ("2 lost in kernel",)


def test_the_news_of_a_return_are_on_their_way_for_a_while():
    assert run([told(31, "echo-3", departed=21.0)], [made(31, "echo-3")]).faults == ()
    (fault,) = run([told(37, "echo-3", departed=27.0)], [made(37, "echo-3")]).faults
    assert fault == "1000: departed for 27.0 s, the slices say None"


def test_a_port_that_came_again_is_judged_by_its_own_line():
    lines = [told(1, "echo-1"), told(40, "echo-2")]
    assert run(lines, [made(1, "echo-1"), made(40, "echo-2")]).faults == ()


def test_nobody_may_fail_while_somebody_is_in_the_slices():
    assert run([], [made(1, failure="timeout")]).faults == ("1000: timeout",)


def test_who_fails_before_the_rules_have_followed_may_fail():
    slow = noted((0, WHOLE, 0), (10, NOBODY, 12), (30, WHOLE, 60))
    assert run([], [made(50, failure="refused")], slow).faults == ()
    assert run([], [made(90, failure="refused")], slow).faults == ("1000: refused",)


def test_where_ipvs_was_watched_its_servers_tell_who_may_fail():
    kernel = servers((0, {"10.244.1.11": 1}), (30, {"10.244.1.11": 0}), (60, {"10.244.1.11": 1}))
    assert run([], [made(45, failure="refused")], kernel_has=kernel).faults == ()
    assert run([], [made(62, failure="refused")], kernel_has=kernel).faults == ()
    assert run([], [made(15, failure="refused")], kernel_has=kernel).faults == ("1000: refused",)
    assert run([], [made(70, failure="refused")], kernel_has=kernel).faults == ("1000: refused",)


def faults(*said, connections=(), **known):
    return list(run([*(told(1),), *said], [made(1), *connections], **known).faults)


def false(cause):
    return [f"false finding {cause}: so it is"]


def test_doubts_may_give_way():
    doubt = finding("unanswered-unexplained")
    assert faults(doubt, {**doubt, "status": "closed"}) == []
    assert faults(doubt) == false("unanswered-unexplained")


def test_what_nothing_proves_is_false_taken_back_or_not():
    refused = finding("refused-by-backend")
    assert faults(refused) == false("refused-by-backend")
    assert faults(refused, {**refused, "status": "closed"}) == false("refused-by-backend")


def test_a_service_has_no_endpoints_while_the_slices_say_so():
    known = noted((0, WHOLE, 0), (10, NOBODY, 12), (30, WHOLE, 60))
    cause = "svc-no-endpoints"
    assert faults(finding(cause, since=12), known=known) == []
    assert faults(finding(cause, since=32), known=known) == []
    assert faults(finding(cause, since=2), known=known) == false(cause)
    assert faults(finding(cause, since=40), known=known) == false(cause)
    assert faults(finding(cause, since=12, service="default/none-such"), known=known) == false(
        cause
    )
    assert faults(finding(cause, since=12)) == false(cause)


def test_a_lost_connection_to_a_departed_endpoint():
    lost = made(20, failure="timeout")
    kernel = servers((0, {"10.244.1.11": 0, "10.244.2.13": 0}))
    assert faults(lag(), connections=[lost], kernel_has=kernel) == []


@pytest.mark.parametrize(
    ("said", "connection", "weights"),
    [
        pytest.param(lag(), made(20, "echo-3"), {"10.244.2.13": 1}, id="it was answered"),
        pytest.param(lag(2), made(2, failure="reset"), {"10.244.2.13": 0}, id="it was there"),
        pytest.param(lag(), made(20, failure="reset"), {"10.244.1.11": 0}, id="IPVS had it not"),
        pytest.param(
            lag(port=7), made(20, failure="reset"), {"10.244.2.13": 0}, id="nobody connected"
        ),
    ],
)
def test_a_false_word_of_departed_endpoints(said, connection, weights):
    lines = [told(20, "echo-3", departed=10.0)] if connection.exchange.answered_by else []
    kernel = servers((0, weights))
    outcome = run([*lines, said], [connection], kernel_has=kernel)
    assert [f for f in outcome.faults if "finding" in f] == false("endpoint-removal-lag")


def test_a_ready_endpoint_without_weight_when_kube_proxy_has_had_its_time():
    late = noted((0, LEFT, 0), (10, WHOLE, 90))
    kernel = servers((0, {"10.244.2.13": 0}), (60, {"10.244.2.13": 1}))
    cause = "ipvs-weight-zero-after-restart"
    assert faults(weightless(45), known=late, kernel_has=kernel) == []
    assert faults(weightless(20), known=late, kernel_has=kernel) == false(cause)
    assert faults(weightless(70), known=late, kernel_has=kernel) == false(cause)
    assert faults(weightless(45, "10.244.1.11"), known=late, kernel_has=kernel) == false(cause)
    assert faults(weightless(45), known=late) == false(cause)
    flapping = with_readiness("default", "echo-3", False)(read("default"))
    flaps = noted((0, WHOLE, 0), (30, to_cluster(flapping), 40), (35, WHOLE, 50))
    assert faults(weightless(45), known=flaps, kernel_has=kernel) == false(cause)
    other = servers((0, {"10.244.2.13": 0}), virtual="10.96.0.99:80")
    assert faults(weightless(45), known=late, kernel_has=other) == false(cause)
