"""Pages over the screen: details, what is degraded, help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tracer.columns import SCREEN_COLUMNS
from tracer.plain import harmless
from tracer.tui.widgets.detail_pane import Subject, describe
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


class Overlay(ModalScreen[None]):
    """Text to scroll through; Escape, Enter or q goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", id="overlay.back"),
    ]

    def __init__(self, text: Text) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text in a scrolling box."""
        with VerticalScroll(classes="page"):
            yield Static(self._text, markup=False)
            yield Static(Text("\nEsc: back", "dim"))


class DetailScreen(Overlay):
    """One flow or finding with every step of its remedy."""

    def __init__(self, subject: Subject, functions: bool) -> None:
        super().__init__(describe(subject, functions))


class DegradedScreen(Overlay):
    """What does not work here, and what was lost so far."""

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
        super().__init__(text)


class HelpScreen(Overlay):
    """Keys as they are really bound, then the columns."""

    def __init__(self) -> None:
        super().__init__(Text())

    def compose(self) -> ComposeResult:
        """The bindings of the app and of every widget on the main screen."""
        main = self.app.screen_stack[0]
        text = Text("Keys\n", "bold underline")
        for key, description in _bindings([self.app, *main.query("*")]):
            text.append(f"{key:>12}  ", "bold")
            text.append(f"{description}\n", "")
        text.append("\nColumns\n", "bold underline")
        for column in SCREEN_COLUMNS:
            text.append(f"{column.title:>12}  ", "bold")
            text.append(f"{column.help}\n", "")
        self._text = text
        yield from super().compose()


def _bindings(nodes: Iterable[object]) -> list[tuple[str, str]]:
    """(keys, what they do) of every binding declared by our own classes, once each."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        for declared in type(node).__dict__.get("BINDINGS", ()):
            if isinstance(declared, Binding):
                words = declared.tooltip or declared.description
                keys = found.setdefault(words, [])
                keys += [key for key in _keys(declared) if key not in keys]
    return [(", ".join(keys), words) for words, keys in found.items()]


def _keys(binding: Binding) -> list[str]:
    return [_KEY_NAMES.get(key, key) for key in binding.key.split(",")]
