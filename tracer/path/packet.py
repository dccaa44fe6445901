"""A packet as the hooks see it, and one of its possible ways so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tracer import address
from tracer.events import PROTOCOL_NAMES

NEW, ESTABLISHED, UNTRACKED, INVALID = "NEW", "ESTABLISHED", "UNTRACKED", "INVALID"
ACCEPT, DROP, REJECT, NEXT, UNKNOWN = "accept", "drop", "reject", "next", "unknown"
LOOPBACK = "lo"
UNTOLD = "?"
"""Stands for an incoming interface that nobody told."""
MOST_EFFORT = 40_000
"""More than the largest Service has endpoints, twice."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection (for TCP, its SYN), unless ``state`` says otherwise."""

    protocol: int
    src: bytes
    dst: bytes
    sport: int | None
    """None when it does not matter: any ephemeral port."""
    dport: int
    incoming: str = ""
    """Interface it came in by; empty when a process of this node made it."""
    outgoing: str = ""
    gateway: bytes = b""
    """Next hop; empty when the destination is on the link, or before routing."""
    mark: int = 0
    connmark: int = 0
    rerouted: tuple[str, bytes] | None = None
    """Device and gateway that take effect after OUTPUT: its rules still see the first device."""
    state: str = NEW
    """What conntrack will say of it."""
    tracked: bool = False
    """Whether it has been at conntrack, which comes after raw."""
    original: tuple[bytes, int | None, bytes, int] = (b"", None, b"", 0)
    """Source and destination of the connection before any translation."""
    dnat: bool = False
    snat: bool = False
    masquerade_device: str = ""
    """The interface that a masqueraded connection took its source from."""
    bound: frozenset[str] = frozenset()
    """``dst`` and ``src``: which translations of the connection are settled."""
    virtual: tuple[bytes, int] | None = None
    """The IPVS virtual server that it went through."""

    @property
    def ipv6(self) -> bool:
        """Which family it belongs to."""
        return not address.is_ipv4(self.dst)

    @property
    def ct_state(self) -> str:
        """What rules see: before conntrack a packet is invalid, unless raw took it out."""
        return self.state if self.tracked or self.state == UNTRACKED else INVALID

    @property
    def has_connection(self) -> bool:
        """Whether conntrack has an entry for it: without one nothing but the state can match."""
        return self.ct_state not in (UNTRACKED, INVALID)

    @property
    def protocol_name(self) -> str:
        """``tcp``, or the number where there is no name."""
        return PROTOCOL_NAMES.get(self.protocol, str(self.protocol))


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, or did not happen, for a reason worth saying."""

    hook: str
    table: str
    chain: str
    rule: str
    effect: str


class EndlessError(Exception):
    """Rules part and jump again and again, as only damaged or hostile ones do."""


class Effort:
    """How often one walk may still part or jump: chains within chains double its ways."""

    def __init__(self) -> None:
        self._left = MOST_EFFORT

    def spend(self) -> None:
        """One more; EndlessError when that was the last."""
        self._left -= 1
        if self._left < 0:
            raise EndlessError


@dataclass(frozen=True, slots=True)
class Flight:
    """One possible way of the packet so far."""

    packet: Packet
    hook: str = ""
    probability: float | None = 1.0
    """None where the chances are not known."""
    steps: tuple[Step, ...] = ()
    doubts: frozenset[str] = frozenset()
    """Why this way may not be the one taken; the other way is a flight of its own."""
    gaps: frozenset[str] = frozenset()
    """What on this way is not known, and is not walked either."""
    cause: str = ""
    """Id of the catalogue of causes, where the flight ends in a loss."""
    how: str = ""
    """What the sender is told when it is refused."""
    masquerade: bool = field(default=False)
    effort: Effort = field(default_factory=Effort, compare=False, repr=False)
    """Shared by all ways of one walk."""

    def step(self, table: str, chain: str, rule: str, effect: str) -> Flight:
        """The same flight with one step more."""
        return replace(self, steps=(*self.steps, Step(self.hook, table, chain, rule, effect)))

    def share(self, chance: float | None) -> Flight:
        """One of several ways that are chosen by chance."""
        self.effort.spend()
        known = self.probability is not None and chance is not None
        return replace(self, probability=self.probability * chance if known else None)  # type: ignore[operator]

    def parted(self, why: str) -> Flight:
        """One of the two ways that a match which is not known leaves open."""
        self.effort.spend()
        return replace(self, doubts=self.doubts | {why})

    def doubted(self, why: str) -> Flight:
        """The same flight, of which something is not known."""
        return replace(self, gaps=self.gaps | {why})

    def changed(self, **fields: object) -> Flight:
        """The same flight with fields of its packet changed."""
        return replace(self, packet=replace(self.packet, **fields))  # type: ignore[arg-type]

    def lost(self, cause: str, how: str = "") -> Flight:
        """Ended by a loss; an earlier cause stays."""
        return replace(self, cause=self.cause or cause, how=how)


Outcome = tuple[str, Flight]
"""``ACCEPT``, ``DROP``, ``REJECT``, ``NEXT`` (go on) or ``UNKNOWN``, and the flight then."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """An answer that the state does not give."""

    why: str


Answer = bool | float | Doubt
"""Whether something matches: surely, by this chance, or not known."""


def both(first: Answer, second: Answer) -> Answer:
    """Whether two things match together; a sure no outweighs every doubt."""
    if first is False or second is False:
        return False
    for answer in (first, second):
        if isinstance(answer, Doubt):
            return answer
    if first is True:
        return second
    return first if second is True else float(first) * float(second)  # type: ignore[arg-type]


def opposite(answer: Answer) -> Answer:
    """The answer to the negated question."""
    if isinstance(answer, Doubt):
        return answer
    return (not answer) if isinstance(answer, bool) else 1.0 - answer
