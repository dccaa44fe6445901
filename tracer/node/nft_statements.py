"""One rule of ``nft list ruleset`` as the statements that ``nft -j`` would print.

What is not known stays as ``{"unknown": text}``: the walk says so when a packet depends on it.
"""

from __future__ import annotations

from tracer.node.nft_ruleset import Json
from tracer.node.nft_tokens import Words, atom, split

_TRANSPORT = {"tcp", "udp", "sctp", "th", "udplite", "dccp"}
_PAYLOAD = {"ip", "ip6", "icmp", "icmpv6", "ether", "arp", "vlan"} | _TRANSPORT
_META = {
    *("mark", "iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "skuid", "skgid"),
    *("nftrace", "rtclassid", "pkttype", "cpu", "iifgroup", "oifgroup", "cgroup", "l4proto"),
    *("nfproto", "protocol", "priority", "length"),
}
_COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
_MASKS = {"&": "&", "and": "&", "|": "|", "or": "|", "^": "^", "xor": "^"}
_VERDICTS = ("accept", "drop", "return", "continue")
_NAT_FLAGS = ("random", "fully-random", "persistent")
_OPTIONS = ("timeout", "expires", "counter", "comment", "limit", "last", "quota")
"""Words that may follow an element's key."""


def parse_rule(words: list[str]) -> tuple[list[Json], str]:
    """Statements and the comment of a rule."""
    cursor = Words(words)
    statements: list[Json] = []
    comment = ""
    while cursor.left:
        if cursor.took("comment"):
            comment = cursor.take().strip('"')
            continue
        start = cursor.position
        try:
            statement = _statement(cursor)
        except ValueError:
            statements.append({"unknown": " ".join(words[start:])})
            break
        if statement is not None:
            statements.append(statement)
    return statements, comment


def elements(words: list[str]) -> list[Json]:
    """Elements of a set or map between braces."""
    found: list[Json] = []
    for part in split(words, ","):
        key, *value = split(part, ":")
        named = _key(key)
        found.append([named, _value(value[0])] if value else named)
    return found


def _key(words: list[str]) -> Json:
    """A key with its comment; timeouts and counters are left out."""
    cut = next((at for at, word in enumerate(words) if word in _OPTIONS), len(words))
    comment = words.index("comment") if "comment" in words[cut:] else 0
    key = _concat(words[:cut])
    if comment and comment + 1 < len(words):
        return {"elem": {"val": key, "comment": words[comment + 1].strip('"')}}
    return key


def _concat(words: list[str]) -> Json:
    parts = [atom(part[0]) if len(part) == 1 else " ".join(part) for part in split(words, ".")]
    return parts[0] if len(parts) == 1 else {"concat": parts}


def _value(words: list[str]) -> Json:
    if words[0] in ("jump", "goto") and len(words) == 2:
        return {words[0]: {"target": words[1].strip('"')}}
    return {words[0]: None} if words[0] in _VERDICTS else _concat(words)


def _statement(words: Words) -> Json:
    """The next statement; None for one without effect; ValueError if it is not known."""
    word = words.peek()
    if word in _VERDICTS or word == "notrack":
        return {words.take(): None}
    if word in ("jump", "goto"):
        return {words.take(): {"target": words.take().strip('"')}}
    if word == "reject":
        return _reject(words)
    if word in ("masquerade", "snat", "dnat", "redirect"):
        return _translation(words)
    if word in ("counter", "log"):
        _pass_over(words)
        return None
    if word in ("update", "add", "delete") and words.peek(1).startswith("@"):
        operation, name = words.take(), words.take()
        return {"set": {"op": operation, "set": name, "elem": " ".join(words.group())}}
    return _match(words)


def _reject(words: Words) -> Json:
    words.take()
    if not words.took("with"):
        return {"reject": None}
    kind = words.take()
    if kind == "tcp":
        words.take()
        return {"reject": {"type": "tcp reset"}}
    words.took("type")
    return {"reject": {"type": kind, "expr": words.take()}}


def _pass_over(words: Words) -> None:
    """Counters and logs change nothing."""
    if words.take() == "counter":
        if words.took("packets"):
            words.take()
            words.took("bytes")
            words.take()
        else:
            _ = words.took("name") and words.take()
        return
    while words.peek() in ("prefix", "group", "level", "snaplen", "queue-threshold", "flags"):
        words.take()
        words.take()


def _translation(words: Words) -> Json:
    kind = words.take()
    body: dict[str, Json] = {}
    if words.peek() in ("ip", "ip6"):
        body["family"] = words.take()
    if words.took("to"):
        _destination(words, body)
    flags = []
    while words.peek() in _NAT_FLAGS or words.peek() == ",":
        flags.append(words.take())
    if flags:
        body["flags"] = [flag for flag in flags if flag != ","]
    return {kind: body or None}


def _destination(words: Words, body: dict[str, Json]) -> None:
    """``:80``, ``1.2.3.4``, ``1.2.3.4:80``, ``[fd00::1]:80``, or a map's value."""
    word = words.peek()
    if word.startswith(":") and not word.startswith("::"):
        body["port"] = atom(words.take()[1:])
    elif word[:1].isdigit() or word[:1] in "[:" or word.count(":") > 1:
        address, port = _endpoint(words.take())
        body["addr"] = atom(address)
        if port:
            body["port"] = atom(port)
    else:
        key = _operand(words)
        if not words.took("map"):
            raise ValueError(word)
        body["addr"] = {"map": {"key": key, "data": _data(words)}}


def _endpoint(word: str) -> tuple[str, str]:
    if word.startswith("["):
        address, _, port = word[1:].partition("]")
        return address, port.removeprefix(":")
    if word.count(":") > 1:
        return word, ""
    address, _, port = word.partition(":")
    return address, port


def _data(words: Words) -> Json:
    if words.peek() == "{":
        return {"set": elements(words.group())}
    name = words.take()
    if not name.startswith("@"):
        raise ValueError(name)
    return name


def _match(words: Words) -> Json:
    left = _operand(words)
    if words.took("vmap"):
        return {"vmap": {"key": left, "data": _data(words)}}
    if words.took("set"):
        return {"mangle": {"key": left, "value": _assigned(words)}}
    if isinstance(left, dict) and set(left) <= {"numgen"}:
        raise ValueError("numgen without a map")
    operator = words.take() if words.peek() in _COMPARISONS else ""
    right = _right(words)
    if words.peek() == "/":
        words.take()
        left = {"&": [left, _right(words)]}
        operator = operator or "=="
    return {"match": {"op": operator or _implied(left, right), "left": left, "right": right}}


def _implied(left: Json, right: Json) -> str:
    """Without a sign, states and flags are matched by any of their bits."""
    bits = isinstance(left, dict) and "ct" in left
    return "in" if bits and not isinstance(right, dict) else "=="


def _assigned(words: Words) -> Json:
    """What a mark is set to."""
    if words.peek() in _META or words.peek() in ("ct", "meta"):
        return _operand(words)
    value = atom(words.take())
    if not isinstance(value, int):
        raise ValueError(str(value))
    return value


def _right(words: Words) -> Json:
    word = words.peek()
    if word == "{":
        return {"set": elements(words.group())}
    if word == "(":
        words.take()
        inside = []
        while not words.took(")"):
            inside.append(words.take())
        return [atom(flag) for part in inside for flag in part.split("|") if flag]
    first = words.take()
    if first.startswith("@"):
        return first
    found = [atom(first)]
    while words.took(","):
        found.append(atom(words.take()))
    if words.peek() == ".":
        while words.took("."):
            found.append(atom(words.take()))
        return {"concat": found}
    return found if len(found) > 1 else found[0]


def _operand(words: Words) -> Json:
    """A left side: what of the packet is looked at."""
    parts = [_single(words)]
    while words.took("."):
        parts.append(_single(words))
    if len(parts) > 1:
        return {"concat": parts}
    operand = parts[0]
    while words.peek() in _MASKS:
        sign = _MASKS[words.take()]
        operand = {sign: [operand, _right(words)]}
    return operand


def _single(words: Words) -> Json:
    word = words.take()
    if word in _PAYLOAD and words.left:
        return {"payload": {"protocol": word, "field": words.take()}}
    if word == "meta":
        return {"meta": {"key": words.take()}}
    if word in _META:
        return {"meta": {"key": word}}
    if word == "ct":
        direction = words.take() if words.peek() in ("original", "reply") else ""
        family = f"{words.take()} " if words.peek() in ("ip", "ip6") else ""
        ct: dict[str, Json] = {"key": f"{family}{words.take()}"}
        return {"ct": ct | ({"dir": direction} if direction else {})}
    if word == "fib":
        return _fib(words)
    if word == "numgen":
        return _numgen(words)
    raise ValueError(word)


def _fib(words: Words) -> Json:
    flags = [words.take()]
    while words.took("."):
        flags.append(words.take())
    return {"fib": {"result": words.take(), "flags": flags}}


def _numgen(words: Words) -> Json:
    mode = words.take()
    if not words.took("mod"):
        raise ValueError("numgen")
    made: dict[str, Json] = {"mode": mode, "mod": int(words.take()), "offset": 0}
    if words.took("offset"):
        made["offset"] = int(words.take())
    return {"numgen": made}
