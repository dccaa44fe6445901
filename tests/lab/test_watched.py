"""A scenario's run judged: translations, names, findings; each may be wrong in its own way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.scenario import Scenario, Traffic
from lab.traffic import Exchange, Load
from lab.truth import Key, Mapped
from lab.watched import judged

CLIENT, VIP = ("10.0.0.1", 1111), ("10.96.0.1", 80)
KEY = Key("tcp", CLIENT, VIP)
KERNEL = {KEY: Mapped(("10.1.0.1", 8080), CLIENT)}
WELL = Scenario(
    name="well",
    title="",
    cluster="default",
    mode="iptables",
    node="worker-1",
    traffic=(Traffic("shell", Load(*VIP, tcp=1)),),
)
BAD = replace(WELL, findings=("svc-no-endpoints",))
ANSWERED = [Exchange("tcp", *CLIENT, *VIP, answered_by="echo-1")]


def line(number=1, **changes):
    return {
        "type": "translation",
        "id": number,
        "protocol": "tcp",
        "client": {"ip": CLIENT[0], "port": CLIENT[1]},
        "virtual": {"ip": VIP[0], "port": VIP[1]},
        "backend": {"ip": "10.1.0.1", "port": 8080, "name": "default/echo-1"},
        "source_nat": None,
        "service": {"namespace": "default", "name": "echo"},
        **changes,
    }


def finding(cause, status="open", consequence=None):
    subject = {"service": "default/echo"}
    return {"type": "finding", "cause": cause, "status": status, "subject": subject,
            "consequence_of": consequence}  # fmt: skip


def summary(**lost):
    return {"type": "summary", "lost": lost}


def faults(*lines, scenario=WELL, backend="bpf"):
    whole = [*lines, summary(kernel=0)]
    return list(judged(scenario, backend, whole, ANSWERED, KERNEL).faults)


def test_all_is_well():
    told = judged(WELL, "bpf", [line(), summary(kernel=0)], ANSWERED, KERNEL)
    assert told.faults == ()
    (only,) = told.lines()
    assert only.startswith("ok   well ")
    assert only.endswith("found: nothing")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ["0 translations"]),
        ([line(), line(2)], ["2 translations", f"told 2 times: {KEY}"]),
        (
            [line(source_nat={"ip": "10.0.0.9", "port": 5})],
            [f"{KEY}: told 10.1.0.1:8080 from 10.0.0.9:5, the kernel has {KERNEL[KEY]}"],
        ),
        (
            [line(backend={"ip": "10.1.0.1", "port": 8080, "name": "default/echo-2"})],
            [f"{KEY}: named echo, echo-2; answered by echo-1"],
        ),
        ([line(service=None)], [f"{KEY}: named no Service, echo-1; answered by echo-1"]),
    ],
)
def test_what_is_wrong_with_translations(lines, told):
    assert faults(*lines) == told


def test_it_must_end_well():
    lossy = judged(WELL, "bpf", [line(), summary(kernel=3)], ANSWERED, KERNEL)
    assert lossy.faults == ("3 lost in kernel",)
    killed = judged(WELL, "bpf", [line()], ANSWERED, KERNEL)
    assert killed.faults == ("viptrace ended without a summary",)


def test_findings_must_be_those_of_the_scenario():
    cause = "svc-no-endpoints"
    assert faults(line(), finding(cause), scenario=BAD) == []
    assert faults(line(), scenario=BAD) == [f"not said: {cause}"]
    assert faults(line(), finding(cause)) == [f"false finding: {cause}"]
    assert faults(line(), finding(cause), finding(cause, "closed")) == [f"false finding: {cause}"]


def test_doubts_that_gave_way_and_consequences_are_no_findings():
    doubt = "unanswered-unexplained"
    assert faults(line(), finding(doubt), finding(doubt, "closed")) == []
    assert faults(line(), finding(doubt)) == [f"false finding: {doubt}"]
    assert faults(line(), finding(doubt, consequence="svc-no-endpoints")) == []


def test_conntrack_need_not_tell_what_it_cannot_see():
    told = "rp-filter-drop"
    unseen = replace(WELL, findings=(told,))
    assert faults(line(), scenario=unseen) == [f"not said: {told}"]
    assert faults(line(), scenario=unseen, backend="conntrack") == []
