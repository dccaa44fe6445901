"""Man pages, completions and the page of commands are those of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.manual import SHELLS, commands, write
from tracer.cli import viptrace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""click-man 0.6 asks click for what click 8.2 renames."""
ROOT = Path(__file__).resolve().parent.parent


def test_every_command_has_a_man_page_and_a_section(tmp_path):
    write(tmp_path)
    pages = {path.name for path in (tmp_path / "man").iterdir()}
    assert pages == {"viptrace.1", *(f"viptrace-{name}.1" for name in viptrace.commands)}
    sections = (tmp_path / "docs/commands.md").read_text()
    assert all(f"\n## viptrace {name}\n" in sections for name in viptrace.commands)


def test_a_page_tells_every_option(tmp_path):
    write(tmp_path)
    text = (tmp_path / "man/viptrace-live.1").read_text().replace("\\-", "-")
    wanted = [param.opts[0] for param in viptrace.commands["live"].params if len(param.opts) == 1]
    assert "--metrics" in wanted
    assert [option for option in wanted if option.startswith("--") and option not in text] == []


def test_the_stored_pages_are_of_these_commands(tmp_path):
    write(tmp_path)
    for folder in ("man", "completions"):
        made = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
        assert made == {path.name: path.read_text() for path in (ROOT / folder).iterdir()}, (
            "run: make docs"
        )
    assert "\n".join(commands()) + "\n" == (ROOT / "docs/commands.md").read_text(), "run: make docs"


def test_completion_scripts_ask_the_command_itself(tmp_path):
    write(tmp_path)
    for name in SHELLS.values():
        assert "_VIPTRACE_COMPLETE" in (tmp_path / "completions" / name).read_text()
