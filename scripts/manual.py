"""Man pages, shell completions and the page of commands, from the commands' own help.

``python -m scripts.manual [FOLDER]``: ``man/``, ``completions/`` and ``docs/commands.md`` in it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import write_man_pages

from tracer.cli import viptrace

ROOT = Path(__file__).resolve().parent.parent
NAME = "viptrace"
SHELLS = {"bash": "viptrace", "zsh": "_viptrace", "fish": "viptrace.fish"}
"""File name for each shell, as its completion folders want it."""
DAY = "2026-11-22"
"""Of the pages' headers: a build today and one tomorrow give the same files."""
_MADE = "<!-- Made by `make docs` from the commands' own help. -->"


def write(folder: Path) -> None:
    """Write all of them; pages of commands that are no more are removed."""
    manual, completions = folder / "man", folder / "completions"
    for place in (manual, completions):
        place.mkdir(parents=True, exist_ok=True)
    for old in manual.glob("*.1"):
        old.unlink()
    _contexts()
    write_man_pages(NAME, viptrace, version=version(NAME), target_dir=str(manual), date=DAY)
    for shell, name in SHELLS.items():
        kind = get_completion_class(shell)
        assert kind is not None
        source = kind(viptrace, {}, NAME, "_VIPTRACE_COMPLETE").source()
        (completions / name).write_text(source)
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "commands.md").write_text("\n".join(commands()) + "\n")


def commands() -> Iterator[str]:
    """The help of every command."""
    yield from ("# Commands", "", _MADE, "")
    whole, *parts = _contexts()
    yield from ("```text", whole.get_help(), "```")
    for part in parts:
        yield from ("", f"## {NAME} {part.info_name}", "", "```text", part.get_help(), "```")


def _contexts() -> list[click.Context]:
    """Of the program and of each command, with its help option as it is when typed.

    A command keeps the help option that is asked for first, by whichever context.
    """
    settings = {**viptrace.context_settings, "max_content_width": 100, "terminal_width": 100}
    whole = click.Context(viptrace, info_name=NAME, **settings)
    parts = [
        click.Context(command, whole, info_name=name, terminal_width=100)
        for name, command in viptrace.commands.items()
    ]
    for context in (whole, *parts):
        context.command.get_help_option(context)
    return [whole, *parts]


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
