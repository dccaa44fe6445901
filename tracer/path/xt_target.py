"""What iptables' targets do to a packet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tracer.address import endpoint, text
from tracer.path.ground import Ground
from tracer.path.packet import ACCEPT, DROP, NEXT, REJECT, UNKNOWN, UNTRACKED, Flight, Outcome
from tracer.path.translation import MOST_CHOICES, destinations, sources
from tracer.path.xt_cause import cause_of
from tracer.path.xt_rule import XtRule

SILENT = {
    *("LOG", "NFLOG", "ULOG", "TRACE", "TCPMSS", "CHECKSUM", "CLASSIFY", "DSCP", "TOS", "TTL"),
    *("HL", "AUDIT", "SECMARK", "CONNSECMARK", "SET", "TCPOPTSTRIP", "ECN", "IDLETIMER", "LED"),
}
"""Targets after which the packet goes on as it was, as far as its path is concerned."""
_Target = Callable[[Ground, "Place", XtRule, Flight], Iterator[Outcome]]


class Place:
    """Where a rule stands."""

    def __init__(self, table: str, chain: str) -> None:
        self.table = table
        self.chain = chain

    def step(self, flight: Flight, rule: str, effect: str) -> Flight:
        """The flight with this rule as its last step."""
        return flight.step(self.table, self.chain, rule, effect)


def act(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    """The outcomes of a target that is not a chain."""
    if not rule.target or rule.target in SILENT:
        yield NEXT, flight
        return
    target = _TARGETS.get(rule.target)
    if target is None:
        why = f"what -j {rule.target} does ({place.table} {place.chain})"
        yield UNKNOWN, place.step(flight, rule.text, "unknown target").doubted(why)
        return
    try:
        yield from target(ground, place, rule, flight)
    except ValueError:
        why = f"a rule that is not understood ({place.table} {place.chain}: {rule.text})"
        yield UNKNOWN, place.step(flight, rule.text, "not understood").doubted(why)


def _accept(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    yield ACCEPT, place.step(flight, rule.text, "accepted in this table")


def _drop(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    cause = cause_of(place.chain, rule.comment, flight)
    yield DROP, place.step(flight, rule.text, "dropped").lost(cause)


def _reject(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    said = rule.option("--reject-with")
    default = "icmp6-port-unreachable" if flight.packet.ipv6 else "icmp-port-unreachable"
    how = said.value if said else default
    cause = cause_of(place.chain, rule.comment, flight)
    yield REJECT, place.step(flight, rule.text, f"rejected with {how}").lost(cause, how)


def _mark(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    mark = _marked(rule, flight.packet.mark)
    after = flight.changed(mark=mark)
    yield NEXT, place.step(after, rule.text, f"mark 0x{mark:x}")


def _marked(rule: XtRule, old: int) -> int:
    """The new mark; ValueError for an option that is not known."""
    for option in rule.options:
        value_text, _, mask_text = option.value.partition("/")
        value = int(value_text, 0)
        mask = int(mask_text, 0) if mask_text else 0xFFFFFFFF
        if option.name == "--set-xmark":
            return (old & ~mask ^ value) & 0xFFFFFFFF
        if option.name == "--set-mark":
            return (old & ~(mask | value) ^ value if mask_text else value) & 0xFFFFFFFF
        if option.name == "--and-mark":
            return old & value
        if option.name == "--or-mark":
            return old | value
        if option.name == "--xor-mark":
            return old ^ value
    raise ValueError(rule.text)


def _connmark(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    packet = flight.packet
    if not packet.has_connection:
        yield NEXT, flight
        return
    masks = {o.name: int(o.value, 0) for o in rule.options if o.name in ("--nfmask", "--ctmask")}
    mask = rule.option("--mask")
    both = int(mask.value, 0) if mask else 0xFFFFFFFF
    nfmask, ctmask = masks.get("--nfmask", both), masks.get("--ctmask", both)
    if rule.option("--restore-mark"):
        mark = packet.mark & ~nfmask ^ (packet.connmark & ctmask)
        yield NEXT, place.step(flight.changed(mark=mark), rule.text, f"mark 0x{mark:x}")
    elif rule.option("--save-mark"):
        kept = packet.connmark & ~ctmask ^ (packet.mark & nfmask)
        yield NEXT, flight.changed(connmark=kept)
    else:
        yield NEXT, flight.changed(connmark=_marked(rule, packet.connmark))


def _untracked(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    """NOTRACK, and CT --notrack; CT with a zone or helper changes nothing here."""
    if rule.target == "CT" and not rule.option("--notrack"):
        if rule.option("--zone", "--zone-orig", "--zone-reply"):
            raise ValueError(rule.text)
        yield NEXT, flight
    elif flight.packet.tracked:  # on its second round by lo it keeps its connection
        yield NEXT, flight
    else:
        yield NEXT, place.step(flight.changed(state=UNTRACKED), rule.text, "not tracked")


def _dnat(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    to = rule.option("--to-destination")
    if to is None or len(to.values) != 1:
        raise ValueError(rule.text)
    yield from _settled(place, rule, destinations(flight, to.value), "to")


def _redirect(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    """To this node: the loopback address for its own packets, else the incoming interface's."""
    ports = rule.option("--to-ports")
    here = _own_address(ground, flight)
    if here is None:
        raise ValueError(rule.text)
    spoken = f"{here}:{ports.value}" if ports and ":" not in here else here
    if ports and ":" in here:
        spoken = f"[{here}]:{ports.value}"
    yield from _settled(place, rule, destinations(flight, spoken), "to")


