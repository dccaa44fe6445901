"""Pages over the screen: details, what is degraded, help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tracer.columns import SCREEN_COLUMNS
from tracer.plain import harmless
from tracer.tui.hanging import Hanging
from tracer.tui.told import copy, write
from tracer.tui.widgets.blackholes import Blackholes
from tracer.tui.widgets.detail_pane import DetailPane, Subject, describe
from tracer.tui.widgets.filter_bar import FilterInput
from tracer.tui.widgets.find_bar import FindBar
from tracer.tui.widgets.key_line import KeyLine
from tracer.tui.widgets.sheet_list import SheetList
from tracer.tui.widgets.time_bar import TimeBar
from tracer.view import Snapshot

_KEY_NAMES = {
    "slash": "/",
    "question_mark": "?",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "full_stop": ".",
    "comma": ",",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "right_curly_bracket": "}",
    "left_curly_bracket": "{",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "at": "@",
}
"""What Textual calls by a word and a keyboard by a sign."""
_KEYS_WIDTH = 12


class Overlay(ModalScreen[None]):
    """Text to scroll through; Escape, Enter or q goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", id="overlay.back"),
        Binding("enter,q", "dismiss", "Back", id="overlay.leave", show=False),
    ]

    def __init__(self, content: RenderableType) -> None:
        super().__init__()
        self._content = content

    def compose(self) -> ComposeResult:
        """The text in a scrolling box, its keys on the last line."""
        with VerticalScroll(classes="page"):
            yield Static(self._content, id="content", markup=False)
        yield KeyLine(id="overlay-keys")


class DetailScreen(Overlay):
    """One flow or finding with every step of its remedy, as it was when this was opened."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", id="detail.copy", tooltip="Copy what is shown"),
        Binding("w", "write", "Write to a file", id="detail.write"),
        Binding("u", "functions", "Kernel functions", id="detail.functions"),
    ]

    def __init__(self, subject: Subject, functions: bool) -> None:
        super().__init__(Hanging(describe(subject, functions)))
        self._subject, self._functions = subject, functions

    def action_copy(self) -> None:
        """All of it into the terminal's clipboard (OSC 52)."""
        copy(self.app, self._subject)

    def action_write(self) -> None:
        """All of it into a new file."""
        write(self.app, self._subject)

    def action_functions(self) -> None:
        """With or without the kernel's functions."""
        self._functions = not self._functions
        self.query_one("#content", Static).update(Hanging(describe(self._subject, self._functions)))


class DegradedScreen(Overlay):
    """What does not work here, and what was lost so far."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "dismiss", "Back", id="degraded.back", show=False)
    ]

    def __init__(self, snapshot: Snapshot) -> None:
        lost = snapshot.lost
        text = Text("Degraded\n", "bold underline")
        for part in snapshot.degraded or ("nothing",):
            text.append(f"- {harmless(part)}\n", "")
        text.append("\nLost\n", "bold underline")
        text.append(
            f"kernel events {lost.kernel} (the ring was full)\n"
            f"packets or messages {lost.socket} (a socket's buffer was full)\n"
            f"records in whole batches {lost.queue} (correlating was too slow)\n"
            f"damaged places in the input {snapshot.damaged}\n"
        )
        super().__init__(Hanging(text))


_PLACES = (
    (App, "Everywhere"),
    (SheetList, "In a list"),
    (Blackholes, "In the list of blackholes"),
    (DetailPane, "In the pane of details"),
    (DetailScreen, "On a whole page"),
    (FilterInput, "In the filter"),
    (FindBar, "While a text is looked for"),
    (TimeBar, "While a moment is typed"),
)
"""Whose keys are told where; those of others stand at the end."""


class HelpScreen(Overlay):
    """Keys as they are really bound, then the columns."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "dismiss", "Back", id="help.back", show=False)
    ]

    def __init__(self) -> None:
        super().__init__(Text())

    def compose(self) -> ComposeResult:
        """The bindings of the app and of every widget on the main screen."""
        main = self.app.screen_stack[0]
        kinds = dict.fromkeys(type(node) for node in (self.app, *main.query("*")))
        parts: list[RenderableType] = []
        for title, keys in _by_place([*kinds, DetailScreen]):
            parts += [_heading(title), _listed(keys)]
        columns = [(column.title, column.help) for column in SCREEN_COLUMNS]
        self._content = Group(*parts, _heading("Columns"), _listed(columns))
        yield from super().compose()


def _heading(title: str) -> Text:
    return Text(title, "bold underline")


def _listed(lines: Iterable[tuple[str, str]]) -> Table:
    """Names, and beside them what they mean, wrapped under itself."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold", min_width=_KEYS_WIDTH, no_wrap=True)
    table.add_column()
    for name, meaning in lines:
        table.add_row(Text(name), Text(meaning))
    table.add_row()
    return table


def _by_place(kinds: Iterable[type]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(where, keys and what they do) of every binding that our own classes declare."""
    left = list(kinds)
    for place, title in (*_PLACES, (object, "Elsewhere")):
        here = [kind for kind in left if issubclass(kind, place)]
        left = [kind for kind in left if kind not in here]
        keys = _bindings(here)
        if keys:
            yield title, keys


def _bindings(kinds: Iterable[type]) -> list[tuple[str, str]]:
    """(keys, what they do), once for all keys that do the same."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        for declared in kind.__dict__.get("BINDINGS", ()):
            if isinstance(declared, Binding):
                words = declared.tooltip or declared.description
                keys = found.setdefault(words, [])
                keys += [key for key in _keys(declared) if key not in keys]
    return [(", ".join(keys), words) for words, keys in found.items()]


def _keys(binding: Binding) -> list[str]:
    return [_KEY_NAMES.get(key, key) for key in binding.key.split(",")]
