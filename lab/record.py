"""Running a scenario and keeping it: capture, cluster file, state, viptrace's own lines, truth."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.capture import Capture
from lab.objects import dump, read
from lab.scenario import Scenario, drive_all
from lab.state import collect
from lab.topology import Topology
from lab.tracing import Tracing
from lab.traffic import Exchange

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """What one run left: files in ``folder`` and the clients' own account."""

    folder: Path
    exchanges: tuple[Exchange, ...]
    causes: tuple[str, ...]
    """Causes viptrace found; empty when it did not run."""


def record(
    scenario: Scenario,
    folder: Path,
    prefix: str,
    say: Say,
    *,
    backend: str = "",
    options: Sequence[str] = (),
) -> Recording:
    """Run the scenario; ``backend`` empty records packets and state without viptrace."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = scenario.change(read(scenario.cluster))
    (folder / "cluster.yaml").write_text(dump(objects))
    with Topology(scenario.programmed(), prefix, scenario.gateway) as topology:
        say(f"{scenario.name}: rules of {scenario.mode} mode")
        scenario.prepare(topology)
        exchanges, causes = _traced(scenario, topology, folder, backend, options)
        say(f"{scenario.name}: {len(exchanges)} connections")
        scenario.heal(topology)
        if scenario.recovery:
            say(f"{scenario.name}: the recovery mends it")
    return Recording(folder, tuple(exchanges), causes)


def _traced(
    scenario: Scenario, topology: Topology, folder: Path, backend: str, options: Sequence[str]
) -> tuple[list[Exchange], tuple[str, ...]]:
    namespace = topology.namespace(scenario.node)
    with tempfile.TemporaryDirectory(prefix="viptrace-lab-") as scratch:
        capture = Capture(namespace, Path(scratch) / "raw.pcap")
        cluster = folder / "cluster.yaml"
        tracing = Tracing(
            namespace, Path(scratch) / "live", cluster, scenario.node, backend, options
        )
        if backend:
            tracing.start()
        capture.start()
        try:
            exchanges = drive_all(topology, scenario.traffic)
        finally:
            capture.finish(folder / "capture.pcapng")
        collect(namespace, scenario.mode, folder / "state")
        causes: tuple[str, ...] = ()
        if backend:
            tracing.stop()
            causes = found_causes(tracing)
            (folder / "live.ndjson").write_bytes(tracing.output.read_bytes())
    return exchanges, causes


def found_causes(tracing: Tracing) -> tuple[str, ...]:
    """Every cause it printed a finding of."""
    found = {str(line["cause"]) for line in tracing.lines() if line["type"] == "finding"}
    return tuple(sorted(found))


def write_truth(recording: Recording) -> None:
    """``truth.ndjson``: one line per connection, as its client saw it."""
    lines = [json.dumps(exchange.to_json()) for exchange in recording.exchanges]
    (recording.folder / "truth.ndjson").write_text("".join(line + "\n" for line in lines))
