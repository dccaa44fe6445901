"""Where a filter is typed: completion, history, and what is wrong under the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tracer.errors import InputError
from tracer.filters import FilterError, completions, parse
from tracer.plain import harmless
from tracer.tui.messages import FilterCancelled, FilterSubmitted

HISTORY_KEPT = 100


class FilterInput(Input):
    """One line; Tab goes on with what could follow, Up and Down through what was entered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Leave the filter as it was", id="filter.cancel"),
        Binding("tab", "complete(1)", "Complete", id="filter.complete"),
        Binding("shift+tab", "complete(-1)", "Complete backwards", id="filter.back", show=False),
        Binding("up", "recall(-1)", "Filters entered before", id="filter.before", show=False),
        Binding("down", "recall(1)", "Filters entered after", id="filter.after", show=False),
    ]

    def action_cancel(self) -> None:
        """Leave without a change."""
        self.post_message(FilterCancelled())

    def action_complete(self, step: int) -> None:
        """The next thing that could follow."""
        self._bar.complete(step)

    def action_recall(self, step: int) -> None:
        """What was entered before or after."""
        self._bar.recall(step)

    @property
    def _bar(self) -> FilterBar:
        bar = self.parent
        assert isinstance(bar, FilterBar)
        return bar


class FilterBar(Vertical):
    """The line, and under it what could follow or what is wrong."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.seen: Mapping[str, Sequence[str]] = {}
        """Names by term."""
        self._history: list[str] = []
        self._at = 0
        """Place in the history; past its end what is being typed."""
        self._typed = self._last_put = ""
        self._candidates: list[str] = []
        self._shown = -1

    def compose(self) -> ComposeResult:
        """The line above the hint."""
        yield FilterInput(placeholder="filter, empty for all; Tab completes, Enter applies")
        yield Static("", id="filter-hint", markup=False)

    @property
    def value(self) -> str:
        """What stands in the line."""
        return self._input.value

    def open(self, text: str) -> None:
        """Begin with the filter in force."""
        self._at = len(self._history)
        self._put(text)
        self._suggest(text)
        self.display = True
        self._input.focus()

    def complete(self, step: int) -> None:
        """Put the next candidate into the line."""
        if self._candidates:
            self._shown = (self._shown + step) % len(self._candidates)
            self._put(self._candidates[self._shown])
            self._hint(self._listed())

    def recall(self, step: int) -> None:
        """Walk through what was entered before."""
        if self._at == len(self._history):
            self._typed = self.value
        self._at = min(max(self._at + step, 0), len(self._history))
        text = self._history[self._at] if self._at < len(self._history) else self._typed
        self._put(text)
        self._suggest(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what could follow, or what cannot be meant any more."""
        event.stop()
        if event.value != self._last_put:
            self._suggest(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand up what can be understood; point at what cannot."""
        event.stop()
        text = event.value.strip()
        problem = complaint(event.value)
        if problem is not None:
            self._hint(_pointed(problem))
            return
        if text and text not in self._history[-1:]:
            self._history = [*self._history[1 - HISTORY_KEPT :], text]
        self.post_message(FilterSubmitted(text))

    @property
    def _input(self) -> FilterInput:
        return self.query_one(FilterInput)

    def _put(self, text: str) -> None:
        """Write into the line without taking it for typing."""
        self._last_put = text
        self._input.value = text
        self._input.cursor_position = len(text)

    def _suggest(self, text: str) -> None:
        self._last_put = ""
        self._candidates, self._shown = completions(text, self.seen), -1
        problem = complaint(text)
        finished = max(text.rfind(" "), 0)
        if isinstance(problem, FilterError) and problem.column <= finished:
            self._hint(_pointed(problem))
        else:
            self._hint(self._listed())

    def _listed(self) -> Text:
        """The candidates on one line, the one in use reversed."""
        shown = self._candidates[max(self._shown - 3, 0) :]
        text = Text(no_wrap=True, overflow="ellipsis")
        for candidate in shown[:20]:
            used = self._shown >= 0 and candidate == self._candidates[self._shown]
            text.append(harmless(candidate.rpartition(" ")[2]), "reverse" if used else "dim")
            text.append("  ")
        return text

    def _hint(self, text: Text) -> None:
        self.query_one("#filter-hint", Static).update(text)


def complaint(text: str) -> InputError | None:
    """Why this is no filter; None if it is one."""
    try:
        parse(text)
    except InputError as error:
        return error
    return None


def _pointed(problem: InputError) -> Text:
    """The complaint under a mark at the column it is about."""
    text = Text(style="bold red")
    if isinstance(problem, FilterError):
        text.append(" " * (problem.column - 1) + "▲\n")
    text.append("\n".join(map(harmless, str(problem).splitlines())))
    return text
