"""One kind of object kept up to date: list once, watch from there, for as long as it runs.

As client-go's reflector: a list in pages, then a watch from the list's version, with
bookmarks; a watch that ends or breaks goes on from the last version seen, and only a
version that the server has forgotten (410 Gone) means listing again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tracer.clock import wall_ns
from tracer.cluster.api.connection import Answer, ApiError
from tracer.cluster.api.kinds import Key, Kind, Value
from tracer.cluster.api.wire import Decoder, Event, GarbledError, Reading

PAGE_OBJECTS = 500
"""As kubectl: a page of Pods is a few megabytes."""
WATCH_S = 300, 600
"""The server ends a watch after a time in this range, so that not all end together."""
SILENCE_S = 90.0
"""The server sends a bookmark about every minute: longer silence is a dead connection."""
FIRST_DELAY_S, LAST_DELAY_S = 0.5, 30.0
FORBIDDEN_DELAY_S = 60.0
"""Rights are granted by people: ask again only now and then."""
SHORT_WATCH_S = 1.0
"""A watch that ends this soon without a word is an error, whatever the server calls it."""


class Phase(Enum):
    """How far a stream has come."""

    STARTING = "starting"
    FOLLOWING = "following"
    FORBIDDEN = "forbidden"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Health:
    """What a stream says of itself; replaced as a whole, so other threads may look."""

    phase: Phase = Phase.STARTING
    why: str = ""
    listed: bool = False
    """Whether there ever was a whole list."""
    heard_ns: int = 0
    """When the API server last said anything of this kind, wall clock."""
    objects: int = 0
    """Objects of the last list."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything there is of a kind."""

    kind: Kind
    values: dict[Key, Value]
    notes: dict[Key, tuple[str, ...]]
    at_ns: int


@dataclass(frozen=True, slots=True)
class Changed:
    """Objects that were added, changed or (no value) removed, in order."""

    kind: Kind
    readings: list[Reading]
    at_ns: int


News = Listed | Changed


class Clock(Protocol):
    """Waiting that ends early when the run does."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, timeout: float) -> bool:
        """Wait, at most until it is time to stop; answers whether it is."""


class Server(Protocol):
    """Who is asked; see ``connection.Connection``."""

    def get(self, path: str, query: dict[str, str], silence_s: float = ...) -> Answer:
        """An answer that is a success; else ``ApiError``."""

    def renew(self) -> None:
        """Read the credentials again."""


class Stream:
    """Follows one kind, in a thread of its own; hands news to ``tell``."""

    def __init__(
        self,
        kind: Kind,
        server: Server,
        tell: Callable[[News], None],
        stopping: Clock,
        selectors: tuple[str, ...] = ("",),
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        """``selectors``: field selectors by preference; where one is forbidden the next."""
        self.kind = kind
        self.health = Health()
        self._server, self._tell, self._stopping = server, tell, stopping
        self._selectors, self._selector = selectors, 0
        self._decoder = Decoder(kind)
        self._version = ""
        self._answer: Answer | None = None
        self._first_delay_s = self._delay_s = first_delay_s

    @property
    def selector(self) -> str:
        """The field selector in use; empty for all objects of the kind."""
        return self._selectors[self._selector]

    def run(self) -> None:
        """List and watch until it is time to stop."""
        while not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch()
            except ApiError as error:
                self._stopping.wait(self._pause(error))
            except GarbledError as error:
                # Something was missed: only a list tells what.
                self._version = ""
                self._stopping.wait(self._pause(ApiError(str(error))))

    def interrupt(self) -> None:
        """End the read that the stream's thread may be in."""
        answer = self._answer
        if answer is not None:
            answer.interrupt()

    def _list(self) -> None:
        values: dict[Key, Value] = {}
        notes: dict[Key, tuple[str, ...]] = {}
        query = self._query(limit=str(PAGE_OBJECTS))
        if self.selector:
            # From the server's cache: a filtered list from etcd reads every object there is.
            query["resourceVersion"] = "0"
        while not self._stopping.is_set():
            page = self._decoder.page(self._body(query))
            values |= {one.key: one.value for one in page.readings if one.value is not None}
            notes |= {one.key: one.notes for one in page.readings if one.notes}
            if page.next:
                query = self._query(limit=str(PAGE_OBJECTS)) | {"continue": page.next}
                continue
            if not page.version:
                raise GarbledError(f"a list of {self.kind.name} has no resourceVersion")
            self._version = page.version
            self._tell(Listed(self.kind, values, notes, wall_ns()))
            self._well(len(values))
            return

    def _body(self, query: dict[str, str]) -> bytearray:
        answer = self._answer = self._server.get(self.kind.path, query)
        try:
            return answer.body()
        finally:
            self._answer = None
            answer.close()

    def _watch(self) -> None:
        began = time.monotonic()
        query = self._query(
            watch="1",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(random.randint(*WATCH_S)),
        )
        answer = self._answer = self._server.get(self.kind.path, query, SILENCE_S)
        self._well(self.health.objects)
        try:
            for lines in answer.lines() if not self._stopping.is_set() else ():
                self._take([self._decoder.event(line) for line in lines])
                if self._stopping.is_set():
                    return
        finally:
            self._answer = None
            answer.close()
            lasted_s = time.monotonic() - began
            if lasted_s > LAST_DELAY_S:
                self._delay_s = self._first_delay_s
        if lasted_s < SHORT_WATCH_S:
            raise ApiError("the server ends the watch at once")

    def _take(self, events: list[Event]) -> None:
        """Pass on what one piece of a watch says."""
        failed = next((event.status for event in events if event.status is not None), None)
        readings = [event.reading for event in events if event.reading is not None]
        if readings:
            self._tell(Changed(self.kind, readings, wall_ns()))
        versions = [event.version for event in events if event.version]
        if versions:
            self._version = versions[-1]
            self._well(self.health.objects)
            self._delay_s = self._first_delay_s
        if failed is not None:
            raise ApiError(f"{failed.code} {failed.message or failed.reason}", failed.code)

    def _query(self, **more: str) -> dict[str, str]:
        return ({"fieldSelector": self.selector} if self.selector else {}) | more

    def _well(self, objects: int) -> None:
        self.health = Health(Phase.FOLLOWING, "", True, wall_ns(), objects)

    def _pause(self, error: ApiError) -> float:
        """Seconds to wait after a failure; remembers it."""
        if self._stopping.is_set():
            return 0.0
        delay = self._delay_s * random.uniform(0.5, 1.0)
        self._delay_s = min(2 * self._delay_s, LAST_DELAY_S)
        if error.gone:
            self._version = ""
            return 0.0 if self._delay_s <= 2 * self._first_delay_s else delay
        if error.forbidden:
            self._version = ""  # who may list but not watch lists now and then
            self._server.renew()
            if self._selector + 1 < len(self._selectors):
                self._selector += 1
                return 0.0
        phase = Phase.FORBIDDEN if error.forbidden else Phase.FAILING
        before = self.health
        self.health = Health(phase, str(error), before.listed, before.heard_ns, before.objects)
        if not error.forbidden:
            return delay
        return min(delay * 4, FORBIDDEN_DELAY_S) if error.status == 401 else FORBIDDEN_DELAY_S
