from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.tracer.shown import HOSTILE, blackhole, cluster, connect, passing, traced
from tracer.events import Flag
from tracer.sinks.text import TextLines, finding_lines, summary_lines

SUMMARY = {
    "packets": 24,
    "events": 3,
    "translations": 2,
    "findings": {"svc-no-endpoints": 1},
    "lost": {"kernel": 7, "socket": 0, "queue": 0},
    "damaged": 0,
    "unparsed": 1,
    "duration_s": 1.5,
    "backend": "bpf",
    "degraded": ["no names: no cluster file"],
}


def test_one_aligned_line_for_a_translation_under_one_title():
    pipeline, file = traced(), io.StringIO()
    sink = TextLines(file)
    sink.write(pipeline, connect(pipeline, 1.0, flags=Flag.REPLIED))
    sink.write(pipeline, connect(pipeline, 1.0, port=50000, flags=Flag.REPLIED))
    title, first, second = file.getvalue().splitlines()
    assert first.split() == [
        *("22:13:21.000", "tcp", "10.244.3.8:40000", "10.96.0.10:80", "10.244.1.5:8080"),
        *("ipvs", "answered", "shop/web:http", "ClusterIP", "shop/client", "shop/web-1"),
    ]
    assert title.index("VIP") == first.index("10.96.0.10") == second.index("10.96.0.10")


def test_a_finding_is_a_block_with_numbered_steps():
    head, since, *rest = finding_lines(blackhole(count=3, consequence_of="x"))
    assert head.startswith("CRITICAL ipvs-external-ip-is-node-ip: node IP 192.168.1.2")
    assert "kube-system/port-forward" in head
    assert head.endswith("(3×)")
    assert since == "  since 2023-11-14T22:13:20Z, confidence 100%"
    assert rest == [
        "  A consequence of x.",
        "  kernel:    kube-ipvs0 holds 192.168.1.2/32",
        "  What to do:",
        "  1. systemctl stop kubelet",
        "  2. ip addr del 192.168.1.2/32 dev kube-ipvs0",
    ]


def test_a_closed_finding_says_so_and_asks_for_nothing():
    told = finding_lines(blackhole(open=False))
    assert told[0].startswith("CLOSED ")
    assert not any("What to do" in line for line in told)


def test_the_summary_names_what_was_lost_and_what_is_missing():
    assert summary_lines(SUMMARY) == [
        "2 translations from 3 events and 24 packets in 1.5 s (backend bpf)",
        "Findings: svc-no-endpoints 1",
        "Lost: 7 in kernel; damaged: 0; unparsed: 1",
        "Degraded: no names: no cluster file",
    ]


def test_colours_only_where_they_are_allowed():
    for colour in (False, True):
        pipeline, file = traced(), io.StringIO()
        TextLines(file, colour).write(
            pipeline, replace(passing(pipeline, 1), opened=(blackhole(),))
        )
        assert ("\x1b[1;31m" in file.getvalue()) is colour


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_cannot_act_or_forge_a_line(name: str):
    pipeline, file = traced(cluster(pod=name, client=name)), io.StringIO()
    sink = TextLines(file)
    found = blackhole(service=name, remedy=(f"delete {name}",))
    sink.write(pipeline, replace(connect(pipeline, 1.0, flags=Flag.REPLIED), opened=(found,)))
    told = file.getvalue()
    assert all(line.isprintable() for line in told.split("\n"))
    forged = [line for line in told.split("\n") if line.startswith(("two", "{"))]
    assert forged == []


def test_the_same_remedy_is_printed_once():
    finding = blackhole()
    assert finding_lines(finding, told=True)[-1] == "  What to do: the steps above."
    assert finding_lines(finding)[-1] != "  What to do: the steps above."
