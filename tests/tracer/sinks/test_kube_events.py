"""Findings as Events: what is posted, how often, and what is said of the rest."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.builders import at, batch
from tests.tracer.shown import blackhole, traced
from tracer.cluster.api.connection import ApiError
from tracer.diagnosis.finding import Severity, Subject
from tracer.pipeline import Update
from tracer.sinks.kube_events import BURST, EVERY_S, KubeEvents, event_of, regarded

NOTHING = traced().table.alive()


class Answer:
    def __init__(self, text: bytes) -> None:
        self.text = text

    def body(self) -> bytes:
        return self.text

    def close(self) -> None:
        pass


class Api:
    """Takes every Event, or refuses with an error."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict]] = []
        self.error: ApiError | None = None

    def get(self, path, query, silence_s):
        if not path.endswith("/services/web"):
            raise ApiError("404 not found", 404)
        return Answer(b'{"metadata": {"uid": "7-7"}}')

    def post(self, path, body, silence_s):
        if self.error:
            raise self.error
        self.posted.append((path, json.loads(body)))


class Watched:
    """The sink with its API server and a clock that the story moves."""

    def __init__(self) -> None:
        self.now_s, self.api = 100.0, Api()
        self.sink = KubeEvents(lambda: self.api, lambda: self.now_s)
        self.pipeline = traced()

    def open(self, *findings) -> None:
        self.sink.write(self.pipeline, Update(batch(until=1.0), NOTHING, opened=findings))

    def post_all(self) -> int:
        before = len(self.api.posted)
        for _ in range(3 * BURST):
            self.sink.poll(0.0)
        return len(self.api.posted) - before


def of(service: str, **changes):
    return replace(blackhole(service), subject=Subject(service=service), **changes)


def test_a_finding_becomes_an_event_of_its_service():
    story = Watched()
    story.open(of("shop/web"))
    assert story.post_all() == 1
    path, event = story.api.posted[0]
    assert path == "/apis/events.k8s.io/v1/namespaces/shop/events"
    assert event["regarding"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "web",
        "uid": "7-7",
    }
    assert event["reason"] == "IpvsExternalIpIsNodeIp"
    assert event["reportingInstance"] == "worker-1"
    assert "What to do: 1. systemctl stop kubelet 2." in event["note"]


def test_without_a_service_it_is_the_nodes():
    finding = replace(blackhole(), subject=Subject(node="worker-2"))
    assert regarded(finding, "worker-1") == {"apiVersion": "v1", "kind": "Node", "name": "worker-2"}
    event = event_of(finding, regarded(finding, ""), "", at(1))
    assert event["metadata"]["namespace"] == "default"
    assert event["eventTime"] == "2023-11-14T22:13:21.000000Z"


def test_names_that_no_api_server_would_give_lead_nowhere():
    for service in ("../../secrets/x", "a/b?x=1", "A/b", "shop/", "shop/web\n"):
        assert regarded(of(service), "worker-1")["kind"] == "Node"


def test_a_note_is_short_and_harmless():
    event = event_of(of("shop/web", summary="\x1b[2J" + "x" * 5000), {"name": "x"}, "n", at(0))
    assert len(event["note"].encode()) <= 1024
    assert "\x1b" not in event["note"]


def test_a_burst_is_told_and_the_rest_at_the_rate():
    story = Watched()
    story.open(*(of(f"shop/web{number}") for number in range(BURST + 3)))
    assert story.post_all() == BURST
    assert story.post_all() == 0
    story.now_s += 2 * EVERY_S
    assert story.post_all() == 2


def test_what_comes_back_soon_is_no_news():
    story = Watched()
    story.open(of("shop/web"))
    story.open(of("shop/web"))
    story.open(of("shop/web", severity=Severity.INFO))
    assert story.post_all() == 1
    story.now_s += 601
    story.open(of("shop/web"))
    assert story.post_all() == 1


def test_what_does_not_fit_is_counted_and_told():
    story = Watched()
    story.open(*(of(f"shop/web{number}") for number in range(60)))
    assert str(story.sink.problems()[0]).startswith("10 findings were not written as Events")


def test_a_refusal_is_told_and_a_later_success_ends_it():
    story = Watched()
    story.api.error = ApiError("403 forbidden", 403)
    story.open(of("shop/web"))
    assert story.post_all() == 0
    (problem,) = story.sink.problems()
    assert "403 forbidden" in str(problem)
    assert "kubectl apply" in str(problem)


def test_the_end_posts_what_waits():
    story = Watched()
    story.open(of("shop/web"))
    story.sink.close(story.pipeline, {})
    assert story.sink.posted == 1
