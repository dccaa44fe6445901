"""``nft list ruleset`` as text, and scripts of ``add`` commands."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.node.lines import Unread
from tracer.node.nft_elements import add_elements
from tracer.node.nft_ruleset import NftChain, NftRule, NftRuleset, NftSet, NftTable
from tracer.node.nft_statements import elements, parse_rule
from tracer.node.nft_tokens import ENDS, Token, tokens

_PRIORITIES = {
    "raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100,
}  # fmt: skip
_FAMILIES = {"ip", "ip6", "inet", "arp", "bridge", "netdev"}


def parse(text: str, unread: Unread) -> NftRuleset:
    """Every table that can be read; statements of rules are read in full here."""
    tables: dict[tuple[str, str], NftTable] = {}
    for statement in _statements(list(tokens(text))):
        words = [word for word, _ in statement if word != "\n"]
        try:
            _top(tables, words, statement)
        except (ValueError, IndexError) as error:
            unread.add(statement[0].line, f"not understood ({error})", " ".join(words)[:60])
    return NftRuleset(unread.file, tables)


def _statements(found: list[Token]) -> Iterator[list[Token]]:
    """Words up to an end of line or semicolon outside of braces."""
    current: list[Token] = []
    depth = 0
    for token in found:
        depth = max(0, depth + (token.text == "{") - (token.text == "}"))
        if token.text in ENDS and depth == 0:
            if current:
                yield current
            current = []
        elif current or token.text != "\n":
            current.append(token)
    if current:
        yield current


def _inside(statement: list[Token]) -> list[list[Token]]:
    """Statements between the first brace and its partner; also of a listing that was cut."""
    first = next((at for at, token in enumerate(statement) if token.text == "{"), len(statement))
    inner = statement[first + 1 :]
    if inner and inner[-1].text == "}":
        inner = inner[:-1]
    return list(_statements(inner))


def _top(tables: dict[tuple[str, str], NftTable], words: list[str], statement: list[Token]) -> None:
    if words[0] in ("add", "create"):
        _command(tables, words[1:], statement[1:])
    elif words[0] == "table":
        home = _table(tables, words[1:])
        for inner in _inside(statement):
            _member(home, inner)
    elif words[0] not in ("delete", "flush", "destroy"):
        raise ValueError(words[0])


def _table(tables: dict[tuple[str, str], NftTable], words: list[str]) -> NftTable:
    family, name = (words[0], words[1]) if words[0] in _FAMILIES else ("ip", words[0])
    return tables.setdefault((family, name), NftTable(family, name))


def _command(
    tables: dict[tuple[str, str], NftTable], words: list[str], statement: list[Token]
) -> None:
    """``add rule ip kube-proxy services …``; the family may be left out."""
    kind, *rest = words
    home = _table(tables, rest)
    skip = 2 if rest[0] in _FAMILIES else 1
    body = [token for token in statement if token.text != "\n"][1 + skip :]
    if kind == "rule":
        _add_rule(home, body[0].text, [t.text for t in body[1:]], statement[0].line)
    elif kind == "element":
        name = body[0].text
        add_elements(home.sets.setdefault(name, NftSet(name)), elements(_braced(body)))
    elif kind in ("set", "map", "chain"):
        _member(home, [Token(kind, statement[0].line), *body])
    elif kind != "table":
        raise ValueError(kind)


def _braced(body: list[Token]) -> list[str]:
    """Words between the first brace and the last."""
    words = [token.text for token in body if token.text != "\n"]
    return words[words.index("{") + 1 : len(words) - 1]


def _member(home: NftTable, statement: list[Token]) -> None:
    kind = statement[0].text
    if kind in ("comment", "flags", "counter", "quota", "flowtable", "ct", "limit", "secmark"):
        return
    name = statement[1].text.strip('"')
    if kind == "chain":
        _read_chain(home, name, _inside(statement))
    elif kind in ("set", "map"):
        _read_set(home, kind, name, _inside(statement))
    else:
        raise ValueError(kind)


def _read_chain(home: NftTable, name: str, body: list[list[Token]]) -> None:
    chain = home.chains.setdefault(name, NftChain(name))
    for statement in body:
        words = [token.text for token in statement if token.text != "\n"]
        if words[0] == "type":
            _base(chain, words)
        elif words[0] == "policy":
            chain.policy = words[1]
        elif words[0] != "comment":
            _add_rule(home, name, words, statement[0].line)


def _base(chain: NftChain, words: list[str]) -> None:
    """``type filter hook forward priority filter + 5``."""
    chain.kind, chain.hook = words[1], words[words.index("hook") + 1]
    said = words[words.index("priority") + 1 :]
    named = _PRIORITIES.get(said[0])
    if named is None:
        chain.priority = int(said[0])
        return
    sign = {"+": 1, "-": -1}
    shift = sign[said[1]] * int(said[2]) if len(said) > 2 and said[1] in sign else 0
    chain.priority = named + shift


def _add_rule(home: NftTable, chain: str, words: list[str], line: int) -> None:
    statements, comment = parse_rule(words)
    home.chains.setdefault(chain, NftChain(chain)).rules.append(NftRule(statements, comment, line))


def _read_set(home: NftTable, kind: str, name: str, body: list[list[Token]]) -> None:
    found = home.sets.setdefault(name, NftSet(name))
    found.is_map = kind == "map"
    for statement in body:
        words = [token.text for token in statement]
        if words[0] == "flags":
            found.dynamic = "dynamic" in [part for word in words for part in word.split(",")]
        elif words[0] == "elements":
            add_elements(found, elements(_braced(statement)))
