"""Values of the node's model as JSON that says which kind each is, and back.

Fields are stored by name: what an older file lacks has its default, what a newer one has
more is left out.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from tracer.node.health import HealthAnswer
from tracer.node.model import InterfaceAddress, MarkServer, VirtualServer
from tracer.node.nft_ruleset import NftChain, NftRule, NftRuleset, NftSet, NftTable
from tracer.node.routing import Neighbour, NextHop, PolicyRule, Route
from tracer.node.sets import AddressSet
from tracer.node.xtables import XtChain, XtTables

KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        *(InterfaceAddress, VirtualServer, MarkServer, Route, NextHop, PolicyRule, Neighbour),
        *(XtTables, XtChain, AddressSet, NftRuleset, NftTable, NftChain, NftSet, NftRule),
        HealthAnswer,
    )
}
"""Kinds of values that have fields; the names are stored in recordings."""
_ADDRESS_BYTES = 16
_TYPES: Mapping[str, type] = {
    **{"str": str, "int": int, "bool": bool, "bytes": bytes},
    **{"Mapping[int, str]": Mapping, "Mapping[str, str]": Mapping},
    "frozenset[str]": frozenset,
}
_MANY = re.compile(r"tuple\[(" + "|".join((*KINDS, "str", "int")) + r"), \.\.\.\]")
_PLAIN = (str, int, float, type(None))


def encoded(value: object) -> Any:
    """What JSON can hold of a value; TypeError for kinds not known here."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encoded(item) for item in value]}
    if isinstance(value, frozenset):
        return {"set": [encoded(item) for item in sorted(value)]}
    if isinstance(value, array):
        return {"array": value.tolist()}
    if isinstance(value, Mapping):
        return {"map": [[encoded(key), encoded(item)] for key, item in value.items()]}
    return _encoded_fields(value)


def _encoded_fields(value: object) -> Any:
    kind = type(value)
    if not is_dataclass(value) or KINDS.get(kind.__name__) is not kind:
        raise TypeError(f"a recording cannot hold a {kind.__name__}")
    # What does not take part in comparisons is derived from what does.
    told = (field.name for field in fields(value) if field.compare)
    return {kind.__name__: {name: encoded(getattr(value, name)) for name in told}}


def decoded(said: Any) -> Any:
    """The value; KeyError, TypeError or ValueError where JSON holds none of these."""
    if isinstance(said, _PLAIN):
        return said
    if isinstance(said, list):
        return [decoded(item) for item in said]
    ((kind, inner),) = said.items()
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "array":
        return array("L", inner)
    if kind == "map":
        return {decoded(key): decoded(item) for key, item in inner}
    if kind in ("tuple", "set"):
        items = [decoded(item) for item in inner]
        return tuple(items) if kind == "tuple" else frozenset(items)
    return KINDS[kind](**decoded_fields(KINDS[kind], inner))


def decoded_fields(kind: type, said: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a kind; TypeError if one is of another type than the model says."""
    known: dict[str, Any] = {field.name: field.type for field in fields(kind)}
    made = {name: decoded(said[name]) for name in said if name in known}
    for name, value in made.items():
        if not _fits(value, str(known[name])):
            raise TypeError(f"{kind.__name__}.{name} is of another kind")
    return made


def _fits(value: object, annotation: str) -> bool:
    """As far as the annotation is a plain type, or many of a kind known here."""
    if annotation in _TYPES:
        if isinstance(value, bytes) and len(value) not in (0, _ADDRESS_BYTES):
            return False
        return isinstance(value, _TYPES[annotation])
    many = _MANY.fullmatch(annotation)
    if many is None:
        return True
    kind = KINDS.get(many[1]) or _TYPES[many[1]]
    return isinstance(value, tuple) and all(isinstance(item, kind) for item in value)
