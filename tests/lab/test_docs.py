"""The pages about causes are those that the rules, tables and scenarios make."""

from __future__ import annotations

from pathlib import Path

from lab.docs import BY_INPUT, MODULE, module, pages, write
from tracer.diagnosis.causes import CAUSES_BY_ID

FOLDER = Path(__file__).parent.parent.parent / "docs" / "causes"


def test_the_pages_in_the_checkout_are_made_anew_after_every_change():
    """If this fails: make docs."""
    there = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    there.pop(BY_INPUT)
    assert there == pages()


def test_what_explain_cause_says_of_reproducing_is_the_labs():
    """If this fails: make docs."""
    assert MODULE.read_text() == module()


def test_there_is_a_page_for_every_cause_with_every_part():
    made = pages()
    for name in CAUSES_BY_ID:
        page = made[f"{name}.md"]
        titles = ["Symptom", "Mechanism", "How viptrace sees it", "Reproduction", "Remedy"]
        places = [page.index(f"## {title}\n") for title in titles]
        assert places == sorted(places)


def test_pages_of_causes_that_are_no_more_go(tmp_path):
    (tmp_path / "gone.md").write_text("")
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(pages())
