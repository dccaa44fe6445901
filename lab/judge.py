"""What viptrace says about a recording, in small steps of time, from all of it or from parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracer.cluster.file import load as load_cluster
from tracer.cluster.model import Cluster
from tracer.diagnosis.audit import audit
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.finding import Finding, FlowSubject, Severity
from tracer.events import (
    EventBatch,
    Flag,
    Hook,
    Loss,
    Origin,
    Records,
    TcpFlag,
    membership,
    picked,
    stacked,
)
from tracer.node.identity import node_of
from tracer.node.model import NodeState
from tracer.node.state_dir import load as load_state
from tracer.pipeline import Pipeline, Update
from tracer.sources.capture import CaptureSource
from tracer.sources.events_file import EventsSource

STEP_NS = 100_000_000
"""Record time of one step: a live reader waits no longer."""
CONNTRACK_TELLS = membership(
    *(Hook.CT_NEW, Hook.CT_UPDATE, Hook.CT_END, Hook.IPVS_NEW, Hook.IPVS_END, Hook.TABLE)
)
"""What is left of probes' events where only conntrack and IPVS's table are followed."""
_WORDS = membership(
    *(Hook.DROP, Hook.CT_FAILED, Hook.CT_FULL, Hook.ICMP_SENT, Hook.RST_SENT),
    *(Hook.IPVS_NO_DEST, Hook.IPVS_NO_ROUTE, Hook.IPVS_FAILED),
)
"""Events that tell of a loss."""
_MAPPED = membership(Hook.CT_NEW, Hook.IPVS_NEW, Hook.CT_END, Hook.IPVS_NO_DEST)
_EXPLICIT = ("dropped (", "refused with", "no usable real server", "no entry", "could not be")


@dataclass(frozen=True, slots=True)
class Judged:
    """The findings at the end, and how long they took."""

    found: Mapping[str, Finding]
    """The surest open finding of each cause."""
    superseded: frozenset[str] = frozenset()
    """Causes that were said for a while and gave way."""
    after_s: Mapping[str, float] = field(default_factory=dict)
    """Record time from a cause's first lost packet to its finding, where a flow showed it."""
    after_word_s: Mapping[str, float] = field(default_factory=dict)
    """The same from when a kernel or a packet first told of the loss."""

    @property
    def roots(self) -> set[str]:
        """Causes that are not marked as the consequence of another one."""
        return {name for name, finding in self.found.items() if not finding.consequence_of}

    @property
    def grave(self) -> set[str]:
        """Causes of critical findings."""
        return {n for n, finding in self.found.items() if finding.severity is Severity.CRITICAL}


@dataclass(frozen=True)
class Recorded:
    """One folder of recordings."""

    folder: Path

    @cached_property
    def expected(self) -> Mapping[str, object]:
        """What the scenario says, and how it was recorded."""
        found: dict[str, object] = json.loads((self.folder / "expected.json").read_text())
        return found

    @property
    def causes(self) -> frozenset[str]:
        """What must be found."""
        findings = self.expected["findings"]
        return frozenset(findings if isinstance(findings, list) else ())

    @property
    def mode(self) -> str:
        """The proxy mode."""
        return str(self.expected["mode"])

    @property
    def has_probes(self) -> bool:
        """Whether probes told the events; of older recordings their texts tell it."""
        if "backend" in self.expected:
            return self.expected["backend"] == "bpf"
        path = self.folder / "texts.json"
        return path.exists() and bool(json.loads(path.read_text()))

    @cached_property
    def cluster(self) -> Cluster:
        """What Kubernetes said."""
        return load_cluster(self.folder / "cluster.yaml")

    @cached_property
    def packets(self) -> Records:
        """Every packet."""
        source = CaptureSource([self.folder / "capture.pcapng"], keeps_bytes=False)
        return _all(source)[0]

    @cached_property
    def events(self) -> tuple[Records, Mapping[int, str]]:
        """Every event of the kernel, and the texts."""
        path = self.folder / "events.npy"
        if not path.exists():
            return stacked([]), {}
        texts = self.folder / "texts.json"
        return _all(EventsSource(path, texts if texts.exists() else None))

    def state(self, at_ns: int = 0) -> tuple[NodeState, EventBatch]:
        """The node before the traffic, and its connections."""
        node, existing = load_state(self.folder / "state", at_ns)
        node = replace(node, node_name=node.node_name or node_of(self.cluster, node))
        return node, replace(existing, until_ns=0)


def live(recorded: Recorded, *, probes: bool, keep: float = 1.0, seed: int = 0) -> Judged:
    """As a live run on the node would have judged it.

    Without ``probes`` only by what conntrack and IPVS's table tell. ``keep``: the share of
    packets and events that arrive; the others are dropped, and counted as lost.
    """
    events, texts = recorded.events
    if not probes:
        events = picked(events, CONNTRACK_TELLS[events["hook"]])
    packets = recorded.packets
    home = _home(events)
    pipeline = Pipeline(home_netns=home)
    node, existing = recorded.state(_first_ns(packets, events))
    watch = _Watch(pipeline)
    watch.take(pipeline.set_node(node, _first_ns(packets, events)))
    watch.take(pipeline.set_cluster(recorded.cluster, _first_ns(packets, events)))
    watch.take(pipeline.feed(existing))
    steps = _steps({Origin.KERNEL: events, Origin.PACKETS: packets}, texts)
    judged = watch.judged(_lossy(steps, keep, seed) if keep < 1 else steps)
    return replace(judged, after_word_s=dict(watch.since_word(events, packets)))


