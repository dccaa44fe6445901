"""What nftables' statements do to a packet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tracer.address import endpoint, text
from tracer.node.nft_ruleset import Json, NftRule, NftTable
from tracer.path.ground import Ground
from tracer.path.nft_value import Asked, NoMatch, Value, look_up
from tracer.path.nft_write import rule_text
from tracer.path.packet import ACCEPT, NEXT, REJECT, UNKNOWN, UNTRACKED, Doubt, Flight, Outcome
from tracer.path.translation import destinations, shown, sources
from tracer.path.xt_target import Place, masqueraded

HARMLESS = {
    *("counter", "log", "set", "quota", "ct helper", "ct timeout", "ct expectation", "flow"),
    *("comment", "last", "secmark"),
}
"""Statements after which the packet goes on as it was, as far as its path is concerned."""
_QUIET_KEYS = {"nftrace", "priority", "pkttype", "cgroup"}
BREAK = "break"
"""The outcome of a rule that does not match after all."""
_KUBE = "kube-proxy"
_TCP = 6
_BY_CHAIN = {"reject-chain": "svc-no-endpoints", "cluster-ips-check": "vip-port-not-served"}


@dataclass(frozen=True, slots=True)
class Stand:
    """The rule that is being run."""

    ground: Ground
    table: NftTable
    chain: str
    rule: NftRule

    def step(self, flight: Flight, effect: str) -> Flight:
        """The flight with this rule as its last step."""
        name = f"{self.table.family} {self.table.name}"
        return flight.step(name, self.chain, rule_text(self.rule), effect)

    def doubt(self, why: str) -> str:
        """A reason with its place."""
        return f"{why} (table {self.table.family} {self.table.name}, chain {self.chain})"

    def puzzled(self, flight: Flight, why: str) -> Flight:
        """Ended because nobody knows what comes next."""
        return self.step(flight, "not known").doubted(self.doubt(why))

    def dropped(self, flight: Flight, via: str) -> Flight:
        """Dropped by this rule, or by an element of the map ``via``."""
        effect = f"dropped by an element of map {via}" if via else "dropped"
        return self.step(flight, effect).lost(self.cause(via))

    def cause(self, via: str = "") -> str:
        """Which cause of the catalogue this rule's refusal stands for."""
        if self.table.name != _KUBE:
            return "foreign-firewall-order"
        if via.startswith("no-endpoint"):
            return "no-local-endpoint-drop"
        if self.chain.startswith("firewall-"):
            return "lb-source-ranges-drop"
        return _BY_CHAIN.get(self.chain, "foreign-firewall-order")

    def choices(
        self, asked: Asked, key: Json, flight: Flight
    ) -> Iterator[tuple[Flight, Value | tuple[Value, ...] | Doubt]]:
        """Every value of a key: ``numgen`` has one for each number it may draw."""
        generator = key.get("numgen") if isinstance(key, dict) else None
        if not isinstance(generator, dict):
            yield flight, asked.value(key)
            return
        count, offset = generator.get("mod"), generator.get("offset", 0)
        if not isinstance(count, int) or not isinstance(offset, int) or not 0 < count < 1 << 16:
            yield flight, Doubt("a numgen that is not understood")
            return
        for drawn in range(count):
            yield (flight.share(1 / count) if count > 1 else flight), drawn + offset


