"""Pages made from code and recordings: they keep up with both."""

from __future__ import annotations

import re

import pytest

from lab import error_pages, incidents
from lab.docs import pages as cause_pages
from lab.error_pages import ROOT, Message, messages
from tests.test_scenarios import SEEDS
from tracer.errors import InputError
from tracer.metrics import place_of

DOCS = ROOT / "docs"


def test_every_kind_of_message_is_found_with_its_three_parts():
    found = messages()
    assert all(found.values())
    with pytest.raises(InputError) as raised:
        place_of("nowhere")
    told = raised.value
    what = told.what.replace("'nowhere'", "…")
    assert Message(what, told.why, told.remedy) in found["InputError"]


def test_the_stored_list_of_messages_is_what_the_code_says():
    assert (DOCS / "errors.md").read_text() == error_pages.page(), "run: make docs"


def test_a_message_in_a_table_cannot_break_it():
    for line in error_pages.page().splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4


def test_every_incident_has_a_recording_a_page_and_a_picture():
    for item in incidents.INCIDENTS:
        assert (incidents.PCAPS / item.scenario / "capture.pcapng").exists()
        assert (DOCS / "pictures" / f"{item.picture}.svg").read_text().startswith("<svg")
        page = (DOCS / "incidents" / f"{item.scenario}.md").read_text()
        assert item.story in page
        assert item.look in page
        assert not item.asked or f"viptrace {item.asked[0]} " in page


def test_every_recording_that_the_documents_ask_for_is_walked_through():
    assert {item.scenario for item in incidents.INCIDENTS} >= SEEDS


def test_incidents_lead_to_pages_of_causes_that_there_are():
    there = cause_pages().keys()
    for path in (DOCS / "incidents").glob("*.md"):
        linked = re.findall(r"\.\./causes/([\w-]+\.md)", path.read_text())
        assert set(linked) <= there
