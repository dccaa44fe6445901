"""What every recording shows of its causes: collected once, kept, and compared by tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.judge import Judged, Recorded, explicit, is_fallback, live, packets_alone, state_alone
from tracer.diagnosis.audit_catalogue import AUDIT_RULES
from tracer.diagnosis.catalogue import RULES

ASKED_LIVE = {rule.name for rule in RULES.state} | {rule.name for rule in RULES.flow}
AUDIT_ONLY = {rule.name for rule in AUDIT_RULES} - ASKED_LIVE
INPUTS = ("bpf", "conntrack", "capture", "state")
BESIDE = "capture and state"
"""Packets with the state directory beside them."""
KEEP, RUNS = 0.8, 3
"""Share of packets and events that arrive where loss is tried, and how often it is tried."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One recording."""

    scenario: str
    mode: str
    expected: tuple[str, ...]
    probes: bool
    """Recorded with probes; else with conntrack's socket, whose events probes tell as well."""
    found: Mapping[str, tuple[str, ...]]
    """Causes by input; those that are a consequence of another one are left out."""
    grave: tuple[str, ...]
    """Critical ones among those of the fullest input."""
    after_s: Mapping[str, float]
    """From the first lost packet to the finding, by cause."""
    told: tuple[str, ...]
    """Causes that somebody's word showed, not silence."""
    confidence: Mapping[str, float]
    after_word_s: Mapping[str, float] = field(default_factory=dict)
    """From the first word of a kernel or a packet about the loss to the finding, by cause."""
    audited: tuple[str, ...] = ()
    """What only an audit of the state says, and does: no traffic shows it."""
    lossy: tuple[Mapping[str, float], ...] = field(default=())
    """Confidence by cause, for each run with records missing."""

    @property
    def false_alarms(self) -> set[str]:
        """Named causes that were not there, from any input, with and without loss."""
        every = {cause for causes in self.found.values() for cause in causes}
        every |= {cause for run in self.lossy for cause in run}
        named = {cause for cause in every if not is_fallback(cause)}
        return named - set(self.expected)


def judged(folder: Path) -> Verdict:
    """Judge one recording from each input."""
    recorded = Recorded(folder)
    full = live(recorded, probes=True)
    views: dict[str, Judged] = {
        "bpf": full,
        "conntrack": live(recorded, probes=False),
        "capture": packets_alone(recorded),
        BESIDE: packets_alone(recorded, state=True),
    }
    wanted = recorded.causes
    found = {name: tuple(sorted(view.found)) for name, view in views.items()}
    # Only what traffic must have shown: an audit of the same node rightly says more.
    audited = state_alone(recorded).found
    found["state"] = tuple(sorted(cause for cause in audited if cause in recorded.causes))
    lossy = tuple(
        _confidence(live(recorded, probes=True, keep=KEEP, seed=seed)) for seed in range(RUNS)
    )
    return Verdict(
        scenario=folder.name,
        mode=recorded.mode,
        expected=tuple(sorted(wanted)),
        probes=recorded.has_probes,
        found=found,
        grave=tuple(sorted(full.grave)),
        after_s={name: round(s, 1) for name, s in full.after_s.items() if name in wanted},
        told=tuple(sorted(name for name, one in full.found.items() if explicit(one))),
        confidence=_confidence(full),
        after_word_s={n: round(s, 1) for n, s in full.after_word_s.items() if n in wanted},
        audited=tuple(sorted(audited.keys() & AUDIT_ONLY)),
        lossy=lossy,
    )


def collect(pcaps: Path) -> Iterator[Verdict]:
    """Judge every recording."""
    for path in sorted(pcaps.glob("*/expected.json")):
        yield judged(path.parent)


def write(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Keep them, one a line."""
    lines = [json.dumps(asdict(verdict), sort_keys=True) for verdict in verdicts]
    path.write_text("\n".join(lines) + "\n")


def read(path: Path) -> list[Verdict]:
    """What was kept."""
    return [_restored(json.loads(line)) for line in path.read_text().splitlines()]


def _restored(stored: dict[str, object]) -> Verdict:
    """Lists are tuples again."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    found = stored["found"]
    assert isinstance(found, dict)
    values["found"] = {name: tuple(causes) for name, causes in found.items()}
    return Verdict(**values)  # type: ignore[arg-type]


def _confidence(view: Judged) -> dict[str, float]:
    return {name: finding.confidence for name, finding in sorted(view.found.items())}
