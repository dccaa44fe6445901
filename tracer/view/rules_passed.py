"""The rules that translate or stop one flow, as the node has them now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tracer.cluster.model import Cluster
from tracer.flow import Seen
from tracer.node.model import NodeState
from tracer.path.ask import placed
from tracer.path.names import Names
from tracer.path.packet import DROP, REJECT, UNKNOWN, Packet, Step
from tracer.path.walk import Ending, Walker
from tracer.plain import harmless, shortened

_ANSWERED = Seen.ANSWER_CLIENT | Seen.ANSWER_BACKEND | Seen.REPLIED
_JUMPS = ("jumps to ", "goes to ")
_CHANGES = ("translated ", "masqueraded ", "redirected ", "sent to ")
_ENDS = ("dropped", "rejected ", "refused", "has ")
"""How the effects begin that change or end a flow; marks and acceptance are left out."""
_WIDEST_RULE = 160
_Subject = tuple[object, ...]


class RulesPassed:
    """Walks the selected flow once for each state of the node, not for each answer."""

    def __init__(self) -> None:
        self._node = NodeState()
        self._walkers: dict[bool, Walker] = {}
        self._subject: _Subject = ()
        self._ending: Ending | None = None
        self._named: tuple[Cluster, str] | None = None
        self._lines: tuple[str, ...] = ()

    def told(
        self, flow: npt.NDArray[np.void], node: NodeState, cluster: Cluster, service: str
    ) -> tuple[tuple[str, ...], bool]:
        """Harmless lines for the one row, which is to this Service; whether they end in a loss.

        No line where the rules are not known, or would not lead where the flow went.
        """
        if not len(flow) or not _known(flow, node):
            return (), False
        subject = _subject(flow)
        if node is not self._node:
            self._node, self._walkers, self._subject = node, {}, ()
        if subject != self._subject:
            self._subject, self._ending = subject, self._walked(flow)
            self._named = None
        if self._ending is None:
            return (), False
        # Clusters change many times a second: a walk does not depend on them, its names do.
        if self._named is None or self._named[0] is not cluster or self._named[1] != service:
            self._named = cluster, service
            names = Names(_around(cluster, service))
            self._lines = tuple(_lines(self._ending.flight.steps, names))
        return self._lines, self._ending.verdict in (DROP, REJECT)

    def _walked(self, flow: npt.NDArray[np.void]) -> Ending | None:
        packet = Packet(
            int(flow["protocol"][0]),
            flow["client"][0].tobytes(),
            flow["virtual"][0].tobytes(),
            int(flow["client_port"][0]),
            int(flow["virtual_port"][0]),
        )
        walker = self._walkers.get(packet.ipv6)
        if walker is None:
            walker = self._walkers[packet.ipv6] = Walker(self._node, ipv6=packet.ipv6)
        endings = walker.walk(placed(walker, Cluster(), packet))
        return max((e for e in endings if _fits(e, flow)), key=_chance, default=None)


def _known(flow: npt.NDArray[np.void], node: NodeState) -> bool:
    """Whether rules were read, of the namespace that the flow is in."""
    netns = int(flow["netns"][0])
    elsewhere = netns and node.netns and netns != node.netns
    return not elsewhere and bool({"xtables", "nft"} & node.known)


def _subject(flow: npt.NDArray[np.void]) -> _Subject:
    """What of a flow its walk depends on."""
    ends = ("client", "virtual", "source", "backend")
    ports = ("client_port", "virtual_port", "backend_port", "id", "protocol")
    answered = bool(int(flow["seen"][0]) & _ANSWERED)
    return (
        answered,
        *(flow[name][0].tobytes() for name in ends),
        *(int(flow[name][0]) for name in ports),
    )


def _fits(ending: Ending, flow: npt.NDArray[np.void]) -> bool:
    """Whether this way explains what the flow became; a loss only where nothing is in doubt."""
    flight = ending.flight
    lost = ending.verdict in (DROP, REJECT)
    if ending.verdict == UNKNOWN:
        return False
    if lost and (int(flow["seen"][0]) & _ANSWERED or flight.doubts or flight.gaps):
        return False
    packet = flight.packet
    there = flow["backend"][0].tobytes(), int(flow["backend_port"][0])
    hidden = flow["source"][0].tobytes() != flow["client"][0].tobytes()
    changed = packet.src != packet.original[0]
    return (packet.dst, packet.dport) == there and (lost or changed == hidden)


def _chance(ending: Ending) -> tuple[bool, float]:
    flight = ending.flight
    return not flight.doubts and not flight.gaps, flight.probability or 0.0


def _around(cluster: Cluster, service: str) -> Cluster:
    """The one Service with its endpoints: hashing those of all would take seconds."""
    known = cluster.services_by_key.get(service)
    if known is None:
        return Cluster()
    return Cluster(
        services=(known,), endpoints=tuple(cluster.endpoints_by_service.get(service, ()))
    )


def _lines(steps: Sequence[Step], names: Names) -> Iterator[str]:
    """For each step that matters the chains that lead there."""
    trail: list[Step] = []
    for step in steps:
        while trail and (trail[-1].hook != step.hook or _target(trail[-1]) != step.chain):
            trail.pop()
        if step.effect.startswith(_JUMPS):
            trail.append(step)
        elif step.effect.startswith(_CHANGES + _ENDS):
            yield harmless(_line(trail, step, names))


def _line(trail: Sequence[Step], last: Step, names: Names) -> str:
    first = trail[0].chain if trail else last.chain
    chains = [first] if first not in ("", last.hook) else []
    chains += [_told(step, names) for step in trail]
    where = " ".join(word for word in (last.hook, last.table) if word)
    way = f"{where}: {' → '.join(chains)}" if chains else where
    shows_rule = last.effect.startswith(_ENDS) or not last.chain
    rule = shortened(last.rule.strip(), _WIDEST_RULE) if shows_rule else ""
    return f"{way}: {last.effect}" + (f" by {rule}" if rule else "")


def _told(jump: Step, names: Names) -> str:
    """The chain that is gone to, and for what, where neither its name nor its effect says so."""
    chain = _target(jump)
    spelled = not chain.startswith("KUBE-") or chain.startswith("KUBE-SEP-")
    meaning = "" if spelled else names.chain(chain, jump.rule)
    return f"{chain} ({meaning})" if meaning else chain


def _target(jump: Step) -> str:
    return jump.effect.partition(" to ")[2]
