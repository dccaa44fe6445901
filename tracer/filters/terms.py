"""The table of terms: every property that a filter can ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tracer.cluster.model import KIND_NAMES
from tracer.events import PROTOCOL_NAMES
from tracer.filters.matching import (
    SIDES,
    Context,
    Mask,
    Question,
    Test,
    address_in,
    all_of,
    any_of,
    bits,
    looks_like_address,
    meaning,
    namespaced,
    none_of,
    numbers,
    port_in,
    ports,
    wildcard,
)
from tracer.flow import ENGINE_NAMES, STATE_NAMES, Seen


@dataclass(frozen=True, slots=True)
class Term:
    """One property; ``compile`` raises ValueError with what a value should look like."""

    name: str
    help: str
    example: str
    compile: Callable[[str], Test]
    values: tuple[str, ...] = ()
    """All values there are, where they can be listed."""
    bare: bool = False
    """Whether its values may stand alone, without the name."""


Meaning = TypeVar("Meaning")


def _one_of(known: Mapping[str, Meaning], value: str) -> Meaning:
    if value.lower() not in known:
        raise ValueError(f"possible are {', '.join(known)}")
    return known[value.lower()]


def _listed(field: str, names: Mapping[int, str]) -> Callable[[str], Test]:
    """Compiles one of a few words that stand for numbers in a column."""
    known = {name.lower(): number for number, name in names.items()}
    return lambda value: numbers(field, [_one_of(known, value)])


def _service(value: str) -> Test:
    whole, _, port_name = value.partition(":")
    matches, port_matches = namespaced(whole or "*"), wildcard(port_name or "*")

    def passes(context: Context, number: int) -> bool:
        hit = context.hit(number)
        if hit is None:
            return False
        return matches(f"{hit.namespace}/{hit.name}") and port_matches(hit.port_name)

    return meaning("service", passes)


def _kind(value: str) -> Test:
    kind = _one_of({name.lower(): kind for kind, name in KIND_NAMES.items()}, value)

    def passes(context: Context, number: int) -> bool:
        hit = context.hit(number)
        return hit is not None and hit.kind == kind

    return meaning("service", passes)


def _named(field: str, matches: Callable[[str], bool]) -> Test:
    return meaning(field, lambda context, number: matches(context.name(number)))


def _pod(value: str) -> Test:
    matches = namespaced(value)
    return any_of(
        _named(field, lambda text: "/" in text and matches(text))
        for field in ("client_name", "backend_name")
    )


def _node(value: str) -> Test:
    matches = wildcard(value)
    return any_of(
        _named(field, lambda text: bool(text) and "/" not in text and matches(text))
        for field in ("client_name", "backend_name")
    )


def _peer(side: str) -> Callable[[str], Test]:
    """Compiles an address, or the name of the pod or node behind it."""

    def compile_peer(value: str) -> Test:
        if looks_like_address(value):
            return address_in((side,), value)
        matches = namespaced(value)
        return _named(f"{side}_name", lambda text: bool(text) and matches(text))

    return compile_peer


def _port(value: str) -> Test:
    low, high = ports(value)
    return any_of(port_in(side, low, high) for side in SIDES)


def _cause(value: str) -> Test:
    matches = wildcard(value)

    def test(question: Question) -> Mask:
        passing = [ids for cause, ids in question.causes.items() if matches(cause)]
        if not passing:
            return np.zeros(len(question.flows), dtype=np.bool_)
        return np.isin(question.flows["id"], np.concatenate(passing))

    return test


def _drop(value: str) -> Test:
    matches = wildcard(value.upper())
    dropped = bits("seen", Seen.DROPPED)
    named = meaning("drop_reason", lambda context, number: matches(context.text(number).upper()))
    return all_of((dropped, named))


def _differs(before: str, after: str) -> Test:
    def test(question: Question) -> Mask:
        flows = question.flows
        moved = (flows[before] != flows[after]).any(axis=1)
        return np.asarray(moved | (flows[f"{before}_port"] != flows[f"{after}_port"]))

    return test


_QUALITIES: Mapping[str, Test] = {
    "translated": bits("seen", Seen.TRANSLATED),
    "snat": _differs("client", "source"),
    "dropped": bits("seen", Seen.DROPPED),
    "unanswered": none_of(
        bits("seen", Seen.REPLIED | Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT | Seen.RST_BACKEND)
    ),
    "local": bits("seen", Seen.LOCAL_IN),
    "ipv4": numbers("family", [2]),
    "ipv6": numbers("family", [10]),
}

TERMS: tuple[Term, ...] = (
    Term(
        "service",
        "Service that was asked for: namespace/name, name alone, with :port-name if wanted",
        "service=default/web",
        _service,
    ),
    Term(
        "pod",
        "Pod at either end: namespace/name, or name alone",
        "pod=default/web-*",
        _pod,
    ),
    Term("node", "Node at either end, where no pod is", "node=worker1", _node),
    Term(
        "client",
        "Who connected: address, range, or pod or node",
        "client=10.0.0.0/8",
        _peer("client"),
    ),
    Term(
        "backend",
        "Where it went: address, range, or pod or node",
        "backend=web-1",
        _peer("backend"),
    ),
    Term(
        "vip",
        "Address that was asked for, before translation",
        "vip=10.96.0.10:80",
        lambda value: address_in(("virtual",), value),
    ),
    Term(
        "host",
        "Address or range on any side; the name may be left out",
        "10.0.0.0/8",
        lambda value: address_in(SIDES, value),
    ),
    Term("port", "Port, or range of ports, on any side", "port 30000-32767", _port),
    Term(
        "proto",
        "Protocol; the name may be left out",
        "proto=tcp",
        _listed("protocol", PROTOCOL_NAMES),
        tuple(PROTOCOL_NAMES.values()),
        bare=True,
    ),
    Term(
        "engine",
        "What chose the backend",
        "engine=ipvs",
        _listed("engine", ENGINE_NAMES),
        tuple(ENGINE_NAMES.values()),
    ),
    Term(
        "state",
        "How far the flow has come",
        "state!=established",
        _listed("state", STATE_NAMES),
        tuple(STATE_NAMES.values()),
    ),
    Term(
        "kind",
        "Which of the Service's addresses was used",
        "kind=NodePort",
        _kind,
        tuple(KIND_NAMES.values()),
    ),
    Term("cause", "Cause of the finding that explains the flow", "cause=svc-no-endpoints", _cause),
    Term("drop", "Reason the kernel gave for dropping a packet", "drop=NETFILTER_*", _drop),
    Term(
        "is",
        "A quality of the flow; the name may be left out",
        "is=snat",
        lambda value: _one_of(_QUALITIES, value),
        tuple(_QUALITIES),
        bare=True,
    ),
)
"""In the order in which help and completion show them."""