def _reject(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    said = body if isinstance(body, dict) else {}
    kind = str(said.get("type", "icmpx" if stand.table.family == "inet" else ""))
    code = str(said.get("expr", "port-unreachable"))
    if kind == "tcp reset" and flight.packet.protocol != _TCP:
        raise NoMatch  # listings leave out the "meta l4proto tcp" that nft puts before it
    icmp = "icmp6" if flight.packet.ipv6 else "icmp"
    how = "tcp-reset" if kind == "tcp reset" else f"{icmp}-{code}"
    after = stand.step(flight, f"rejected with {how}").lost(stand.cause(), how)
    yield REJECT, after


def _mangle(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    """Setting marks; other fields do not decide where a packet goes."""
    if not isinstance(body, dict) or not isinstance(body.get("key"), dict):
        raise ValueError(str(body))
    ((kind, inner),) = body["key"].items()
    name = str(inner.get("key")) if isinstance(inner, dict) else ""
    if kind in ("meta", "ct") and name == "mark":
        value = Asked(stand.ground, stand.table, flight).number(body.get("value"))
        if isinstance(value, Doubt):
            yield UNKNOWN, stand.puzzled(flight, value.why)
        elif kind == "meta":
            yield NEXT, stand.step(flight.changed(mark=value), f"mark 0x{value:x}")
        elif flight.packet.has_connection:
            yield NEXT, flight.changed(connmark=value)
        else:
            yield NEXT, flight
    elif kind == "tcp option" or name in _QUIET_KEYS:
        yield NEXT, flight
    else:
        yield UNKNOWN, stand.puzzled(flight, f"setting {kind} {name}")


def _notrack(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    if flight.packet.tracked:
        yield NEXT, flight
    else:
        yield NEXT, stand.step(flight.changed(state=UNTRACKED), "not tracked")


def _masquerade(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    name = f"{stand.table.family} {stand.table.name}"
    shuffled = isinstance(body, dict) and bool({"port", "flags"} & set(body))
    place = Place(name, stand.chain)
    rule = rule_text(stand.rule)
    yield ACCEPT, masqueraded(stand.ground, place, rule, flight, shuffled=shuffled)


def _dnat(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    for taken, where in _targets(stand, body, flight):
        if where is None:
            yield BREAK, taken
            continue
        choices = None if isinstance(where, Doubt) else destinations(taken, where)
        if choices is None:
            yield UNKNOWN, stand.puzzled(taken, "the destination of dnat")
            continue
        for after in choices:
            to = endpoint(after.packet.dst, after.packet.dport)
            yield ACCEPT, stand.step(after, f"translated to {to}")


def _snat(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    for taken, where in _targets(stand, body, flight):
        if where is None:
            yield BREAK, taken
            continue
        choices = None if isinstance(where, Doubt) else sources(taken, where)
        if choices is None:
            yield UNKNOWN, stand.puzzled(taken, "the source of snat")
            continue
        for after in choices:
            flags = body.get("flags") if isinstance(body, dict) else None
            final = after.changed(sport=None) if flags and flags != ["persistent"] else after
            source = shown(final.packet.src, final.packet.sport)
            yield ACCEPT, stand.step(final, f"translated from {source}")


def _targets(
    stand: Stand, body: Json, flight: Flight
) -> Iterator[tuple[Flight, str | Doubt | None]]:
    """Address and port as one text for each choice a map or numgen leaves; None: in no map."""
    if not isinstance(body, dict):
        raise ValueError(str(body))
    family = body.get("family")
    port = _literal(body["port"]) if "port" in body else ""
    if isinstance(family, str) and (family == "ip6") != flight.packet.ipv6:
        yield flight, Doubt("an address of the other family")
        return
    to = body.get("addr")
    mapped = to.get("map") if isinstance(to, dict) else None
    if not isinstance(mapped, dict):
        yield flight, _joined(_literal(to) if to is not None else "", port)
        return
    asked = Asked(stand.ground, stand.table, flight)
    home = asked.found(mapped.get("data"))
    if isinstance(home, Doubt):
        yield flight, home
        return
    for taken, value in stand.choices(asked, mapped.get("key"), flight):
        found = (False, None, "") if isinstance(value, Doubt) else look_up(home, value)
        if isinstance(value, Doubt):
            yield taken, value
        else:
            yield taken, _mapped(found[1], port) if found[0] else None


def _mapped(value: Json, port: str) -> str | Doubt:
    parts = value.get("concat") if isinstance(value, dict) else None
    if isinstance(parts, list) and len(parts) == 2:
        return _joined(str(parts[0]), _literal(parts[1]))
    return _joined(_literal(value), port)


def _joined(host: str, port: str) -> str:
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _literal(value: Json) -> str:
    """An address or port, or a range of them, as text; ValueError for anything else."""
    if isinstance(value, str | int):
        return str(value)
    ends = value.get("range") if isinstance(value, dict) else None
    if isinstance(ends, list) and len(ends) == 2:
        return f"{ends[0]}-{ends[1]}"
    raise ValueError(str(value))


def _redirect(stand: Stand, body: Json, flight: Flight) -> Iterator[Outcome]:
    packet = flight.packet
    if packet.incoming:
        here = stand.ground.redirect_address(packet.incoming)
        host = text(here) if here else ""
    else:
        host = "::1" if packet.ipv6 else "127.0.0.1"
    port = _literal(body["port"]) if isinstance(body, dict) and "port" in body else ""
    choices = destinations(flight, _joined(host, port)) if host else None
    if not choices:
        yield UNKNOWN, stand.puzzled(flight, "the address of redirect")
        return
    for after in choices:
        to = endpoint(after.packet.dst, after.packet.dport)
        yield ACCEPT, stand.step(after, f"redirected to {to}")


ACTIONS: Mapping[str, Callable[[Stand, Json, Flight], Iterator[Outcome]]] = {
    "reject": _reject,
    "mangle": _mangle,
    "notrack": _notrack,
    "masquerade": _masquerade,
    "dnat": _dnat,
    "snat": _snat,
    "redirect": _redirect,
}
