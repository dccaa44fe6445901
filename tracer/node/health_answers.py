"""``health.json`` of a state directory: what a node answers to load balancers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tracer import address
from tracer.node.health import HealthAnswer
from tracer.node.json_objects import objects
from tracer.node.lines import Unread, packed

REFUSED, SILENT, OTHER, FAR, UNASKED = (
    "refused",
    "no answer",
    "not HTTP",
    "not reached",
    "not asked",
)
"""Why there is no answer; nothing else is taken for a reason."""
_REASONS = frozenset({"", REFUSED, SILENT, OTHER, FAR, UNASKED})
_HIGHEST = {"port": 65535, "status": 999, "localEndpoints": 1_000_000}


def dump(answers: Iterable[HealthAnswer]) -> str:
    """One object for each answer."""
    items = [
        {
            "service": answer.service,
            "port": answer.port,
            "ip": address.text(answer.ip) if answer.ip else "",
            "status": answer.status,
            "localEndpoints": answer.local_endpoints,
            "why": answer.why,
        }
        for answer in answers
    ]
    return json.dumps(items, indent=1) + "\n"


def parse(text: str, unread: Unread) -> tuple[HealthAnswer, ...]:
    """Every answer; one that cannot be read is named."""
    found = []
    for line, entry in objects(text, unread, "an answer on a health check node port"):
        try:
            found.append(_answer(entry))
        except ValueError as error:
            unread.add(line, "not an answer on a health check node port", str(error))
    return tuple(found)


def _answer(entry: Mapping[str, object]) -> HealthAnswer:
    service, ip, why = (str(entry.get(name, "")) for name in ("service", "ip", "why"))
    if why not in _REASONS:
        raise ValueError(why)
    return HealthAnswer(
        service=service,
        port=_number(entry, "port", 1),
        ip=packed(ip) if ip else b"",
        status=_number(entry, "status", 0),
        local_endpoints=_number(entry, "localEndpoints", -1),
        why=why,
    )


def _number(entry: Mapping[str, object], name: str, lowest: int) -> int:
    value = entry.get(name)
    if type(value) is not int or not lowest <= value <= _HIGHEST[name]:
        raise ValueError(f"{name}: {value}")
    return value
