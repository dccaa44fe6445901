"""viptrace as a process in a node's namespace: start, wait until attached, stop, read its lines."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tracer.errors import UnableError

READY_TIMEOUT_S = 900.0
"""Compiling the probes under emulation is slow, on a busy machine very."""
STOP_TIMEOUT_S = 120.0
POLL_S = 0.05

Line = dict[str, Any]


@dataclass
class Tracing:
    """One ``viptrace live --json``; output and errors go to files of ``folder``.

    A context manager: entered it is attached, left it is gone, whatever happened between.
    """

    namespace: str
    folder: Path
    naming: Sequence[str]
    """The options by which it learns names."""
    node: str
    """Its name, where it is one of the cluster's."""
    backend: str = "auto"
    options: Sequence[str] = ()
    launcher: Sequence[str] = (str(Path(sys.executable).with_name("viptrace")),)
    """What viptrace's arguments are given to."""
    files_at: str = ""
    """Where the launched program sees this machine's files."""
    ready_s: float = 0.0
    """From start to the ready file."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _streams: list[IO[bytes]] = field(default_factory=list, repr=False)

    @property
    def output(self) -> Path:
        """The JSON lines."""
        return self.folder / "viptrace.ndjson"

    @property
    def pid(self) -> int:
        """Of the running process, which has taken the place of ``ip netns exec``."""
        assert self._process is not None
        return self._process.pid

    @property
    def errors(self) -> Path:
        """Standard error."""
        return self.folder / "viptrace.err"

    def command(self) -> list[str]:
        """What is run."""
        return [
            *("ip", "netns", "exec", self.namespace),
            *(*self.launcher, "live", "--json", "--backend", self.backend),
            *(*self.naming, *(("--node", self.node) if self.node else ())),
            *("--ready-file", f"{self.files_at}{self.folder / 'ready'}", *self.options),
        ]

    def __enter__(self) -> Tracing:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def start(self) -> None:
        """Start it and wait for the ready file; UnableError with its own words if it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        self._streams = [self.output.open("wb"), self.errors.open("wb")]
        started = time.monotonic()
        self._process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=self._streams[0],
            stderr=self._streams[1],
        )
        self._wait(ready.exists, READY_TIMEOUT_S, "it did not become ready")
        self.ready_s = time.monotonic() - started

    def wait_for(self, wanted: Callable[[Line], bool], timeout_s: float, what: str) -> Line:
        """The first line that matches, as soon as it is printed."""
        found: list[Line] = []

        def seen() -> bool:
            found.extend(line for line in self.lines() if wanted(line))
            return bool(found)

        self._wait(seen, timeout_s, f"it did not print {what}")
        return found[0]

    def lines(self) -> Iterator[Line]:
        """What it has printed so far; a half-written last line is left out."""
        with self.output.open(errors="replace") as printed:
            for line in printed:
                if line.endswith("\n"):
                    yield json.loads(line)

    def stop(self) -> int:
        """Interrupt it as Ctrl-C does; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise self._failed("it did not stop when interrupted") from error
        finally:
            self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in self._streams:
            stream.close()

    def _wait(self, reached: Callable[[], bool], timeout_s: float, why: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while not reached():
            if self._process.poll() is not None:
                raise self._failed(f"it ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"{why} within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def _failed(self, why: str) -> UnableError:
        said = self.errors.read_text(errors="replace")[-2000:]
        return UnableError(f"viptrace in {self.namespace} failed", why, said)
