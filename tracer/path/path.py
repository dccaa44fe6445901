"""Every ending of a packet summed up into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracer.path.packet import DROP, REJECT, UNKNOWN, Step
from tracer.path.walk import DELIVERED, LOCAL, Ending

VERDICTS = {
    DELIVERED: "delivered",
    LOCAL: "local",
    DROP: "dropped",
    REJECT: "rejected",
    UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One backend that the packet may be sent to."""

    ip: bytes
    port: int
    probability: float | None
    """None where it is not known."""
    verdict: str
    masquerade: bool
    source: bytes | None
    """The source that it sees, where that is another than the sender's."""


@dataclass(frozen=True, slots=True)
class Path:
    """What happens to a packet here."""

    verdict: str
    """``delivered``, ``local``, ``dropped``, ``rejected`` or ``unknown``."""
    cause: str = ""
    """Id of the catalogue of causes, for a loss."""
    how: str = ""
    """What the sender is told when it is refused."""
    steps: tuple[Step, ...] = ()
    """Of the most probable way."""
    choices: tuple[Choice, ...] = ()
    masquerade: bool = False
    source: bytes | None = None
    """The address that source NAT gives it; None if it keeps its own."""
    mark: int = 0
    device: str = ""
    """Interface that it leaves by."""
    unknown: tuple[str, ...] = field(default=())
    """Why the verdict is unknown."""


def summed(endings: Sequence[Ending]) -> Path:
    """One answer: unknown where the ways that are possible end differently."""
    if not endings:
        return Path("unknown", unknown=("the walk found no ending",))
    shown = max(endings, key=_weight)
    results = {_result(ending) for ending in endings}
    reasons = {why for ending in endings for why in ending.flight.gaps}
    verdicts = {ending.verdict for ending in endings}
    alike = {(DELIVERED if each[0] == LOCAL else each[0], each[1]) for each in results}
    parted = {why for ending in endings for why in ending.flight.doubts}
    if len(results) > 1:
        reasons |= parted
    if not reasons and len(alike) > 1:
        reasons = {_by_chance(endings)}
    if reasons or UNKNOWN in verdicts:
        return _path("unknown", shown, endings, tuple(sorted(reasons)))
    arrived = verdicts == {DELIVERED, LOCAL}
    return _path(VERDICTS[DELIVERED if arrived else shown.verdict], shown, endings, ())


def _weight(ending: Ending) -> tuple[bool, float, int]:
    flight = ending.flight
    return not flight.doubts and not flight.gaps, flight.probability or 0.0, len(flight.steps)


def _result(ending: Ending) -> tuple[str, str, bytes, int, bytes, int]:
    """What of an ending must be the same for a doubt not to matter."""
    flight = ending.flight
    packet = flight.packet
    if ending.verdict in (DROP, REJECT):
        return ending.verdict, flight.cause, b"", 0, b"", 0
    return ending.verdict, flight.cause, packet.dst, packet.dport, packet.src, packet.mark


def _by_chance(endings: Sequence[Ending]) -> str:
    if any(ending.flight.probability is None for ending in endings):
        return "it depends on which backend is chosen"
    counts: dict[str, float] = {}
    for ending in endings:
        verdict = VERDICTS[ending.verdict]
        counts[verdict] = counts.get(verdict, 0.0) + (ending.flight.probability or 0.0)
    shares = ", ".join(f"{share:.0%} {verdict}" for verdict, share in sorted(counts.items()))
    return f"it depends on chance: {shares}"


def _path(verdict: str, shown: Ending, endings: Sequence[Ending], unknown: tuple[str, ...]) -> Path:
    flight = shown.flight
    packet = flight.packet
    changed = packet.src != packet.original[0]
    return Path(
        verdict=verdict,
        cause=flight.cause if shown.verdict in (DROP, REJECT) else "",
        how=flight.how,
        steps=flight.steps,
        choices=tuple(_choices(endings)),
        masquerade=any(ending.flight.masquerade for ending in endings),
        source=packet.src if changed else None,
        mark=packet.mark,
        device=packet.outgoing,
        unknown=unknown,
    )


def _choices(endings: Sequence[Ending]) -> list[Choice]:
    """Backends in the order of their addresses, equal ones together."""
    found: dict[tuple[bytes, int, str, bool], tuple[float | None, bytes | None]] = {}
    for ending in endings:
        flight = ending.flight
        packet = flight.packet
        if not packet.dnat and packet.virtual is None:
            continue
        key = (packet.dst, packet.dport, VERDICTS[ending.verdict], flight.masquerade)
        before, _ = found.get(key, (0.0, None))
        known = before is not None and flight.probability is not None
        share = before + flight.probability if known else None  # type: ignore[operator]
        source = packet.src if packet.src != packet.original[0] else None
        found[key] = (share, source)
    return [
        Choice(ip, port, share, verdict, masquerade, source)
        for (ip, port, verdict, masquerade), (share, source) in sorted(
            found.items(), key=lambda item: item[0]
        )
    ]
