"""Places that rules serve, against those that the cluster wants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracer.cluster.model import ServiceKind
from tracer.drift.difference import Difference, Turn, few, shown
from tracer.drift.served import DROP, Place, Rules, Served
from tracer.drift.wanted import Wanted

Demand = Mapping[Place, Sequence[Wanted]]


def differences(rules: Rules, demand: Demand, *, node_known: bool) -> Iterator[Difference]:
    """Every place that is not served as wanted; ``node_known``: what is local can be told."""
    serves_node_ports = any(not ip for _, ip, _ in rules.places)
    for place, ones in demand.items():
        served = rules.places.get(place)
        first = ones[0]
        if served is not None:
            if not any(agrees(rules, one, served, node_known) for one in ones):
                yield from _wrong(place, first, served)
            elif served.uneven:
                yield _of(Turn.UNEVEN, place, first, served.uneven, served.by)
        elif rules.engine != "ipvs" or first.kind is not ServiceKind.NODE_PORT or serves_node_ports:
            told = f"there is no {_rule_word(rules)} for it"
            yield _of(Turn.NOT_PROGRAMMED, place, first, told, rules.engine)
    yield from _left(rules, demand)


def agrees(rules: Rules, one: Wanted, served: Served, node_known: bool) -> bool:
    """Whether a place is served as this Service port wants it."""
    found, expected = served.backends, one.backends
    if one.local and not node_known:
        return found <= one.everywhere
    if one.local and rules.engine == "ipvs" and not expected:
        return found == one.everywhere or not found  # all endpoints, by kube-proxy's own choice
    if one.hinted and not one.local and found:
        return found <= expected
    return found == expected and not (expected and served.refused and not one.local)


def _wrong(place: Place, one: Wanted, served: Served) -> Iterator[Difference]:
    found, expected = served.backends, one.backends
    if one.local and expected and (served.refused == DROP or found > expected):
        told = f"its endpoints here, {few(expected)}, are treated as another node's"
        yield _of(Turn.LOCALITY, place, one, told, served.by)
        return
    if served.refused and expected:
        told = f"refused ({served.refused}), while it has {len(expected)} endpoints"
        yield _of(Turn.REFUSED, place, one, told, served.by)
        return
    if lacking := expected - found:
        told = f"{few(lacking)} is in the EndpointSlices and gets nothing"
        yield _of(Turn.WITHOUT, place, one, told, served.by)
    if surplus := found - expected:
        told = f"still sent to {few(surplus)}, which is no endpoint for it now"
        yield _of(Turn.GONE, place, one, told, served.by)


def _left(rules: Rules, demand: Demand) -> Iterator[Difference]:
    for place, served in rules.places.items():
        if place not in demand:
            to = f"sent to {few(served.backends)}" if served.backends else "refused"
            yield Difference(Turn.LEFT, shown(place), to, by=served.by)


def _of(turn: Turn, place: Place, one: Wanted, told: str, by: str) -> Difference:
    label = f"{one.service}:{one.port_name}" if one.port_name else one.service
    return Difference(turn, f"{label} ({shown(place)})", told, one.service, by)


def _rule_word(rules: Rules) -> str:
    return "virtual server" if rules.engine == "ipvs" else f"{rules.engine} rule"
