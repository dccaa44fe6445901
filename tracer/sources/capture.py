"""Capture files as a source: several are merged by time."""

from __future__ import annotations

import select
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracer.capture_file import CaptureReader, CaptureStream, Chunk, Interface
from tracer.errors import InputError
from tracer.events import EventBatch, Flag, Loss, Origin
from tracer.packets import PacketQueue, Strays, decode_fields, decode_spans
from tracer.packets.queue import Packets, cut, united
from tracer.sources import Problem

BATCH_PACKETS = 32_768
BULK_PACKETS = 131_072
"""Of packets without their bytes: each batch has a price, and so has each flow in it."""
_FIRST_PACKETS = 16_384
"""In the first batch in bulk; each has twice as many as the one before: who takes them begins
early, and does not have much left to do when the last one has come."""
_HOLD_PACKETS = 16_384
"""Packets of a file kept back until later ones are read: multi-queue captures are not quite
in order. A pipe is handed on at once."""
_FOREIGN_IFINDEX = 1 << 20
"""Interfaces of files that do not tell the kernel's number count from here."""
_END = (1 << 63) - 1
"""Later than any record, or as late: damaged packets may have any time."""


class CaptureSource:
    """Reads capture files and pipes; batches are in time order, with each packet's bytes.

    Without ``keeps_bytes`` only with what was read from them, and in larger batches.
    """

    name = "capture"

    def __init__(
        self,
        paths: Sequence[Path | CaptureStream],
        batch_packets: int = 0,
        *,
        keeps_bytes: bool = True,
        ahead_ns: Sequence[int] = (),
    ) -> None:
        """``batch_packets``: the most in one batch; 0 chooses.

        ``ahead_ns``: by how much the clock of each file was ahead; none was, without.
        """
        most, first = (BATCH_PACKETS,) * 2 if keeps_bytes else (BULK_PACKETS, _FIRST_PACKETS)
        self._paths, self._most = tuple(paths), batch_packets or most
        self._batch_packets = batch_packets or first
        self._files: list[_CaptureFile] = []
        self._keeps_bytes = keeps_bytes
        self._ahead_ns = tuple(ahead_ns) or (0,) * len(self._paths)
        self._ready = PacketQueue(keeps_bytes=keeps_bytes)
        self._until_ns = 0
        self._frontier_ns = 0

    def problems(self) -> list[Problem]:
        """None: what cannot be read is an error when opened, or counted as damage."""
        return []

    def open(self) -> None:
        """Open every file; InputError names the one that is no capture."""
        if not self._paths:
            raise InputError("no capture file given", "", "name at least one file")
        try:
            for number, (path, ahead_ns) in enumerate(
                zip(self._paths, self._ahead_ns, strict=True), start=1
            ):
                file = _CaptureFile(path, _FOREIGN_IFINDEX * number, self._keeps_bytes)
                file.ahead_ns = ahead_ns
                self._files.append(file)
        except InputError:
            self.close()
            raise

    def read(self, timeout: float) -> EventBatch | None:
        """Up to ``batch_packets`` packets; empty while a pipe has nothing; None at the end."""
        while len(self._ready) < self._least:
            behind = next((file for file in self._files if file.is_behind), None)
            if behind is None:
                if all(file.is_done for file in self._files):
                    break
                self._advance()
            elif not behind.advance(timeout):
                return self._batch(0)
        if not len(self._ready):
            return self._last()
        count, self._batch_packets = self._batch_packets, min(self._batch_packets * 2, self._most)
        return self._batch(count)

    def close(self) -> None:
        """Close every file; safe to call twice."""
        for file in self._files:
            file.close()
        for path in self._paths:
            if isinstance(path, CaptureStream):
                path.close()

    @property
    def _least(self) -> int:
        """Packets that a batch waits for: what a pipe has is handed on at once."""
        in_bulk = not self._keeps_bytes and not any(file.is_pipe for file in self._files)
        return self._batch_packets if in_bulk else 1

    def _advance(self) -> None:
        """Move what no file can precede any more into the queue that batches are cut from."""
        self._frontier_ns = min(file.frontier_ns for file in self._files)
        if len(self._files) == 1:
            for part in self._files[0].queue.parts_until(self._frontier_ns):
                self._ready.add(*part)
            return
        for file in self._files:
            self._ready.add(*file.queue.take_until(self._frontier_ns))

    def _batch(self, limit: int) -> EventBatch:
        records, packets = self._ready.take(limit)
        come = [self._until_ns]
        if len(records):
            come.append(int(records["time_ns"][-1]))
        if not len(self._ready) and self._frontier_ns < _END:
            come.append(self._frontier_ns)
        self._until_ns = max(come)
        return EventBatch(
            records,
            Origin.PACKETS,
            self._until_ns,
            lost=Loss(socket=sum(file.new_loss() for file in self._files)),
            damaged=sum(file.new_damage() for file in self._files),
            interfaces=dict(pair for file in self._files for pair in file.new_names()),
            packets=packets,
        )

    def _last(self) -> EventBatch | None:
        """Damage and loss found behind the last packet still have to be told."""
        batch = self._batch(0)
        return batch if batch.damaged or batch.lost else None


