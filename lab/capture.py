"""Packets of a node's namespace: tcpdump on every interface, then pcapng with interface names."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.shell import run_in
from tracer.capture_file import CaptureWriter
from tracer.errors import UnableError
from tracer.sources.capture import CaptureSource

SNAP_BYTES = 192
"""Headers of every layer and the first bytes of data: keeps recordings small."""


@dataclass
class Capture:
    """One tcpdump over all interfaces of a namespace, nanoseconds."""

    namespace: str
    raw: Path
    """Where tcpdump writes its own format; ``finish`` removes it."""
    noise: str = ""
    """Packets to leave out, as tcpdump names them."""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start and wait until it listens."""
        command = ["tcpdump", "-i", "any", "-n", "-U", "-s", str(SNAP_BYTES), "-Z", "root"]
        command += ["--time-stamp-precision=nano", "--immediate-mode", "-w", str(self.raw)]
        command += [f"not ({self.noise})"] if self.noise else []
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            said += line
            if "listening on" in line:
                return
        raise UnableError(f"tcpdump in {self.namespace} failed", said.strip())

    def finish(self, target: Path) -> None:
        """Stop and write pcapng to ``target``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=60)
        links = json.loads(run_in(self.namespace, ["ip", "-j", "link"]))
        convert(self.raw, target, {link["ifindex"]: link["ifname"] for link in links})
        self.raw.unlink()


def convert(source: Path, target: Path, names: dict[int, str]) -> None:
    """A tcpdump file as pcapng, one interface per capture point, with their names."""
    packets = CaptureSource([source])
    packets.open()
    try:
        with target.open("wb") as stream:
            writer = CaptureWriter(stream, "viptrace lab, tcpdump")
            while (batch := packets.read(0)) is not None:
                writer.write(replace(batch, interfaces=names))
    finally:
        packets.close()