def packets_alone(recorded: Recorded, *, state: bool = False) -> Judged:
    """As a replay of the capture file with its cluster file judges it."""
    pipeline = Pipeline(pair=True)
    watch = _Watch(pipeline)
    start = _first_ns(recorded.packets)
    node, _ = recorded.state(start) if state else (NodeState(), None)
    watch.take(pipeline.set_node(node, start))
    watch.take(pipeline.set_cluster(recorded.cluster, start))
    return watch.judged(_steps({Origin.PACKETS: recorded.packets}, {}))


def state_alone(recorded: Recorded) -> Judged:
    """As an audit of the state directory judges it."""
    node, existing = recorded.state()
    return Judged(_surest(list(audit(node, recorded.cluster, existing).findings)))


def is_fallback(cause: str) -> bool:
    """Whether a cause says only that none is known."""
    return CAUSES_BY_ID[cause].fallback


def explicit(finding: Finding) -> bool:
    """Whether somebody said that the packet was lost; else it is silence that tells."""
    return any(sign in line.text for line in finding.evidence for sign in _EXPLICIT)


@dataclass
class _Watch:
    """Notes when findings open; feeds the pipeline."""

    pipeline: Pipeline
    _opened: dict[str, float] = field(default_factory=dict)
    _first: dict[str, tuple[int, Finding]] = field(default_factory=dict)
    """When a cause was first said of a flow, and how."""
    _said: set[str] = field(default_factory=set)

    def take(self, update: Update) -> None:
        """Note what one step said."""
        for finding in (*update.opened, *update.updated):
            self._said.add(finding.cause)
            if finding.count and finding.cause not in self._opened:
                waited = (self.pipeline.now_ns - finding.since_ns) / 1e9
                self._opened[finding.cause] = max(0.0, waited)
                self._first[finding.cause] = self.pipeline.now_ns, finding

    def since_word(self, events: Records, packets: Records) -> Iterator[tuple[str, float]]:
        """Seconds from the first word about a cause's flow to its finding."""
        for cause, (said_ns, finding) in self._first.items():
            if finding.subject.flow is not None:
                words = _words(events, packets, finding.subject.flow)
                words = words[(words >= finding.since_ns) & (words <= said_ns)]
                if words.size:
                    yield cause, (said_ns - int(words.min())) / 1e9

    def judged(self, batches: Iterator[EventBatch]) -> Judged:
        """Feed everything; the findings at the end."""
        for batch in batches:
            self.take(self.pipeline.feed(batch))
        self.take(self.pipeline.finish())
        found = _surest(self.pipeline.findings.open())
        gone = frozenset(self._said - found.keys())
        return Judged(found, gone, {name: self._opened[name] for name in self._opened})


def _words(events: Records, packets: Records, flow: FlowSubject) -> npt.NDArray[np.int64]:
    """When the kernel, a reset or an ICMP error told of this flow."""
    mine = (events["src_port"] == flow.src_port) & (events["dst_port"] == flow.dst_port)
    told = events["time_ns"][_WORDS[events["hook"]] & mine]
    back = (packets["src_port"] == flow.dst_port) & (packets["dst_port"] == flow.src_port)
    reset = back & (packets["tcp_flags"] & np.uint8(TcpFlag.RST) != 0)
    quoted = packets["flags"] & np.uint16(Flag.QUOTED) != 0
    return np.concatenate([told, packets["time_ns"][reset | quoted]])


def _surest(findings: list[Finding]) -> dict[str, Finding]:
    """One finding of each cause, the gravest and then the surest."""
    found: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda f: (f.severity, f.confidence)):
        found[finding.cause] = finding
    return found


def _all(source: CaptureSource | EventsSource) -> tuple[Records, Mapping[int, str]]:
    texts: dict[int, str] = {}
    parts = []
    source.open()
    try:
        while (batch := source.read(0)) is not None:
            parts.append(batch.records)
            texts.update(batch.texts)
    finally:
        source.close()
    return stacked(parts), texts


def _first_ns(*every: Records) -> int:
    return min((int(records["time_ns"].min()) for records in every if len(records)), default=0)


def _home(events: Records) -> int:
    """The namespace that most mappings, else most records, are of."""
    told = events["netns"][_MAPPED[events["hook"]] & (events["netns"] != 0)]
    told = told if len(told) else events["netns"][events["netns"] != 0]
    values, counts = np.unique(told, return_counts=True)
    return int(values[counts.argmax()]) if len(values) else 0


def _steps(sources: Mapping[Origin, Records], texts: Mapping[int, str]) -> Iterator[EventBatch]:
    """Records of each source in steps of time, to the last of all."""
    there = [records for records in sources.values() if len(records)]
    if not there:
        return
    begin = _first_ns(*there)
    end = max(int(records["time_ns"].max()) for records in there)
    ordered = {
        origin: picked(records, np.argsort(records["time_ns"], kind="stable"))
        for origin, records in sources.items()
    }
    told: Mapping[int, str] = texts
    for until in range(begin + STEP_NS, end + 2 * STEP_NS, STEP_NS):
        for origin, records in ordered.items():
            low, high = np.searchsorted(records["time_ns"], (until - STEP_NS, until))
            rows = np.arange(low, high)
            yield EventBatch(picked(records, rows), origin, min(until, end), texts=told)
            told = {}


def _lossy(batches: Iterator[EventBatch], keep: float, seed: int) -> Iterator[EventBatch]:
    """The same with some records missing, always the same ones, and counted."""
    chance = np.random.default_rng(seed)
    for batch in batches:
        kept = chance.random(len(batch.records)) < keep
        lost = int(np.count_nonzero(~kept))
        field_lost = Loss(socket=lost) if batch.origin is Origin.PACKETS else Loss(kernel=lost)
        yield replace(batch, records=picked(batch.records, kept), lost=field_lost)
