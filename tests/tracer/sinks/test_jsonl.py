from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from tests.builders import at, batch, mapping
from tests.tracer.shown import (
    HOSTILE,
    VIP,
    WEB,
    answer,
    blackhole,
    cluster,
    connect,
    end,
    passing,
    traced,
    untranslated,
)
from tracer.address import parse as packed
from tracer.diagnosis.finding import FlowSubject, Subject
from tracer.events import Flag
from tracer.pipeline import Pipeline, Update
from tracer.sinks.jsonl import JsonLines, finding_json

SUMMARY = {"packets": 0, "events": 1, "backend": "bpf"}


def lines(file: io.BytesIO) -> list[dict]:
    return [json.loads(line) for line in file.getvalue().decode().splitlines()]


def written(pipeline: Pipeline, *updates: Update, **options) -> list[dict]:
    file = io.BytesIO()
    sink = JsonLines(file, **options)
    for update in updates:
        sink.write(pipeline, update)
    sink.close(pipeline, SUMMARY)
    return lines(file)


def test_a_translation_line_is_as_the_contract_says():
    pipeline = traced()
    flags = Flag.DST_NAT | Flag.SRC_NAT | Flag.IPVS | Flag.REPLIED
    told = pipeline.feed(
        batch(
            mapping(1.5, "10.244.3.8:40000", VIP, WEB, source="192.168.1.3:61000", flags=flags),
            until=2.0,
        )
    )
    line, summary = written(pipeline, told)
    assert line == {
        "type": "translation",
        "id": 1,
        "first": "2023-11-14T22:13:21.500000000Z",
        "last": "2023-11-14T22:13:21.500000000Z",
        "protocol": "tcp",
        "client": {"ip": "10.244.3.8", "port": 40000, "name": "shop/client"},
        "virtual": {"ip": "10.96.0.10", "port": 80},
        "backend": {"ip": "10.244.1.5", "port": 8080, "name": "shop/web-1"},
        "source_nat": {"ip": "192.168.1.3", "port": 61000},
        "service": {"namespace": "shop", "name": "web", "port": "http", "kind": "ClusterIP"},
        "engine": "ipvs",
        "state": "answered",
        "packets": None,
        "bytes": None,
        "retransmits": 0,
        "departed_s": None,
        "drop": None,
        "cause": None,
        "tunnel": None,
        "upstream": None,
        "downstream": None,
        "node": "worker-1",
        "netns": None,
        "origin": ["kernel"],
    }
    assert summary == {"type": "summary"} | SUMMARY


def test_ipv6_addresses_are_plain_text():
    pipeline = traced()
    told = pipeline.feed(
        batch(mapping(1, "[fd00::8]:40000", "[fd00:96::10]:80", "[fd00:1::5]:8080"), until=3)
    )
    line, _ = written(pipeline, told)
    assert (line["client"]["ip"], line["virtual"]["ip"], line["backend"]["ip"]) == (
        "fd00::8",
        "fd00:96::10",
        "fd00:1::5",
    )


def test_an_untranslated_flow_has_no_backend_and_its_destination_as_virtual():
    pipeline = traced()
    line, _ = written(pipeline, untranslated(pipeline, 1.0), all_flows=True)
    assert line["virtual"] == {"ip": "10.0.0.2", "port": 22}
    assert (line["backend"], line["source_nat"], line["service"]) == (None, None, None)


def test_one_line_for_each_of_997_connections_and_the_summary_last():
    pipeline = traced()
    told = written(
        pipeline, connect(pipeline, 1.0, count=997), answer(pipeline, 1.1), end(pipeline, 9.0)
    )
    assert [line["type"] for line in told] == ["translation"] * 997 + ["summary"]
    assert len({line["id"] for line in told[:-1]}) == 997


def test_updates_end_with_a_final_line():
    pipeline, file = traced(), io.BytesIO()
    sink = JsonLines(file, updates=True)
    sink.write(pipeline, connect(pipeline, 1.0, count=2))
    sink.write(pipeline, end(pipeline, 2.0))
    sink.close(pipeline, SUMMARY)
    told = [(line["id"], line["final"]) for line in lines(file)[:-1]]
    assert told == [(1, False), (2, False), (1, True), (2, True)]


def test_a_finding_line_is_as_the_contract_says():
    flow = FlowSubject(6, packed("10.0.0.1"), 5, packed("192.168.1.2"), 2380)
    found = blackhole(
        subject=Subject("a/b", packed("192.168.1.2"), "master-2", flow), confidence=0.99
    )
    pipeline, file = traced(), io.BytesIO()
    sink = JsonLines(file)
    sink.write(pipeline, replace(passing(pipeline, 1), opened=(found,)))
    sink.write(pipeline, replace(passing(pipeline, 2), closed=(replace(found, open=False),)))
    opened, closed = lines(file)
    assert opened == {
        "type": "finding",
        "cause": "ipvs-external-ip-is-node-ip",
        "severity": "critical",
        "confidence": 0.99,
        "since": "2023-11-14T22:13:20.000000000Z",
        "subject": {
            "flow": {
                "protocol": "tcp",
                "src": {"ip": "10.0.0.1", "port": 5},
                "dst": {"ip": "192.168.1.2", "port": 2380},
            },
            "service": "a/b",
            "address": "192.168.1.2",
            "node": "master-2",
        },
        "summary": found.summary,
        "evidence": [{"kind": "kernel", "text": "kube-ipvs0 holds 192.168.1.2/32"}],
        "remedy": list(found.remedy),
        "status": "open",
        "count": 1,
        "last": "2023-11-14T22:13:21.000000000Z",
        "consequence_of": None,
    }
    assert closed == opened | {"status": "closed"}


def test_a_subject_may_be_only_partly_known():
    subject = finding_json(blackhole(subject=Subject(service="a/b")))["subject"]
    assert subject == {"flow": None, "service": "a/b", "address": None, "node": None}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_stay_values_on_one_line(name: str):
    pipeline = traced(cluster(pod=name, client=name))
    file = io.BytesIO()
    sink = JsonLines(file)
    found = blackhole(service=f"shop/{name}")
    sink.write(pipeline, replace(connect(pipeline, 1.0, flags=Flag.REPLIED), opened=(found,)))
    translation, finding = lines(file)
    assert translation["backend"]["name"] == f"shop/{name}"
    assert finding["subject"]["service"] == f"shop/{name}"
    written = file.getvalue().decode()
    assert not set(written) & set("\x1b\x9b\x85\u202e\u2066\u2028")


def test_what_is_due_is_written_out_at_once():
    class Watched(io.BytesIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    file, pipeline = Watched(), traced()
    JsonLines(file).write(pipeline, connect(pipeline, 1.0, flags=Flag.REPLIED))
    assert file.flushed == len(file.getvalue()) > 0
    assert at(1) == pipeline.now_ns
