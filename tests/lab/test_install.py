"""What is typed in fresh systems is what the notes say."""

from __future__ import annotations

from lab.install import NOTES, SYSTEMS, commands

TABLE = """
| distribution | bcc | tools | Python |
|---|---|---|---|
| One | `apt install bcc` | `apt install a b` | 3.11: `apt install pipx` |
| Two | the same | the same | 3.13: `apt install pipx-two` |
| Three | `dnf install bcc` | the same | too old |
"""


def test_a_row_s_commands_and_those_of_the_row_above():
    assert commands(TABLE, "One") == ["apt install bcc", "apt install a b", "apt install pipx"]
    assert commands(TABLE, "Two")[1:] == ["apt install a b", "apt install pipx-two"]
    assert commands(TABLE, "Three") == ["apt install a b"]
    assert commands(TABLE, "Four") == []


def test_every_system_that_is_tried_has_its_row_in_the_notes():
    for system in SYSTEMS:
        typed = commands(NOTES.read_text(), system.name)
        assert len(typed) == 3
        assert typed[0] == "apt install python3-bpfcc"
