"""Running a packet through one table's chain of iptables."""

from __future__ import annotations

from collections.abc import Iterator

from tracer import address
from tracer.node.xtables import XtChain, XtTables
from tracer.path.ground import Ground
from tracer.path.packet import ACCEPT, DROP, NEXT, UNKNOWN, Doubt, Flight, Outcome
from tracer.path.xt_match import matches
from tracer.path.xt_rule import XtRule, parse_rule
from tracer.path.xt_target import SILENT, Place, act

DEEPEST = 64
"""Jumps within jumps; the kernel refuses loops, a damaged file may have them."""
_RETURN = "return"


class XtTable:
    """One table of one variant, ready to be run."""

    def __init__(self, ground: Ground, tables: XtTables, name: str) -> None:
        self._ground = ground
        self._chains = tables.tables[name]
        self.name = f"{name} ({tables.variant})" if tables.variant else name

    def has(self, chain: str) -> bool:
        """Whether the table has a chain of this name."""
        return chain in self._chains

    def run(self, flight: Flight, name: str) -> Iterator[Outcome]:
        """The outcomes of a base chain: its policy decides what no rule did."""
        chain = self._chains[name]
        for verdict, after in self._chain(chain, flight, 0):
            if verdict not in (NEXT, _RETURN):
                yield verdict, after
            elif chain.policy == "DROP":
                cause = "forward-policy-drop" if name == "FORWARD" else "foreign-firewall-order"
                dropped = after.step(self.name, name, f"policy {chain.policy}", "dropped")
                yield DROP, dropped.lost(cause)
            else:
                yield ACCEPT, after

    def _chain(self, chain: XtChain, flight: Flight, depth: int) -> Iterator[Outcome]:
        """``NEXT`` at the end of the chain; flights that part by chance go on one by one."""
        destination = address.text(flight.packet.dst)
        rules = list(chain.candidates(destination))
        waiting = [(0, flight)]
        while waiting:
            at, current = waiting.pop()
            while at < len(rules):
                rule = parse_rule(chain.lines[rules[at]])
                at += 1
                taken, passed = self._part(rule, current)
                if taken is None:
                    continue
                if passed is not None:
                    waiting.append((at, passed))
                for verdict, after in self._target(chain, rule, taken, depth):
                    if verdict == NEXT:
                        waiting.append((at, after))
                    else:
                        yield (NEXT if verdict == _RETURN else verdict), after
                break
            else:
                yield NEXT, current

    def _part(self, rule: XtRule, flight: Flight) -> tuple[Flight | None, Flight | None]:
        """The flight that the rule matches, and the one that goes on."""
        answer = matches(self._ground, rule, flight)
        if answer is False or (not rule.target and not rule.is_goto):
            return None, flight
        if answer is True:
            return flight, None
        if isinstance(answer, Doubt):
            if rule.target in SILENT:
                return None, flight
            parted = flight.parted(f"{answer.why} ({self.name}: {rule.text.strip()})")
            return parted, parted
        return flight.share(float(answer)), flight.share(1 - float(answer))

    def _target(
        self, chain: XtChain, rule: XtRule, flight: Flight, depth: int
    ) -> Iterator[Outcome]:
        place = Place(self.name, chain.name)
        if rule.target == "RETURN":
            yield _RETURN, flight
        elif rule.target in self._chains:
            if depth >= DEEPEST:
                yield UNKNOWN, flight.doubted(f"chains that jump in a circle ({chain.name})")
                return
            effect = f"{'goes' if rule.is_goto else 'jumps'} to {rule.target}"
            flight.effort.spend()
            inner = place.step(flight, rule.text, effect)
            for verdict, after in self._chain(self._chains[rule.target], inner, depth + 1):
                ends = rule.is_goto and verdict == NEXT
                yield (_RETURN if ends else verdict), after
        else:
            yield from act(self._ground, place, rule, flight)
