"""The role of a rule, and all that it may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tracer.cluster.model import Cluster
from tracer.diagnosis.finding import Finding
from tracer.enrich import Enricher
from tracer.events import Loss
from tracer.flow import Rows
from tracer.flows import FlowTable
from tracer.node.model import NodeState

Destination = tuple[int, bytes, int]
"""Protocol, address and port that clients ask for."""

FOLLOWS_NS = 30_000_000_000
"""kube-proxy has followed a change by then: it repairs everything at least so often."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known at one moment; rules read it and change nothing."""

    table: FlowTable
    cluster: Cluster
    node: NodeState
    enricher: Enricher
    now_ns: int
    """How far the sources have come: record time, never the clock's."""
    lost: Loss
    """Everything lost so far in this run."""
    recent_lost: int
    """Records lost within the window in which absence is judged."""
    text: Callable[[int], str]
    """Text ids of drop reasons and locations."""
    answered: Mapping[Destination, int] = field(default_factory=dict)
    """When the latest request that was answered began, by destinations of open findings."""
    heard_on: frozenset[int] = frozenset()
    """Interfaces on which some flow's answer was seen."""
    heard_replies: bool = False
    """Whether conntrack has told of any reply at all."""
    final: bool = False
    """No more input will follow: what is not known now will never be."""

    def absence_confidence(self, full: float) -> float:
        """``full`` for a conclusion drawn from something not seen; less when records were lost."""
        return full * 0.4 if self.recent_lost else full


class StateRule(Protocol):
    """Judges state; answers with every finding that holds now (the others close)."""

    name: str

    def check(self, scene: Scene) -> Iterable[Finding]:
        """Everything wrong with this state."""


class FlowRule(Protocol):
    """Judges flows; explains some of the rows it is given."""

    name: str

    def check(self, scene: Scene, rows: Rows) -> Iterable[tuple[Finding, Rows]]:
        """Findings, each with the rows it explains."""

    def holds(self, scene: Scene, finding: Finding) -> bool:
        """Whether an open finding is still true; False closes it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, in order of precedence."""

    state: tuple[StateRule, ...] = ()
    flow: tuple[FlowRule, ...] = ()