def _own_address(ground: Ground, flight: Flight) -> str | None:
    packet = flight.packet
    if not packet.incoming:
        return "::1" if packet.ipv6 else "127.0.0.1"
    found = ground.redirect_address(packet.incoming)
    return text(found) if found else None


def _snat(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    to = rule.option("--to-source")
    if to is None or len(to.values) != 1:
        raise ValueError(rule.text)
    found = sources(flight, to.value)
    if rule.option("--random", "--random-fully") and found:
        found = [after.changed(sport=None) for after in found]
    yield from _settled(place, rule, found, "from")


def _masquerade(ground: Ground, place: Place, rule: XtRule, flight: Flight) -> Iterator[Outcome]:
    shuffled = rule.option("--random", "--random-fully", "--to-ports") is not None
    yield ACCEPT, masqueraded(ground, place, rule.text, flight, shuffled=shuffled)


def masqueraded(
    ground: Ground, place: Place, rule: str, flight: Flight, *, shuffled: bool
) -> Flight:
    """The flight with the address of the interface that it leaves by as its source."""
    packet = flight.packet
    source = ground.masquerade_source(packet.outgoing, packet.gateway or packet.dst)
    bound = packet.bound | {"src"}
    flight = replace(flight.changed(masquerade_device=packet.outgoing), masquerade=True)
    if source is None:
        after = flight.changed(snat=True, bound=bound).doubted(
            f"the addresses of {packet.outgoing or 'the outgoing interface'} (addr.json)"
        )
        return place.step(after, rule, "masqueraded as an address that is not known")
    changed = packet.snat or shuffled or source != packet.src
    port = None if shuffled else packet.sport
    after = flight.changed(src=source, sport=port, snat=changed, bound=bound)
    return place.step(after, rule, f"masqueraded as {text(source)}")


def _settled(
    place: Place, rule: XtRule, choices: list[Flight] | None, word: str
) -> Iterator[Outcome]:
    if choices is None:
        raise ValueError(f"more than {MOST_CHOICES} addresses to choose from")
    for after in choices:
        packet = after.packet
        shown = (
            endpoint(packet.dst, packet.dport)
            if word == "to"
            else endpoint(packet.src, packet.sport or 0).removesuffix(":0")
        )
        yield ACCEPT, place.step(after, rule.text, f"translated {word} {shown}")


_TARGETS: Mapping[str, _Target] = {
    "ACCEPT": _accept,
    "DROP": _drop,
    "REJECT": _reject,
    "MARK": _mark,
    "CONNMARK": _connmark,
    "NOTRACK": _untracked,
    "CT": _untracked,
    "DNAT": _dnat,
    "REDIRECT": _redirect,
    "SNAT": _snat,
    "MASQUERADE": _masquerade,
}
