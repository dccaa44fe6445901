"""Running a scenario and keeping it: packets, kernel events, cluster, state, truth."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.capture import Capture
from lab.events import EventsRecorder
from lab.objects import dump, read
from lab.proxying import Proxies, WrittenRules
from lab.scenario import Scenario, Traffic, drive_all
from lab.state import collect, collect_connections
from lab.topology import Topology
from lab.traffic import Exchange

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """What one run left: files in ``folder`` and the clients' own account."""

    folder: Path
    exchanges: tuple[Exchange, ...]
    backend: str
    """What recorded the kernel's events; empty when they were not asked for."""


def record(
    scenario: Scenario,
    folder: Path,
    prefix: str,
    say: Say,
    backend: str,
    proxies: Proxies | None = None,
    proxied: frozenset[str] = frozenset(),
) -> Recording:
    """Run the scenario and keep it.

    ``folder`` then holds ``capture.pcapng``, ``cluster.yaml``, ``state/`` as it was before the
    traffic, ``truth/`` with the clients' account and the tables of connections after it,
    ``expected.json`` from the scenario, not from viptrace, and with a ``backend`` (``auto``,
    ``bpf``, ``conntrack``) the kernel's events.
    """
    folder.mkdir(parents=True, exist_ok=True)
    programmed = scenario.programmed()
    chosen = proxies or WrittenRules()
    with Topology(programmed, prefix, scenario.gateway, chosen, proxied) as topology:
        say(f"{scenario.name}: rules of {scenario.mode} mode")
        scenario.prepare(topology)
        told = topology.proxies.told() or scenario.change(read(scenario.cluster))
        (folder / "cluster.yaml").write_text(dump(told))
        topology.keep_entries(scenario.node)
        recording = _recorded(scenario, topology, folder, backend)
        say(f"{scenario.name}: {len(recording.exchanges)} connections")
        scenario.heal(topology)
        if scenario.recovery:
            say(f"{scenario.name}: the recovery mends it")
    return recording


def _recorded(scenario: Scenario, topology: Topology, folder: Path, backend: str) -> Recording:
    namespace = topology.namespace(scenario.node)
    if not scenario.late_state:
        collect(namespace, scenario.mode, folder / "state", topology.cluster)
    events = EventsRecorder(namespace, folder, backend) if backend else None
    with tempfile.TemporaryDirectory(prefix="viptrace-lab-") as scratch:
        capture = Capture(namespace, Path(scratch) / "raw.pcap", topology.proxies.noise)
        capture.start()
        try:
            exchanges = drive_all(topology, scenario.traffic)
        finally:
            capture.finish(folder / "capture.pcapng")
    if events:
        events.stop()
    if scenario.late_state:
        collect(namespace, scenario.mode, folder / "state", topology.cluster)
    collect_connections(namespace, scenario.mode, folder / "truth")
    expected = {
        "mode": scenario.mode,
        "node": scenario.node,
        "proxy": topology.proxies.name,
        "kernel": platform.release(),
        "backend": events.backend if events else "",
        "translations": scenario.connections,
        "visible_in_packets": _connections(item for item in scenario.traffic if item.in_packets)
        - _taken_in(scenario, topology, exchanges),
        "findings": list(scenario.findings),
        **({"translator": scenario.translator} if scenario.translator else {}),
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
    lines = [json.dumps(exchange.to_json()) for exchange in exchanges]
    (folder / "truth" / "clients.ndjson").write_text("".join(line + "\n" for line in lines))
    return Recording(folder, tuple(exchanges), events.backend if events else "")


def _taken_in(scenario: Scenario, topology: Topology, exchanges: Iterable[Exchange]) -> int:
    """Connections that the node's own processes took: no packet leaves with another address."""
    own = {
        pod.name for pod in topology.cluster.pods if pod.host_network and pod.node == scenario.node
    }
    return sum(item.answered_by in own for item in exchanges)


def _connections(traffic: Iterable[Traffic]) -> int:
    return sum(item.load.tcp + item.load.udp for item in traffic)
