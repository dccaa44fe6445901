"""What widgets and the pipeline say to the app."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from tracer.view import Line, Page, Snapshot


class _Replaceable(Message):
    """Only the latest matters: one that waits gives way to the next."""

    def can_replace(self, message: Message) -> bool:
        """Whether this may take the place of a message still in the queue."""
        return type(message) is type(self)


@dataclass
class SnapshotReady(_Replaceable):
    """The pipeline's thread has answered."""

    snapshot: Snapshot


@dataclass
class Checked(Message):
    """This machine has been looked at."""

    lines: tuple[Line, ...]


@dataclass
class SessionEnded(Message):
    """Nothing more will be read."""

    error: BaseException | None = None
    leave: bool = False
    """Whether the screen goes, too; else what is known stays on it."""


class ViewMoved(_Replaceable):
    """The list shows, or selects, other rows: its window has to be asked for."""


class FilterSubmitted(Message):
    """A filter text was entered; the app judges it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class FilterCancelled(Message):
    """The filter bar was left without a change."""


@dataclass
class DetailWanted(Message):
    """Enter on a row: show all of it."""


@dataclass
class PageWanted(Message):
    """A tab was clicked."""

    page: Page


class FindChanged(_Replaceable):
    """Another text is looked for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class BarClosed(Message):
    """Nothing more is typed."""


@dataclass
class MomentWanted(Message):
    """A moment was typed, or the time line clicked."""

    at_ns: int


class SessionBegan(Message):
    """Another reading answers from now on."""
