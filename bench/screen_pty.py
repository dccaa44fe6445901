"""The bench of the screen on a real terminal: the app in a process of its own, keys from here."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tracer.tui.app import TracerApp
from tracer.view import Snapshot, ViewQuery

ROWS, COLUMNS = 45, 160
PATIENCE_S = 60.0
_WARM = 4
"""Refreshes that are not counted."""

Answer = Callable[[ViewQuery], tuple[Snapshot, float]]
"""The answer to a query and the seconds of processor it took."""


def refresh_ms(command: list[str]) -> tuple[float, float]:
    """(answer, drawing) of a refresh: milliseconds of processor, terminal included."""
    reader, writer = os.pipe()
    with _on_terminal([*command, str(writer)], (writer,)) as (_, terminal):
        os.close(writer)
        for _ in _output(terminal):
            pass
    words = os.read(reader, 100).split()
    os.close(reader)
    return float(words[0]), float(words[1])


def measure(answer: Answer, refreshes: int, writer: int) -> None:
    """The child's part: drawing is all that the process spends between two answers."""
    answers: list[float] = []
    draws: list[float] = []
    last = time.process_time()

    def ask(query: ViewQuery) -> None:
        nonlocal last
        draws.append(time.process_time() - last)
        shot, spent_s = answer(query)
        answers.append(spent_s)
        last = time.process_time()
        app.show(shot)
        if len(answers) == refreshes:
            app.exit(0)

    app = TracerApp(ask, "bench")
    app.run()
    told = [statistics.fmean(times[_WARM:]) * 1000 for times in (answers, draws)]
    os.write(writer, " ".join(map(str, told)).encode())


def key_ms(command: list[str], tries: int) -> tuple[float, float]:
    """Median (passed, processor) milliseconds from a key to the page that it opens."""
    waits, spent = [], []
    with _on_terminal(command, ()) as (child, terminal):
        _until(terminal, b"Client")
        for turn in range(tries):
            time.sleep(0.4 + turn % 5 * 0.05)
            _drain(terminal)
            key, words = ((b"3", b"Service / backend"), (b"1", b"Client"))[turn % 2]
            began, ran = time.monotonic(), _processor_ns(child)
            os.write(terminal, key)
            _until(terminal, words)
            waits.append(time.monotonic() - began)
            spent.append((_processor_ns(child) - ran) / 1e9)
    return statistics.median(waits) * 1000, statistics.median(spent) * 1000


def _processor_ns(child: int) -> int:
    """What all threads of a process have had of a processor."""
    tasks = Path(f"/proc/{child}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


@contextmanager
def _on_terminal(command: list[str], fds: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(process, our end of its terminal) of a command of this bench."""
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    words = [sys.executable, "-m", "bench.screen", *command]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    child = subprocess.Popen(words, pass_fds=fds, start_new_session=True, **streams)
    os.close(theirs)
    try:
        yield child.pid, terminal
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


def _output(terminal: int) -> Iterator[bytes]:
    """What the app writes until it ends."""
    while True:
        if not select.select([terminal], [], [], PATIENCE_S)[0]:
            raise TimeoutError("The screen says nothing.")
        try:
            yield os.read(terminal, 1 << 16)
        except OSError:  # the other side is closed
            return


def _drain(terminal: int) -> None:
    """Pass over what was written before the key: the words of both pages may stand in it."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 1 << 16)


def _until(terminal: int, words: bytes) -> None:
    seen = b""
    for part in _output(terminal):
        seen = seen[-1000:] + part
        if words in seen:
            return
