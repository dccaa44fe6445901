"""A capture read by a process of its own, which finds its translations, too.

Threads of one process wait for each other wherever Python itself runs, and with arrays as short as
a batch's that is half of the time. The other process knows nothing of flows and findings: it
reads, decodes and pairs, and hands batches over in memory that both see.
"""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NoReturn

from tracer.errors import UnableError
from tracer.events import EVENT, EventBatch, Records, as_rows, no_records
from tracer.fields import Fields
from tracer.pairing import Pairer
from tracer.sources import Problem, Source
from tracer.sources.slots import Place, Slots

_SLOTS = 4
"""Batches on the way: one is written, one looked at, the others wait."""
_PATIENCE_S = 5.0
"""Who keeps batches for longer gets more of them all the same."""
_PAIRS = "pairs"


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A batch whose columns are in a slot."""

    slot: int
    batch: EventBatch
    count: int
    places: dict[str, Place]


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing follows, but for the translations that waited for more packets."""

    pairs: Records


class Apart:
    """Reads like the source that it was given, a step ahead; packets come with their pairs."""

    def __init__(self, source: Source, pairer: Pairer) -> None:
        """The process starts at once, OSError if it cannot; no other thread may run yet."""
        self.name = source.name
        self._source = source
        self._rest: Records | None = None
        self._slots = Slots()
        fork = get_context("fork")
        self._connection, theirs = fork.Pipe()
        ends = self._connection, theirs
        self._process = fork.Process(
            target=_give, args=(source, pairer, self._slots, *ends), daemon=True
        )
        try:
            self._process.start()
        except OSError:
            self._connection.close()
            self._slots.close()
            raise
        finally:
            theirs.close()

    def problems(self) -> list[Problem]:
        """Those of the source."""
        return self._source.problems()

    def open(self) -> None:
        """It has been opened: what was wrong is said by the first ``read``."""

    def read(self, timeout: float) -> EventBatch | None:
        """The next batch, with its pairs; None at the end. It is waited for, as a file's is."""
        if self._rest is not None:
            return None
        try:
            told = self._connection.recv()
        except (EOFError, ConnectionError):
            self._died()
        if isinstance(told, BaseException):
            self.close()
            raise told
        if isinstance(told, _End):
            self._rest = told.pairs
            return None
        return self._taken(told)

    def feed(self, records: Records, until_ns: int = 0) -> Records:
        """No further pairs: batches have brought them."""
        return no_records()

    def finish(self) -> Records:
        """End of input: the translations that waited for more packets."""
        return no_records() if self._rest is None else self._rest

    def close(self) -> None:
        """End the process, wherever it is; safe to call twice."""
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._slots.close()
        self._source.close()

    def _taken(self, parcel: _Parcel) -> EventBatch:
        arrays = self._slots.look(parcel.slot, parcel.places, self._release)
        pairs = arrays.pop(_PAIRS)
        return replace(parcel.batch, records=Fields.of(EVENT, parcel.count, arrays), pairs=pairs)

    def _release(self, slot: int) -> None:
        """The process may have ended, or been ended, meanwhile."""
        try:
            self._connection.send(slot)
        except OSError:
            return

    def _died(self) -> NoReturn:
        self.close()
        code = self._process.exitcode
        raise UnableError(
            "the process that read the capture ended before it was done",
            f"its exit code is {code}; -9 mostly means that memory was short",
            "give it more memory, or cut the capture into parts with editcap",
        )


def _give(
    source: Source, pairer: Pairer, slots: Slots, others: Connection, connection: Connection
) -> None:
    """The other process, from its start to its end."""
    others.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who reads decides about the end
    try:
        source.open()
        rest = _give_all(source, pairer, slots, connection)
        connection.send(_End(rest))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return  # nobody reads any more
    except BaseException as error:
        connection.send(error)
    finally:
        source.close()


def _give_all(source: Source, pairer: Pairer, slots: Slots, connection: Connection) -> Records:
    free = deque(range(_SLOTS))
    made = _SLOTS
    while (batch := source.read(1.0)) is not None:
        assert isinstance(batch, EventBatch), "only recordings tell states"
        pairs = pairer.feed(batch.records, batch.until_ns)
        while connection.poll(0 if free else _PATIENCE_S):
            free.append(connection.recv())
        if not free:
            free.append(made)
            made += 1
        connection.send(_parcel(free.popleft(), batch, pairs, slots))
    return pairer.finish()


def _parcel(slot: int, batch: EventBatch, pairs: Records, slots: Slots) -> _Parcel:
    records = batch.records
    names = records.written() if isinstance(records, Fields) else EVENT.names or ()
    arrays = {name: records[name] for name in names}
    places = slots.put(slot, {**arrays, _PAIRS: as_rows(pairs)})
    return _Parcel(slot, replace(batch, records=no_records()), len(records), places)
