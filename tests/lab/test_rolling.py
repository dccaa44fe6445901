"""A rollout's run judged: each connection against its line, and against the slices' history."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.objects import read, to_cluster, without_pod
from lab.rolling import LOAD, History, Timed, judged
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
    found = History()
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


def finding(cause, status="open"):
    return {"type": "finding", "cause": cause, "status": status, "subject": {}}


def run(lines, connections, known=None, **lost):
    summary = {"type": "summary", "lost": lost, "lag": [{"service": "default/echo"}]}
    return judged([*lines, summary], connections, known or history())


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
    assert next(found.lines()) == "connections 2, to departed endpoints 1"


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


def test_a_port_that_came_again_is_judged_by_its_own_line():
    lines = [told(1, "echo-1"), told(40, "echo-2")]
    assert run(lines, [made(1, "echo-1"), made(40, "echo-2")]).faults == ()


def test_nobody_may_fail_while_somebody_is_in_the_slices():
    assert run([], [made(1, failure="timeout")]).faults == ("1000: timeout",)


def test_who_fails_before_the_rules_have_followed_may_fail():
    slow = noted((0, WHOLE, 0), (10, NOBODY, 12), (30, WHOLE, 60))
    assert run([], [made(50, failure="refused")], slow).faults == ()
    assert run([], [made(90, failure="refused")], slow).faults == ("1000: refused",)


def test_only_doubts_that_give_way_and_what_is_true_may_be_found():
    well = [told(1)], [made(1)]
    doubt = [finding("unanswered-unexplained"), finding("unanswered-unexplained", "closed")]
    assert run([*well[0], finding("svc-no-endpoints"), *doubt], well[1]).faults == ()
    (fault,) = run([*well[0], finding("refused-by-backend")], well[1]).faults
    assert fault == "false finding refused-by-backend"
