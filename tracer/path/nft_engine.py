"""Running a packet through one base chain of nftables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracer.node.nft_ruleset import Json, NftChain, NftRule, NftTable
from tracer.path.ground import Ground
from tracer.path.nft_actions import ACTIONS, BREAK, HARMLESS, Stand
from tracer.path.nft_value import Asked, NoMatch, compare, look_up
from tracer.path.nft_write import written
from tracer.path.packet import ACCEPT, DROP, NEXT, UNKNOWN, Doubt, Flight, Outcome

DEEPEST = 64
"""Jumps within jumps; the kernel allows 16."""
_RETURN = "return"
_VERDICTS = {"accept": ACCEPT, "drop": DROP, "return": _RETURN, "continue": NEXT}


class NftBase:
    """One base chain, ready to be run."""

    def __init__(self, ground: Ground, table: NftTable, chain: NftChain) -> None:
        self._ground = ground
        self._table = table
        self.chain = chain
        self.name = f"{table.family} {table.name}"

    def run(self, flight: Flight) -> Iterator[Outcome]:
        """The outcomes; the chain's policy decides what no rule did."""
        for verdict, after in self._chain(self.chain, flight, 0):
            if verdict not in (NEXT, _RETURN):
                yield verdict, after
            elif self.chain.policy == "drop":
                forwarding = self.chain.hook == "forward"
                cause = "forward-policy-drop" if forwarding else "foreign-firewall-order"
                dropped = after.step(self.name, self.chain.name, "policy drop", "dropped")
                yield DROP, dropped.lost(cause)
            else:
                yield ACCEPT, after

    def _chain(self, chain: NftChain, flight: Flight, depth: int) -> Iterator[Outcome]:
        """``NEXT`` at the end of the chain or after a return."""
        waiting = [(0, flight)]
        while waiting:
            at, current = waiting.pop()
            if at >= len(chain.rules):
                yield NEXT, current
                continue
            for verdict, after in self._rule(chain, chain.rules[at], current, depth):
                if verdict in (NEXT, BREAK):
                    waiting.append((at + 1, after))
                else:
                    yield (NEXT if verdict == _RETURN else verdict), after

    def _rule(
        self, chain: NftChain, rule: NftRule, flight: Flight, depth: int
    ) -> Iterator[Outcome]:
        """The outcomes of a rule: ``NEXT`` or ``BREAK`` where the next rule is to be asked."""
        waiting = [(0, flight)]
        while waiting:
            at, current = waiting.pop()
            if at >= len(rule.statements):
                yield NEXT, current
                continue
            stand = Stand(self._ground, self._table, chain.name, rule)
            for verdict, after in self._statement(stand, rule.statements[at], current, depth):
                if verdict == NEXT:
                    waiting.append((at + 1, after))
                else:
                    yield verdict, after

    def _statement(
        self, stand: Stand, statement: Json, flight: Flight, depth: int
    ) -> Iterator[Outcome]:
        if not isinstance(statement, dict) or len(statement) != 1:
            yield UNKNOWN, stand.puzzled(flight, str(statement))
            return
        ((kind, body),) = statement.items()
        try:
            if kind == "match" and isinstance(body, dict):
                yield from self._match(stand, body, flight)
            elif kind == "vmap" and isinstance(body, dict):
                yield from self._vmap(stand, body, flight, depth)
            elif kind in _VERDICTS or kind in ("jump", "goto"):
                yield from self._verdict(stand, statement, flight, depth, "")
            elif kind in HARMLESS:
                yield NEXT, flight
            elif kind in ACTIONS:
                yield from ACTIONS[kind](stand, body, flight)
            else:
                yield from self._unknown(stand, statement, flight)
        except NoMatch:
            yield BREAK, flight
        except ValueError as error:
            yield UNKNOWN, stand.puzzled(flight, f"{kind} {error}")

    def _unknown(
        self, stand: Stand, statement: Mapping[str, Json], flight: Flight
    ) -> Iterator[Outcome]:
        """Something that may match or not; where it might decide by itself, that is the end."""
        ((kind, body),) = statement.items()
        is_target = kind == "xt" and isinstance(body, dict) and body.get("type") == "target"
        if is_target or kind in ("queue", "tproxy", "synproxy", "dup", "fwd"):
            yield UNKNOWN, stand.puzzled(flight, written(statement))
            return
        parted = flight.parted(stand.doubt(written(statement)))
        yield NEXT, parted
        yield BREAK, parted

    def _match(self, stand: Stand, body: Mapping[str, Json], flight: Flight) -> Iterator[Outcome]:
        answer = compare(Asked(self._ground, self._table, flight), body)
        if isinstance(answer, Doubt):
            parted = flight.parted(stand.doubt(answer.why))
            yield NEXT, parted
            yield BREAK, parted
        else:
            yield (NEXT if answer else BREAK), flight

    def _vmap(
        self, stand: Stand, body: Mapping[str, Json], flight: Flight, depth: int
    ) -> Iterator[Outcome]:
        asked = Asked(self._ground, self._table, flight)
        home = asked.found(body.get("data"))
        if isinstance(home, Doubt):
            yield UNKNOWN, stand.puzzled(flight, home.why)
            return
        for taken, value in stand.choices(asked, body.get("key"), flight):
            if isinstance(value, Doubt):
                yield UNKNOWN, stand.puzzled(taken, value.why)
                continue
            known, verdict, comment = look_up(home, value)
            if not known:
                yield BREAK, taken
            elif isinstance(verdict, dict):
                map_name = home.name or comment
                yield from self._verdict(stand, verdict, taken, depth, map_name)
            else:
                yield UNKNOWN, stand.puzzled(taken, f"the verdict {verdict}")

    def _verdict(
        self, stand: Stand, verdict: Mapping[str, Json], flight: Flight, depth: int, via: str
    ) -> Iterator[Outcome]:
        """A verdict of a rule, or of a map's element."""
        ((kind, body),) = verdict.items()
        if kind in ("jump", "goto"):
            yield from self._jump(stand, kind, body, flight, depth)
        elif kind == "drop":
            yield DROP, stand.dropped(flight, via)
        elif kind == "accept":
            yield ACCEPT, stand.step(flight, "accepted in this chain")
        elif kind in _VERDICTS:
            yield _VERDICTS[kind], flight
        else:
            yield UNKNOWN, stand.puzzled(flight, f"the verdict {kind}")

    def _jump(
        self, stand: Stand, kind: str, body: Json, flight: Flight, depth: int
    ) -> Iterator[Outcome]:
        name = str(body.get("target")) if isinstance(body, dict) else ""
        chain = self._table.chains.get(name)
        if chain is None or depth >= DEEPEST:
            yield UNKNOWN, stand.puzzled(flight, f"the chain {name}")
            return
        flight.effort.spend()
        inner = stand.step(flight, f"{'goes' if kind == 'goto' else 'jumps'} to {name}")
        for verdict, after in self._chain(chain, inner, depth + 1):
            if kind == "goto" and verdict == NEXT:
                yield _RETURN, after
            else:
                yield verdict, after
