"""Between readers and the pipeline: one bounded queue, and the only overload policy.

Live input is never waited for: when too many records are waiting, the oldest batch goes
and is counted. A file can wait, so its reader does. What has piled up of one source is
handed over as one batch, because each batch has a price whatever its size.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import Generic, TypeVar

from tracer.events import EventBatch, Loss, merged

Item = TypeVar("Item")
Group = tuple[object, bool]

MAX_RECORDS = 1 << 18
"""Records that may wait: 32 MB."""
MERGED_RECORDS = 1 << 15
"""No batch is merged beyond this, so that screens are served in between."""


class Inbox(Generic[Item]):
    """Batches and other items in order of arrival; any thread puts, one takes."""

    def __init__(
        self, live: bool, max_records: int = MAX_RECORDS, states: tuple[type, ...] = ()
    ) -> None:
        """``states``: kinds of items of which only the newest counts for who is behind."""
        self._live, self._max_records, self._states = live, max_records, states
        self._items: deque[EventBatch | Item] = deque()
        self._records = 0
        self._overflow = Loss()
        self._changed = threading.Condition()
        self._woken = False

    def put(self, item: EventBatch | Item) -> None:
        """Add an item; waits for room only where the input can wait."""
        with self._changed:
            if isinstance(item, EventBatch):
                self._make_room(_weight(item))
                self._records += _weight(item)
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout: float) -> list[EventBatch | Item]:
        """What is waiting, merged where it is live; waits at most ``timeout`` seconds for it."""
        with self._changed:
            if not self._items:
                self._changed.wait(timeout)
            taken = self._merge() if self._live else self._first()
            self._changed.notify_all()
        return taken

    def gather(self, records: int, timeout: float) -> None:
        """Wait until so many records are there or somebody calls ``wake``, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken or self._records >= records, timeout)
            self._woken = False

    def wake(self) -> None:
        """Let who waits in ``take`` or ``gather`` go on, with nothing if there is nothing."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _make_room(self, coming: int) -> None:
        while self._records and self._records + coming > self._max_records:
            if not self._live:
                self._changed.wait()
            elif not self._discard_oldest():
                return

    def _discard_oldest(self) -> bool:
        """Drop the oldest batch, never anything else; False if there is none."""
        for place, item in enumerate(self._items):
            if isinstance(item, EventBatch):
                del self._items[place]
                self._records -= _weight(item)
                self._overflow += Loss(queue=len(item.records)) + item.lost
                return True
        return False

    def _first(self) -> list[EventBatch | Item]:
        if not self._items:
            return []
        item = self._items.popleft()
        if isinstance(item, EventBatch):
            self._records -= _weight(item)
        return [item]

    def _merge(self) -> list[EventBatch | Item]:
        """Batches up to the next other item, one for each source, then that item.

        States that newer ones have overtaken are no such items: each has a price, too, and who
        is behind would never catch up.
        """
        groups: dict[Group, list[EventBatch]] = {}
        other: list[EventBatch | Item] = []
        count = 0
        while self._items and not other and count < MERGED_RECORDS:
            (item,) = self._first()
            if isinstance(item, EventBatch):
                count += len(item.records)
                groups.setdefault((item.origin, item.packets is None), []).append(item)
            elif not self._overtaken(item):
                other.append(item)
        return [*map(self._with_overflow, map(merged, groups.values())), *other]

    def _overtaken(self, item: Item) -> bool:
        kind = next((kind for kind in self._states if isinstance(item, kind)), None)
        return kind is not None and any(isinstance(later, kind) for later in self._items)

    def _with_overflow(self, batch: EventBatch) -> EventBatch:
        """The next batch after an overflow carries its loss."""
        lost, self._overflow = self._overflow, Loss()
        return replace(batch, lost=batch.lost + lost) if lost else batch


def _weight(batch: EventBatch) -> int:
    """Empty batches take room too."""
    return max(1, len(batch.records))
