"""``nft -j list ruleset`` (or one table) as a ruleset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tracer.node.json_objects import objects
from tracer.node.lines import Unread
from tracer.node.nft_elements import add_elements
from tracer.node.nft_ruleset import NftChain, NftRule, NftRuleset, NftSet, NftTable

_SILENT = {"metainfo", "counter", "quota", "ct helper", "limit", "flowtable", "ct timeout"}
"""Objects that no packet's path depends on, or that show where they are used."""
_Entry = Mapping[str, object]


def parse(text: str, unread: Unread) -> NftRuleset:
    """Everything that can be read, also out of a cut or interrupted listing."""
    tables: dict[tuple[str, str], NftTable] = {}
    for line, entry in _entries(text, unread):
        for kind, body in entry.items():
            try:
                _read(tables, kind, body, line)
            except (ValueError, KeyError, TypeError) as error:
                unread.add(line, f"{kind} that is not understood", str(error))
    return NftRuleset(unread.file, tables)


def _entries(text: str, unread: Unread) -> list[tuple[int, _Entry]]:
    """The objects of the list, whole or one by one where the document is damaged."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        start = text.find("[")
        return list(objects(text[start:], unread, "an nft object")) if start >= 0 else []
    listed = whole.get("nftables") if isinstance(whole, dict) else None
    if not isinstance(listed, list):
        unread.add(1, "no ruleset in it (is it the output of nft -j list ruleset?)", text)
        return []
    return [(1, entry) for entry in listed if isinstance(entry, dict)]


def _read(tables: dict[tuple[str, str], NftTable], kind: str, body: object, line: int) -> None:
    if kind in _SILENT:
        return
    if not isinstance(body, dict):
        raise ValueError(str(body))
    family = str(body["family"])
    table = str(body["name"] if kind == "table" else body["table"])
    home = tables.setdefault((family, table), NftTable(family, table))
    if kind == "chain":
        _read_chain(home, body)
    elif kind == "rule":
        chain = home.chains.setdefault(str(body["chain"]), NftChain(str(body["chain"])))
        chain.rules.append(_rule(body, line))
    elif kind in ("set", "map"):
        _read_set(home, kind, body)
    elif kind == "element":
        name = str(body["name"])
        elements = body.get("elem")
        add_elements(home.sets.setdefault(name, NftSet(name)), _listed(elements))
    elif kind != "table":
        raise ValueError(kind)


def _read_chain(home: NftTable, body: _Entry) -> None:
    name = str(body["name"])
    priority = body.get("prio", 0)
    if not isinstance(priority, int):
        raise ValueError(f"priority {priority}")
    chain = home.chains.setdefault(name, NftChain(name))
    chain.kind, chain.hook = str(body.get("type", "")), str(body.get("hook", ""))
    chain.priority, chain.policy = priority, str(body.get("policy", "accept"))


def _rule(body: _Entry, line: int) -> NftRule:
    return NftRule(list(_listed(body.get("expr"))), str(body.get("comment", "")), line)


def _read_set(home: NftTable, kind: str, body: _Entry) -> None:
    name = str(body["name"])
    found = home.sets.setdefault(name, NftSet(name))
    flags = body.get("flags")
    found.is_map = kind == "map"
    found.dynamic = "dynamic" in (flags if isinstance(flags, list) else [flags])
    add_elements(found, _listed(body.get("elem")))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
