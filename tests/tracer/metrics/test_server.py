"""The exposition: real HTTP on loopback, read back by Prometheus' own parser."""

from __future__ import annotations

import socket
import urllib.request
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.tracer.metrics.test_counts import Watched
from tests.tracer.shown import HOSTILE, answer, cluster, connect, traced
from tracer.errors import InputError, UnableError
from tracer.metrics import MetricsServer, place_of


def scraped(port: int) -> dict[str, dict]:
    """By sample name: value by labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text = response.read().decode()
    found: dict[str, dict] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def test_a_scrape_tells_translations_outcomes_and_waits():
    story = Watched()
    story.see(connect(story.pipeline, 1.0, count=2))
    story.see(answer(story.pipeline, 1.2))
    with closing(MetricsServer(("127.0.0.1", 0), lambda: story.sink.figures)) as server:
        found = scraped(server.port)
    labels = {"namespace": "shop", "service": "web", "port": "http", "kind": "ClusterIP"}
    engine = frozenset((labels | {"engine": "ipvs"}).items())
    assert found["viptrace_translations_total"] == {engine: 2}
    answered = frozenset((labels | {"outcome": "answered"}).items())
    assert found["viptrace_connections_total"][answered] == 1
    assert found["viptrace_lost_total"][frozenset({("where", "kernel")})] == 0
    assert found["process_open_fds"][frozenset()] > 0


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_names_of_tenants_stay_within_their_label(name):
    story = Watched(traced(cluster()))
    story.pipeline.node = story.pipeline.node.__class__(node_name=HOSTILE[name])
    story.see(connect(story.pipeline, 1.0))
    with closing(MetricsServer(("127.0.0.1", 0), lambda: story.sink.figures)) as server:
        (labels,) = scraped(server.port)["viptrace_info"]
    assert dict(labels)["node"].isascii()


@pytest.mark.parametrize("text", ["", "9464", "host:", "host:x", "::1:9464", "h:70000"])
def test_a_place_must_be_an_address_and_a_port(text):
    with pytest.raises(InputError, match="no ADDR:PORT"):
        place_of(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (":9464", ("::", 9464)),
        ("[::1]:1", ("::1", 1)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[10.0.0.1]:80", ("10.0.0.1", 80)),
    ],
)
def test_places(text, place):
    assert place_of(text) == place


def test_a_port_that_is_taken_is_told_at_once():
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UnableError, match=f"port {port}"):
            MetricsServer(("127.0.0.1", port), lambda: Watched().sink.figures)
