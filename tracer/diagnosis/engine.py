"""The engine: which rows are judged when, by which rules, and what becomes of it.

Two columns of the flow table belong to it. ``judged`` holds the state of evidence
a row was last judged in, so that no row is judged twice in the same one.
``explained`` holds the finding that explains the row: its serial in the ledger,
shifted left by one, with the lowest bit set when a named cause (not a fallback)
said so; such an explanation stands until the flow is answered.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tracer.address import column, packed_at
from tracer.diagnosis import signs
from tracer.diagnosis.catalogue import RULES
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.finding import Finding
from tracer.diagnosis.ledger import Changes, Ledger
from tracer.diagnosis.rule import FOLLOWS_NS, Destination, FlowRule, Rules, Scene
from tracer.flow import Flows, Rows, Seen
from tracer.index import ascending

__all__ = ["Changes", "Diagnosis"]

DUE_EVERY_NS = 500_000_000
"""Record time between two looks over the whole table for timers that ran out."""
CURE_EVERY_NS = 1_000_000_000
"""Record time between two looks over the open findings."""
REJUDGE_WITHIN_NS = 60_000_000_000
"""Record time for which a changed cluster throws new light on a loss: rules lag and
EndpointSlices lag, but today's endpoints say nothing about an hour ago."""

RULES_PARTS = frozenset({"xtables", "nft"})
"""Parts of a node's state that hold rules."""

_NONE: Rows = np.zeros(0, dtype=np.intp)
Marks = npt.NDArray[np.uint32]
"""Values of the ``explained`` column."""


