"""A scenario under live tracing: what viptrace says while it happens, held against what it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.compare import Line, translations
from lab.judge import is_fallback
from lab.objects import dump, read
from lab.proxying import Proxies
from lab.scenario import Scenario, drive_all
from lab.topology import Topology
from lab.tracing import Tracing
from lab.traffic import Exchange
from lab.truth import Key, Truth, from_conntrack, key_of
from tracer.diagnosis.causes import CAUSES_BY_ID

SETTLE_S = 90.0
FINDING_TIMEOUT_S = 240.0
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Watched:
    """What one run gave."""

    scenario: str
    expected: int
    """Translations that the scenario makes."""
    translations: int
    said: frozenset[str]
    """Causes that were named and not taken back."""
    faults: tuple[str, ...]
    ready_s: float = 0.0

    def lines(self) -> Iterator[str]:
        """One line, and one for each fault."""
        yield (
            f"{'FAIL' if self.faults else 'ok  '} {self.scenario:30} "
            f"translations {self.translations:3} of {self.expected:3}, "
            f"attached in {self.ready_s:5.1f} s, found: {', '.join(sorted(self.said)) or 'nothing'}"
        )
        yield from (f"     {fault}" for fault in self.faults[:10])


def watch(
    scenario: Scenario,
    backend: str,
    folder: Path,
    prefix: str,
    proxies: Proxies,
    proxied: frozenset[str] = frozenset(),
) -> Watched:
    """Set it up, trace its node, drive its traffic, stop, judge; then mend it."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = folder / "cluster.yaml"
    objects.write_text(dump(scenario.change(read(scenario.cluster))))
    programmed = scenario.programmed()
    with Topology(programmed, prefix, scenario.gateway, proxies, proxied) as topology:
        scenario.prepare(topology)
        topology.keep_entries(scenario.node)
        namespace, node = topology.namespace(scenario.node), scenario.node
        naming = proxies.naming(objects)
        if not any(known.name == node for known in topology.cluster.nodes):
            # A router: it has no way to the API server.
            node, naming = "", ("--cluster", str(objects))
        with Tracing(namespace, folder, naming, node, backend) as tracing:
            exchanges = drive_all(topology, scenario.traffic)
            _settle(tracing, scenario, backend)
            kernel = from_conntrack(topology.run(scenario.node, "conntrack", "-L"))
            tracing.stop()
        scenario.heal(topology)
    return judged(scenario, backend, list(tracing.lines()), exchanges, kernel, tracing.ready_s)


def judged(
    scenario: Scenario,
    backend: str,
    lines: Sequence[Line],
    exchanges: Sequence[Exchange],
    kernel: Truth,
    ready_s: float = 0.0,
) -> Watched:
    """Every translation once and as kernel and pod know it; the scenario's findings, no other."""
    said = _said(lines)
    faults = [f"not said: {cause}" for cause in sorted(_visible(scenario, backend) - said)]
    faults += [f"false finding: {cause}" for cause in sorted(said - set(scenario.findings))]
    told = translations(lines)
    expected = scenario.connections
    if len(told) != expected:
        faults.append(f"{len(told)} translations")
    times = Counter(key for key, _ in told)
    faults += [f"told {count} times: {key}" for key, count in times.items() if count > 1]
    faults += [
        f"{key}: told {mapped}, the kernel has {kernel[key]}"
        for key, mapped in told
        if kernel.get(key, mapped) != mapped
    ]
    faults += _misnamed(lines, exchanges)
    faults += _ended_badly(lines)
    return Watched(scenario.name, expected, len(told), frozenset(said), tuple(faults), ready_s)


def _ended_badly(lines: Sequence[Line]) -> Iterator[str]:
    """Without a summary, or with losses in it."""
    if not lines or lines[-1]["type"] != "summary":
        yield "viptrace ended without a summary"
        return
    lost = lines[-1]["lost"]
    yield from (f"{count} lost in {where}" for where, count in lost.items() if count)


def _settle(tracing: Tracing, scenario: Scenario, backend: str) -> None:
    """Until everything that the scenario shows has been printed, or no longer."""
    started = time.monotonic()
    wanted = _visible(scenario, backend)
    while time.monotonic() < started + FINDING_TIMEOUT_S:
        lines = list(tracing.lines())
        complete = len(translations(lines)) >= scenario.connections
        if wanted <= _said(lines) and (complete or time.monotonic() > started + SETTLE_S):
            return
        time.sleep(POLL_S)


def _visible(scenario: Scenario, backend: str) -> set[str]:
    """Its findings that this backend can show."""
    which = "bpf" if backend == "bpf" else "conntrack"
    return {name for name in scenario.findings if getattr(CAUSES_BY_ID[name].sight, which)}


def _said(lines: Sequence[Line]) -> set[str]:
    """Causes with an open finding that follows from no other; what gave way is not among them."""
    last = {
        (line["cause"], str(line["subject"])): line for line in lines if line["type"] == "finding"
    }
    return {
        cause
        for (cause, _), line in last.items()
        if not line["consequence_of"] and not (line["status"] == "closed" and is_fallback(cause))
    }


def _misnamed(lines: Sequence[Line], exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Answered connections without their Service's name, or with another than the pod's."""
    pods: Mapping[Key, str] = {
        key_of(item): item.answered_by for item in exchanges if item.answered_by
    }
    latest = {line["id"]: line for line in lines if line["type"] == "translation"}
    for line in latest.values():
        client, virtual = line["client"], line["virtual"]
        key = Key(
            line["protocol"], (client["ip"], client["port"]), (virtual["ip"], virtual["port"])
        )
        name = ((line["backend"] or {}).get("name") or "").partition("/")[2]
        service = line["service"]["name"] if line["service"] else "no Service"
        if key in pods and not (line["service"] and pods[key] == name):
            yield f"{key}: named {service}, {name}; answered by {pods[key]}"
