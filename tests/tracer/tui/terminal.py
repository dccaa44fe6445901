"""A program in a tmux of its own: keys go in, what stands on the screen comes out."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

ROOT = Path(__file__).resolve().parents[3]
EXITED = "the program has ended with "
_PAUSE = Event()
"""Never set: tmux tells nobody when its screen changes."""


class Terminal:
    """One window of a server that nobody else uses."""

    def __init__(self, socket: Path, patience_s: float) -> None:
        self._socket, self._patience_s = socket, patience_s

    def press(self, *keys: str) -> None:
        """As tmux names them: ``Enter``, ``q``."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """As when the window around it changes."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def text(self) -> str:
        """What stands on the screen now."""
        return self._tmux("capture-pane", "-p")

    def until(self, *words: str) -> str:
        """The screen as soon as all these words stand on it."""
        ends_at = time.monotonic() + self._patience_s
        while True:
            text = self.text()
            if all(word in text for word in words):
                return text
            assert time.monotonic() < ends_at, f"{words} not on the screen:\n{text}"
            _PAUSE.wait(0.1)

    def leave(self) -> None:
        """Let the program end by itself, so that it takes down what it has set up."""
        if EXITED not in self.text():
            self.press("C-c")
            with suppress(AssertionError):
                self.until(EXITED)

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self._socket), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def terminal(
    folder: Path, command: list[str], columns: int, rows: int, patience_s: float = 40.0
) -> Iterator[Terminal]:
    """Run a command; its exit code is told on the screen when it has ended."""
    socket = folder / "tmux"
    shown = f"cd {shlex.quote(str(ROOT))}; {shlex.join(command)}; echo '{EXITED}'$?; cat"
    start = ["tmux", "-S", str(socket), "-f", "/dev/null", "new-session", "-d"]
    size = ["-x", str(columns), "-y", str(rows)]
    environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "NO_COLOR": ""}
    subprocess.run([*start, *size, "sh", "-c", shown], check=True, env=environment)
    shown_on = Terminal(socket, patience_s)
    try:
        yield shown_on
    finally:
        shown_on.leave()
        subprocess.run(["tmux", "-S", str(socket), "kill-server"], check=False)