class Diagnosis:
    """Runs the rules and keeps the ledger; time is what the scene says it is."""

    def __init__(self, rules: Rules = RULES, ledger: Ledger | None = None) -> None:
        self.rules = rules
        self.ledger = ledger or Ledger()
        self._by_name = {rule.name: rule for rule in rules.flow}
        self._answered: dict[Destination, int] = {}
        self._heard_on: frozenset[int] = frozenset()
        self._heard_replies = False
        self._cluster_known = self._rules_known = False
        self._due_ns = self._cured_ns = -CURE_EVERY_NS
        self._followed_ns = 0

    def on_state(self, scene: Scene) -> Changes:
        """The cluster or the node changed: judge the state, and open questions anew."""
        self._judge_state(scene)
        self._reopen(scene)
        self._judge_pending(scene, _unjudged(scene))
        self._cure(scene)
        return self.ledger.drain()

    def on_flows(self, scene: Scene, rows: Rows) -> Changes:
        """Judge rows that changed or are due, each once per state of evidence."""
        self._judge_pending(scene, ascending(np.concatenate([rows, self.due(scene)])))
        if not 0 <= scene.now_ns - self._cured_ns < CURE_EVERY_NS:
            if 0 < self._followed_ns <= scene.now_ns:
                self._judge_state(scene)
            self._cure(scene)
        return self.ledger.drain()

    def on_end(self, scene: Scene) -> Changes:
        """No more input: judge every wait that is over, and what waited for other sources."""
        flows = scene.table.flows
        flows["judged"][self._open_questions(flows)] = 0
        final = replace(scene, final=True)
        self._judge_pending(final, self._overdue(final))
        self._cure(final)
        return self.ledger.drain()

    def due(self, scene: Scene) -> Rows:
        """Rows to judge although nothing new was seen of them; looks at most so often."""
        if 0 <= scene.now_ns - self._due_ns < DUE_EVERY_NS:
            return _NONE
        return self._overdue(scene)

    def _judge_state(self, scene: Scene) -> None:
        """Ask every rule of the state, and again when the cluster's latest change is no news."""
        found = [finding for rule in self.rules.state for finding in rule.check(scene)]
        self.ledger.absorb_state(found, scene.now_ns)
        changes = scene.cluster.changes
        followed_ns = changes[-1].at_ns + FOLLOWS_NS if changes else 0
        self._followed_ns = followed_ns if followed_ns > scene.now_ns else 0

    def _overdue(self, scene: Scene) -> Rows:
        """Unanswered rows that were not judged as they are now."""
        self._due_ns = scene.now_ns
        flows = scene.table.flows
        rows = self._pending(scene, signs.unanswered(flows))
        return rows[signs.suspicious(flows, rows, scene.now_ns)]

    def _reopen(self, scene: Scene) -> None:
        """Forget judgements that the new state could change."""
        flows = scene.table.flows
        recent = scene.now_ns - flows["last_ns"] < REJUDGE_WITHIN_NS
        rules_known = bool(RULES_PARTS & scene.node.known)
        if rules_known and not self._rules_known:
            # Listing them takes its time: what was said without them may be said better.
            flows["explained"][recent] &= ~np.uint32(1)
        self._rules_known = rules_known
        again = self._open_questions(flows)
        if self._cluster_known:
            again &= recent
        self._cluster_known = bool(scene.cluster.services or scene.cluster.nodes)
        flows["judged"][again] = 0

    def _open_questions(self, flows: Flows) -> signs.Mask:
        """Rows without an answer, delivered here or dropped, that no named cause explains."""
        seen = flows["seen"]
        silent = (seen & np.uint32(signs.SPOKE)) == 0
        local = (seen & np.uint32(Seen.LOCAL_IN)) != 0
        dropped = (seen & np.uint32(Seen.DROPPED)) != 0
        return np.asarray((silent | local | dropped) & ((flows["explained"] & 1) == 0))

    def _judge_pending(self, scene: Scene, rows: Rows) -> None:
        flows = scene.table.flows
        pending = self._pending(scene, rows)
        if pending.size:
            flows["judged"][pending] = signs.evidence_state(flows, pending, scene.now_ns)
            watched = self._note_answers(scene, pending)
            self._judge(self._informed(scene), pending)
            self._look_back(scene, watched)

    def _pending(self, scene: Scene, rows: Rows) -> Rows:
        flows = scene.table.flows
        evidence = signs.evidence_state(flows, rows, scene.now_ns)
        unjudged: Rows = rows[flows["judged"][rows] != evidence]
        return unjudged

    def _judge(self, scene: Scene, rows: Rows) -> None:
        """Let the rules explain what is suspicious; take back what is explained no more."""
        flows = scene.table.flows
        before = flows["explained"][rows]
        settled = ((before & 1) != 0) & ~signs.answered(flows, rows)
        open_question = (before > 0) | signs.suspicious(flows, rows, scene.now_ns)
        rows = rows[open_question & ~settled]
        if not rows.size:
            return
        before = flows["explained"][rows].copy()
        flows["explained"][rows] = 0
        unexplained = rows[signs.suspicious(flows, rows, scene.now_ns)]
        for rule in self.rules.flow:
            if not unexplained.size:
                break
            unexplained = self._apply(scene, rule, unexplained, rows, before)
        self._take_back(scene, before, flows["explained"][rows])

    def _apply(self, scene: Scene, rule: FlowRule, rows: Rows, judged: Rows, before: Marks) -> Rows:
        """Note what one rule explains; the rows it leaves."""
        explained = scene.table.flows["explained"]
        taken = np.zeros(len(rows), dtype=np.bool_)
        named = not CAUSES_BY_ID[rule.name].fallback
        for finding, where in rule.check(scene, rows):
            former = before[np.searchsorted(judged, where)] >> np.uint32(1)
            serial = self.ledger.absorb_flows(finding, former)
            explained[where] = serial << 1 | named
            taken |= np.isin(rows, where)
        return rows[~taken]

    def _take_back(self, scene: Scene, before: Marks, after: Marks) -> None:
        changed = ((before >> 1) != (after >> 1)) & (before > 0)
        for serial in np.unique(before[changed] >> 1):
            mine = changed & ((before >> 1) == serial)
            superseded = bool((after[mine] > 0).all())
            self.ledger.withdraw(int(serial), int(mine.sum()), scene.now_ns, superseded=superseded)

    def _note_answers(self, scene: Scene, rows: Rows) -> set[Destination]:
        """Remember where answers are heard, and when requests to failing destinations were.

        The answer is those destinations.
        """
        flows = scene.table.flows
        heard_on = self._heard_on | signs.interfaces_heard(flows, rows)
        heard_replies = self._heard_replies or bool(signs.has(flows, rows, Seen.REPLIED).any())
        if (heard_on, heard_replies) != (self._heard_on, self._heard_replies):
            self._heard_on, self._heard_replies = heard_on, heard_replies
            flows["judged"][self._open_questions(flows)] = 0
        watched = self._watched()
        self._answered = {key: value for key, value in self._answered.items() if key in watched}
        self._remember_answers(flows, rows, watched)
        return watched

    def _look_back(self, scene: Scene, watched: set[Destination]) -> None:
        """Remember answers that came before their destination had a finding, too.

        Otherwise it would hang on the size of batches whether they cure it.
        """
        new = self._watched() - watched
        if new:
            self._remember_answers(scene.table.flows, scene.table.alive(), new)

    def _remember_answers(self, flows: Flows, rows: Rows, watched: set[Destination]) -> None:
        """When the latest of these rows that was answered began, for each destination."""
        if not watched:
            return
        lows = column(packed for _, packed, _ in watched)[:, 1]
        rows = rows[np.isin(flows["virtual"][rows, 1], lows)]
        rows = rows[signs.answered(flows, rows)]
        for row in _latest_by_destination(flows, rows):
            key = _destination(flows, int(row))
            if key in watched:
                began = int(signs.started(flows, np.array([row]))[0])
                self._answered[key] = max(began, self._answered.get(key, 0))

    def _watched(self) -> set[Destination]:
        examples = (finding.subject.flow for finding in self.ledger.open_from_flows())
        return {(flow.protocol, flow.dst, flow.dst_port) for flow in examples if flow}

    def _informed(self, scene: Scene) -> Scene:
        """The scene with what the engine remembers."""
        return replace(
            scene,
            answered=self._answered,
            heard_on=self._heard_on,
            heard_replies=self._heard_replies,
        )

    def _cure(self, scene: Scene) -> None:
        self._cured_ns = scene.now_ns
        informed = self._informed(scene)

        def holds(finding: Finding) -> bool:
            rule = self._by_name.get(finding.cause)
            return rule is None or rule.holds(informed, finding)

        self.ledger.close_cured(holds, scene.now_ns)


def _destination(flows: Flows, row: int) -> Destination:
    return (
        int(flows["protocol"][row]),
        packed_at(flows["virtual"], row),
        int(flows["virtual_port"][row]),
    )


def _latest_by_destination(flows: Flows, rows: Rows) -> Rows:
    """Of the rows with one destination, the one that began last."""
    ports = flows["virtual_port"][rows].astype(np.uint32)
    served = flows["protocol"][rows].astype(np.uint32) << np.uint32(16) | ports
    high, low = flows["virtual"][rows].T
    order = np.lexsort((signs.started(flows, rows), served, high, low))
    rows, served, high, low = rows[order], served[order], high[order], low[order]
    last = np.ones(len(rows), dtype=np.bool_)
    last[:-1] = (low[1:] != low[:-1]) | (high[1:] != high[:-1]) | (served[1:] != served[:-1])
    return rows[last]


def _unjudged(scene: Scene) -> Rows:
    flows = scene.table.flows
    return np.flatnonzero(flows["alive"] & (flows["judged"] == 0))
