"""Statements of nftables as a person would read them."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.node.nft_ruleset import Json, NftRule

_LONGEST = 6
"""Elements of a set that are written out."""


def rule_text(rule: NftRule) -> str:
    """A rule in nft's own syntax, large sets cut."""
    words = [text for statement in rule.statements if (text := written(statement))]
    return " ".join(words) + (f' comment "{rule.comment}"' if rule.comment else "")


def written(value: Json) -> str:
    """A statement, expression or literal; what has no short form is left as JSON says it."""
    if isinstance(value, list):
        return ",".join(map(written, value))
    if not isinstance(value, dict) or len(value) != 1:
        return "" if value is None else str(value)
    ((kind, body),) = value.items()
    if body is None:
        return str(kind)
    if kind in ("&", "|", "^") and isinstance(body, list):
        return f" {kind} ".join(map(written, body))
    if kind == "concat" and isinstance(body, list):
        return " . ".join(map(written, body))
    if kind == "set" and isinstance(body, list):
        return _set(body)
    if kind == "unknown":
        return str(body)
    return _statement(str(kind), body) if isinstance(body, dict) else f"{kind} {written(body)}"


def _set(elements: list[Json]) -> str:
    parts = []
    for element in elements[:_LONGEST]:
        pair = isinstance(element, list) and len(element) == 2
        parts.append(
            " : ".join(map(written, element))
            if pair and isinstance(element, list)
            else written(element)
        )
    more = [f"… {len(elements) - _LONGEST} more"] if len(elements) > _LONGEST else []
    return "{ " + ", ".join(parts + more) + " }"


def _statement(kind: str, body: Mapping[str, Json]) -> str:
    if kind == "counter":
        return ""
    if kind == "match":
        operator = body.get("op")
        sign = "" if operator in ("==", "in") else f"{operator} "
        return f"{written(body.get('left'))} {sign}{written(body.get('right'))}"
    if kind in ("vmap", "map"):
        return f"{written(body.get('key'))} {kind} {written(body.get('data'))}"
    if kind == "payload":
        return f"{body.get('protocol')} {body.get('field')}"
    if kind in ("meta", "ct"):
        direction = f"{body['dir']} " if "dir" in body else ""
        return f"{kind} {direction}{body.get('key')}"
    if kind == "mangle":
        return f"{written(body.get('key'))} set {written(body.get('value'))}"
    return _other(kind, body)


def _other(kind: str, body: Mapping[str, Json]) -> str:
    if kind == "fib":
        return f"fib {written(body.get('flags'))} {body.get('result')}"
    if kind == "numgen":
        return f"numgen {body.get('mode')} mod {body.get('mod')}"
    if kind in ("jump", "goto"):
        return f"{kind} {body.get('target')}"
    if kind == "prefix":
        return f"{body.get('addr')}/{body.get('len')}"
    if kind == "set":
        return f"{body.get('op')} {body.get('set')} {{ {written(body.get('elem'))} }}"
    if kind in ("snat", "dnat", "redirect", "masquerade"):
        port = f":{written(body['port'])}" if "port" in body else ""
        to = f"{written(body.get('addr'))}{port}"
        return f"{kind} to {to}" if to else kind
    if kind == "reject":
        return f"reject with {body.get('type', '')} {body.get('expr', '')}".rstrip()
    return f"{kind} {' '.join(map(written, body.values()))}"
