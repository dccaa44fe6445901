"""Many healthy connections under live tracing: whatever is found must be true."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from lab.accounted import without_translation
from lab.healthy import Crowd, Outcome, drive
from lab.netns import call
from lab.objects import CLUSTERS, read, to_cluster
from lab.rules.apply import Mode
from lab.topology import Topology
from lab.tracing import Line, Tracing

NODE, CLIENT_POD, VIP = "worker-1", "shell", "10.96.0.10"
GOING = "default/echo-3"
AFTER_KILL = "refused-by-backend"
"""What is right to say once a pod was killed whose endpoint is still listed."""
ROUND = 10_000
"""Connections between two rolling updates."""
AT_ONCE = 250
SHOWN = 10
SETTLE_S = 12.0
"""Until every wait for an answer is over."""


@dataclass(frozen=True, slots=True)
class Soaked:
    """What was made, what failed, what was said."""

    made: Mapping[str, int]
    failed: Mapping[str, int]
    seconds: float
    findings: Mapping[str, str]
    """Summary by cause."""
    summary: Mapping[str, object]
    mappings: int = 0
    """How many the kernel told of, where a recording was left."""
    missing: Sequence[str] = ()
    """Those without a translation of their own."""

    @property
    def good(self) -> bool:
        """Nothing said of what went well; of the killed pod what is true; no mapping missed."""
        return set(self.findings) == {AFTER_KILL} and not self.failed and not self.missing

    def lines(self) -> Iterator[str]:
        """For people."""
        total = sum(self.made.values())
        yield f"{total} connections in {self.seconds:.0f} s ({total / self.seconds:.0f}/s)"
        yield from (
            f"  {name:22} {number:7}  failed {self.failed.get(name, 0)}"
            for name, number in self.made.items()
        )
        lost = self.summary.get("lost")
        yield (
            f"viptrace: {self.summary.get('translations')} translations, "
            f"{self.summary.get('packets')} packets, lost {lost}"
        )
        if self.mappings:
            lacking = f"{len(self.missing)} without a translation of their own"
            yield f"mappings that the kernel told of: {self.mappings}, {lacking}"
            yield from (f"  {mapping}" for mapping in self.missing[:SHOWN])
        yield f"findings: {len(self.findings)}"
        yield from (f"  {cause}: {told}" for cause, told in self.findings.items())


def soak(
    mode: Mode,
    backend: str,
    count: int,
    folder: Path,
    prefix: str,
    say: Callable[[str], None],
    record: bool = False,
) -> Soaked:
    """Rounds of healthy traffic from a pod on the traced node, with rolling updates between them.

    A pod leaves the rules before it goes and comes back, as in an orderly roll-out; at the
    end one dies in mid-flow while its endpoint is still listed. ``record``: leave a recording,
    and hold every mapping in it against what was printed.
    """
    made: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    seconds = 0.0
    with Topology(to_cluster(read("default")), prefix) as topology:
        topology.program(mode)
        namespace = topology.namespace(NODE)
        cluster = CLUSTERS / "default.yaml"
        naming, recording = ("--cluster", str(cluster)), folder / "soak.pcapng"
        options = ("--record", str(recording)) if record else ()
        with Tracing(namespace, folder, naming, NODE, backend, options) as tracing:
            for _ in range(0, count, ROUND):
                outcome = _round(topology, min(ROUND, count - sum(made.values())))
                made.update(outcome.made)
                failed.update(outcome.failed)
                seconds += outcome.seconds
                say(f"{sum(made.values())} of {count} connections in {seconds:.0f} s")
                _roll_out(topology, mode)
            time.sleep(SETTLE_S)
            _kill(topology)
            time.sleep(SETTLE_S)
            tracing.stop()
    found, summary = _said(tracing.lines())
    told, missing = without_translation(recording, tracing.lines()) if record else (0, [])
    return Soaked(dict(made), dict(+failed), seconds, found, summary, told, missing)


def _said(lines: Iterable[Line]) -> tuple[dict[str, str], Line]:
    """Summaries of the findings by cause, and the last summary; one line is held at a time.

    A hundred thousand connections print more than a small VM's memory holds parsed.
    """
    found: dict[str, str] = {}
    summary: Line = {}
    for line in lines:
        if line["type"] == "finding" and line["severity"] != "info":
            found[line["cause"]] = line["summary"]
        elif line["type"] == "summary":
            summary = line
    return found, summary


def _round(topology: Topology, count: int) -> Outcome:
    return call(topology.namespace(CLIENT_POD), drive, Crowd(VIP, 80, 53, count, AT_ONCE))


def _roll_out(topology: Topology, mode: Mode) -> None:
    """An endpoint leaves the rules, traffic goes on, and it comes back."""
    left = tuple(item for item in topology.cluster.endpoints if item.pod != GOING)
    topology.resync(mode, replace(topology.cluster, endpoints=left))
    _round(topology, 100)
    topology.resync(mode, topology.cluster)


def _kill(topology: Topology) -> None:
    """A pod dies with connections open; what is sent to it afterwards is refused."""
    with ThreadPoolExecutor(1) as pool:
        flowing = pool.submit(_round, topology, 200)
        time.sleep(0.5)
        topology.stop_server(GOING)
        flowing.result()
    _round(topology, 100)
