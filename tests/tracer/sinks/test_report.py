"""The incident report: complete, self-contained, and deaf to what tenants write."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.builders import at
from tests.test_project import ROOT
from tests.tracer.diagnosis import story
from tests.tracer.recording.stories import VIP, mapping_told, run, sniffed, tcp
from tests.tracer.recording.stories import batch as batch_of
from tracer.cli import run as command
from tracer.sinks.report import ReportSink
from tracer.sinks.report_html import html
from tracer.sinks.report_markdown import escaped, markdown

CLIENT = f"{story.CLIENT}:4000"
EVIL = "<script>alert(1)</script>[x](javascript:y)`\x1b[2J\u202e"


def incident(name: str = "web"):
    """A client whose requests are sent on and never answered, on an interface that hears others."""
    healthy = [(0.1, tcp("10.1.1.1:1", VIP, 2)), (0.11, tcp(VIP, "10.1.1.1:1", 18))]
    endpoint = story.endpoint(story.POD_THERE, "worker-1", key=f"default/{name}")
    known = story.cluster(story.service(name=name), endpoints=(endpoint,))
    return [
        ("node", story.node_state(), at(0)),
        ("cluster", known, at(0)),
        ("batch", sniffed(*healthy, until=0.2, interfaces={2: "eth0"}), 0),
        ("batch", sniffed((0.3, tcp(CLIENT, VIP, 2)), until=0.3), 0),
        mapping_told(0.31, CLIENT, VIP),
        ("batch", sniffed((1.3, tcp(CLIENT, VIP, 2)), until=1.3), 0),
        ("batch", batch_of(until=9), 0),
        mapping_told(9.5, CLIENT, VIP, hook=13),
        ("batch", batch_of(until=12), 0),
    ]


def report(tmp_path: Path, render, name: str = "web", title: str = "run.pcapng") -> str:
    path = tmp_path / "report"
    sink = ReportSink(path, title, render)
    sink.start()
    run(incident(name), sink)
    return path.read_text()


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_html_tells_the_whole_story(tmp_path):
    page = Page(report(tmp_path, html))
    for told in (
        *("unanswered-unexplained", "default/web", CLIENT, VIP, "What to do:", "eth0: "),
        *(f"default/pod-{story.POD_THERE}", "[S] 40 bytes", "opened: ", "Lost flows (1)"),
    ):
        assert told in page.text, told
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == 1
    assert "no answer" in pictures[0]["aria-label"] or "never" in pictures[0]["aria-label"]


def test_html_loads_nothing_and_runs_nothing(tmp_path):
    page = Page(report(tmp_path, html, EVIL, EVIL))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "a", "link", "iframe", "object", "form"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "href") for name in attributes)
    policy = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_the_picture_is_sound_xml(tmp_path):
    text = report(tmp_path, html, EVIL)
    picture = text[text.index("<svg") : text.index("</svg>") + 6]
    assert ElementTree.fromstring(picture).tag == "svg"


def test_markdown_tells_the_same(tmp_path):
    text = report(tmp_path, markdown)
    for told in ("## Findings", "unanswered\\-unexplained", "[client] " + CLIENT, "    X  ", "[S]"):
        assert told in text, told


def test_markdown_means_itself(tmp_path):
    text = report(tmp_path, markdown, EVIL, EVIL)
    outside = "".join(part for n, part in enumerate(text.split("```")) if n % 2 == 0)
    assert "<script" not in outside
    assert "[x](" not in outside
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert escaped("a|b*c_d#1 <b>") == "a\\|b\\*c\\_d\\#1 &lt;b&gt;"


@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_replay_writes_a_report(suffix, tmp_path, capsys):
    path = tmp_path / f"incident{suffix}"
    folder = ROOT / "pcaps" / "ipvs-external-ip-is-node-ip"
    assert command(["replay", "--json", str(folder), "--report", str(path)]) == 0
    assert "port-forward" in path.read_text().replace("\\", "")
    assert "summary" in capsys.readouterr().out


def test_a_report_that_cannot_be_written(tmp_path, capsys):
    folder = str(ROOT / "pcaps" / "ipvs-external-ip-is-node-ip")
    assert command(["replay", folder, "--report", str(tmp_path / "x.doc")]) == 2
    assert command(["replay", folder, "--report", str(tmp_path / "none" / "x.md")]) == 2
    told = capsys.readouterr().err
    assert "ends in none of" in told
    assert "Cannot write the report" in told
