"""Tests over the columns of flows: the parts from which terms are made."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.cells import Flows, Hit

Mask = npt.NDArray[np.bool_]


class Context(Protocol):
    """The meaning of the numbers in the columns."""

    @property
    def hit(self) -> Callable[[int], Hit | None]:
        """Service by the ``service`` column."""

    @property
    def name(self) -> Callable[[int], str]:
        """Pod or node by the ``client_name`` and ``backend_name`` columns."""

    @property
    def text(self) -> Callable[[int], str]:
        """Drop reason by the ``drop_reason`` column."""


@dataclass(frozen=True, slots=True)
class Question:
    """Rows to choose from, and all that is known about them."""

    flows: Flows
    context: Context
    causes: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)
    """Ids of the flows that each cause explains."""


Test = Callable[[Question], Mask]

SIDES = ("client", "virtual", "source", "backend")
"""The four addresses of a flow; each has a column of ports."""


def any_of(tests: Iterable[Test]) -> Test:
    """Rows that pass one of the tests."""
    tests = tuple(tests)
    return lambda question: np.logical_or.reduce([test(question) for test in tests])


def all_of(tests: Iterable[Test]) -> Test:
    """Rows that pass every test."""
    tests = tuple(tests)
    return lambda question: np.logical_and.reduce([test(question) for test in tests])


def none_of(test: Test) -> Test:
    """Rows that do not pass."""
    return lambda question: ~test(question)


def numbers(field: str, among: Iterable[int]) -> Test:
    """Rows with one of some numbers in a column."""
    wanted = list(among)
    return lambda question: np.isin(question.flows[field], wanted)


def bits(field: str, wanted: int) -> Test:
    """Rows with any of some bits in a column."""
    return lambda question: np.asarray((question.flows[field] & wanted) != 0)


def meaning(field: str, passes: Callable[[Context, int], bool]) -> Test:
    """Rows whose number in a column means something that passes; asked once per number."""

    def test(question: Question) -> Mask:
        distinct, places = np.unique(question.flows[field], return_inverse=True)
        passing = [passes(question.context, int(number)) for number in distinct]
        return np.array(passing, dtype=np.bool_)[places]

    return test


def wildcard(pattern: str) -> Callable[[str], bool]:
    """Whole texts where ``*`` stands for anything and ``?`` for one character."""
    compiled = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
    return lambda text: compiled.match(text) is not None


def namespaced(pattern: str) -> Callable[[str], bool]:
    """``namespace/name`` by a pattern for all of it, or for the name if it has no slash."""
    matches = wildcard(pattern)
    if "/" in pattern:
        return matches
    return lambda text: matches(text.rpartition("/")[2])


def ports(text: str) -> tuple[int, int]:
    """First and last of ``443`` or ``30000-32767``; ValueError if it is neither."""
    first, dash, last = text.partition("-")
    if re.fullmatch(r"\d{1,5}", first) and re.fullmatch(r"\d{1,5}", last if dash else first):
        low, high = int(first), int(last or first)
        if low <= high <= 65535:
            return low, high
    raise ValueError("a port is a number to 65535 or a range such as 30000-32767")


def port_in(side: str, low: int, high: int) -> Test:
    """Rows with such a port on one side."""

    def test(question: Question) -> Mask:
        column = question.flows[f"{side}_port"]
        return np.asarray((column >= low) & (column <= high))

    return test


def looks_like_address(text: str) -> bool:
    """Whether this can only have been meant as an address."""
    return text.count(":") > 1 or re.fullmatch(r"[0-9.:/\[\]-]+", text) is not None


def address_in(sides: Iterable[str], text: str) -> Test:
    """Rows with an address of ``1.2.3.4``, ``1.2.3.0/24`` or ``1.2.3.4:80`` on one of the sides."""
    host, port = _split(text)
    try:
        network = ipaddress.ip_network(host.partition("%")[0], strict=False)
        low, high = ports(port) if port else (0, 0)
    except ValueError as error:
        raise ValueError(
            "an address is such as 10.0.0.1, 10.0.0.0/8, 10.0.0.1:80, fd00::/64 or [fd00::1]:80"
        ) from error
    tests = []
    for side in sides:
        inside = _inside(side, network)
        tests.append(all_of((inside, port_in(side, low, high))) if port else inside)
    return any_of(tests)


def _split(text: str) -> tuple[str, str]:
    """Host and port of ``a:1`` or ``[a]:1``; no port where there is none."""
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.+))?", text)
    if bracketed:
        return bracketed[1], bracketed[2] or ""
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port or "?"
    return text, ""


def _inside(side: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Test:
    """Rows with an address of this range: both words under the mask are equal."""
    bits = network.prefixlen + (96 if network.version == 4 else 0)
    cut = ((1 << 128) - (1 << (128 - bits))).to_bytes(16, "big")
    mask = address.column([cut])[0]
    wanted = address.column([address.parse(str(network.network_address))])[0]

    def test(question: Question) -> Mask:
        column = question.flows[side]
        low, high = (column[:, word] & mask[word] == wanted[word] for word in (0, 1))
        return np.asarray(low & high)

    return test