class _CaptureFile:
    """One file: what of it is decoded and waits."""

    def __init__(self, path: Path | CaptureStream, foreign_ifindex: int, keeps_bytes: bool) -> None:
        self.queue = PacketQueue(keeps_bytes=keeps_bytes)
        self.ahead_ns = 0
        """How much too late its times are."""
        self._keeps_bytes = keeps_bytes
        self._foreign = foreign_ifindex
        self._stream = stream = path if isinstance(path, CaptureStream) else CaptureStream(path)
        try:
            self._reader = CaptureReader(stream.bytes, stream.name, prompt=stream.is_pipe)
        except InputError:
            self._stream.close()
            raise
        self._hold = 0 if self._stream.is_pipe else _HOLD_PACKETS
        self._ended = False
        self._strays = Strays()
        self._waiting: Packets | None = None
        """Packets whose times cannot be judged yet."""
        self._told_damage = self._told_loss = 0
        self._points: list[tuple[int, int, int]] = []
        """(ifindex, netns, flags) of each interface of the reader."""
        self._new_names: list[tuple[int, str]] = []

    @property
    def is_pipe(self) -> bool:
        """More may come at any time."""
        return self._stream.is_pipe

    @property
    def is_behind(self) -> bool:
        """More must be read before anything later in another file may go."""
        return not self._ended and len(self.queue) <= self._hold

    @property
    def is_done(self) -> bool:
        """Nothing more will come."""
        return self._ended and not len(self.queue)

    @property
    def frontier_ns(self) -> int:
        """How far this file has come; it is not behind."""
        return _END if self._ended else self.queue.time_ns(-1 - self._hold)

    def advance(self, timeout: float) -> bool:
        """Decode a step further; False if a pipe has nothing within ``timeout`` seconds."""
        chunk = self._reader.parse()
        if chunk is not None:
            self._take(chunk)
        elif self._reader.at_end:
            if self._waiting is not None:
                self._settle(self._waiting, final=True)
            self._ended = True
        elif self._stream.is_pipe and not self._has_input(timeout):
            return False
        else:
            self._reader.fill()
        return True

    def _has_input(self, timeout: float) -> bool:
        return bool(select.select([self._stream.fileno()], [], [], timeout)[0])

    def new_damage(self) -> int:
        """Damage since last asked."""
        new = self._reader.damaged + self._strays.found - self._told_damage
        self._told_damage += new
        return new

    def new_loss(self) -> int:
        """Packets the capturing system lost, as far as not told yet."""
        new = self._reader.lost - self._told_loss
        self._told_loss += new
        return new

    def new_names(self) -> list[tuple[int, str]]:
        """Interface names not told yet."""
        new, self._new_names = self._new_names, []
        return new

    def close(self) -> None:
        """Give the file back; safe to call twice."""
        self._stream.close()

    def _take(self, chunk: Chunk) -> None:
        for interface in self._reader.interfaces[len(self._points) :]:
            self._meet(interface)
        ifindexes, netns, flags = self._columns(chunk.interfaces)
        read = decode_spans if self._keeps_bytes else decode_fields
        records, keep = read(chunk.spans, chunk.times_ns - self.ahead_ns, ifindexes, netns)
        flags |= np.where(chunk.outgoing, np.uint16(Flag.OUTGOING), np.uint16(0))
        if flags.any():
            records["flags"] |= flags[keep]
        packets = chunk.spans.rows(keep).packed() if self._keeps_bytes else None
        if self._waiting is not None:
            records, packets = united([self._waiting, (records, packets)])
        self._settle((records, packets), final=self._stream.is_pipe)

    def _settle(self, part: Packets, *, final: bool) -> None:
        """Queue packets whose times are believed; the others wait for what comes behind them."""
        records, count = part[0], len(part[0])
        held = self._strays.settle(records["time_ns"], records["ifindex"], final=final)
        self._waiting = cut(part, count - held, count) if held else None
        self.queue.add(*(cut(part, 0, count - held) if held else part))

    def _meet(self, interface: Interface) -> None:
        foreign = self._foreign + len(self._points)
        ifindex, netns = interface.origin or (foreign, 0)
        flags = int(Flag.LOOPBACK) if interface.name == "lo" else 0
        self._points.append((ifindex & 0xFFFFFFFF, netns & 0xFFFFFFFF, flags))
        self._new_names.append((ifindex, interface.name or Path(self._stream.name).name))

    def _columns(
        self, numbers: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
        points = np.array(self._points, dtype=np.uint32).reshape(-1, 3)[numbers]
        return points[:, 0], points[:, 1], points[:, 2].astype(np.uint16)
