"""Random tables for ``nft -f``."""

from __future__ import annotations

import random

from lab.differential.universe import EVERY, MARKS, NETWORKS, PODS, PORTS, UPLINK

BASES = (
    ("raw-pre", "filter", "prerouting", -300),
    ("raw-out", "filter", "output", -300),
    ("mangle-pre", "filter", "prerouting", -150),
    ("mangle-out", "route", "output", -150),
    ("pre-dnat", "filter", "prerouting", -110),
    ("nat-pre", "nat", "prerouting", -100),
    ("nat-out", "nat", "output", -100),
    ("filter-in", "filter", "input", 0),
    ("filter-forward", "filter", "forward", 0),
    ("filter-out", "filter", "output", 0),
    ("nat-post", "nat", "postrouting", 100),
    ("mangle-post", "filter", "postrouting", -150),
)
_OUTGOING = {"output", "forward", "postrouting"}
_INCOMING = {"prerouting", "input", "forward"}


def ruleset(chance: random.Random) -> str:
    """Two tables beside each other, at different priorities."""
    return _table(chance, "first", 0) + _table(chance, "second", 5)


def _table(chance: random.Random, name: str, shift: int) -> str:
    lines = [f"table ip {name} {{", *_sets(chance)]
    for base, kind, hook, priority in BASES:
        if chance.random() < (0.75 if shift == 0 else 0.3):
            lines += _base(chance, base, kind, hook, priority + shift)
    return "\n".join([*lines, "}", ""])


def _sets(chance: random.Random) -> list[str]:
    addresses = ", ".join(chance.sample(EVERY, 4))
    networks = ", ".join(chance.sample(NETWORKS[:3], 2))
    keys = {
        f"{chance.choice(EVERY)} . {chance.choice(('tcp', 'udp'))} . {chance.choice(PORTS)}"
        for _ in range(12)
    }
    verdicts = ", ".join(f"{key} : {chance.choice(('drop', 'accept', 'return'))}" for key in keys)
    return [
        f" set some {{ type ipv4_addr; elements = {{ {addresses} }}; }}",
        f" set wide {{ type ipv4_addr; flags interval; elements = {{ {networks} }}; }}",
        " map verdicts { type ipv4_addr . inet_proto . inet_service : verdict;"
        f" elements = {{ {verdicts} }}; }}",
        f" map marked {{ type mark : verdict; elements = {{ 0x{MARKS[0]:x} : accept }}; }}",
    ]


def _base(chance: random.Random, name: str, kind: str, hook: str, priority: int) -> list[str]:
    policy = "drop" if kind == "filter" and priority == 0 and chance.random() < 0.08 else "accept"
    own = f"own-{name}"
    inner = [_rule(chance, kind, hook, priority, "") for _ in range(chance.randint(1, 3))]
    rules = [_rule(chance, kind, hook, priority, own) for _ in range(chance.randint(1, 4))]
    head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
    return [
        f" chain {own} {{",
        *(f"  {rule}" for rule in inner),
        " }",
        f" chain {name} {{",
        f"  {head}",
        *(f"  {rule}" for rule in rules),
        " }",
    ]


def _rule(chance: random.Random, kind: str, hook: str, priority: int, own: str) -> str:
    protocol = chance.choice(("", "", "tcp", "udp"))
    parts = [_match(chance, hook, protocol) for _ in range(chance.choice((0, 1, 1, 2)))]
    needs = [f"meta l4proto {protocol}"] if protocol else []
    return " ".join(needs + parts + [_action(chance, kind, hook, priority, own, protocol)])


def _sign(chance: random.Random) -> str:
    return "!= " if chance.random() < 0.25 else ""


def _match(chance: random.Random, hook: str, protocol: str) -> str:
    sign, mark = _sign(chance), chance.choice(MARKS)
    side = chance.choice(("saddr", "daddr"))
    choices = [
        f"ip {side} {sign}{chance.choice(EVERY + NETWORKS[:3])}",
        f"ip {side} {sign}@some",
        f"ip {side} {sign}@wide",
        f"ip {side} {sign}{{ {', '.join(chance.sample(EVERY, 3))} }}",
        "ip daddr 10.244.1.10-10.244.1.11",
        f"meta mark & 0x{mark:x} {chance.choice(('==', '!='))} 0x{mark:x}",
        f"ct mark {sign}0x{mark:x}",
        f"ct state {chance.choice(('new', 'established,related', 'new,untracked', 'invalid'))}",
        f"ct status {chance.choice(('dnat', 'snat'))}",
        f"fib {side} type {sign}local",
    ]
    if not protocol:
        choices.append(f"meta l4proto {{ {chance.choice(('tcp', 'udp', 'tcp, udp'))} }}")
    if protocol:
        choices += [
            f"{protocol} dport {sign}{chance.choice(PORTS)}",
            f"th dport {sign}{{ 53, 8000-9000 }}",
            f"{protocol} sport 1-{chance.choice((20000, 65535))}",
            f"ip daddr . {protocol} dport {{ {chance.choice(EVERY)} . {chance.choice(PORTS)} }}",
        ]
    if protocol == "tcp":
        choices.append("tcp flags & (syn | ack) == syn")
    if hook in _INCOMING:
        choices.append(f"iifname {sign}{chance.choice((UPLINK, PODS, 'lo'))}")
    if hook in _OUTGOING:
        choices.append(f'oifname {sign}"{chance.choice((UPLINK, PODS, "n*"))}"')
    return chance.choice(choices)


def _action(
    chance: random.Random, kind: str, hook: str, priority: int, own: str, protocol: str
) -> str:
    mark = chance.choice(MARKS)
    choices = ["accept", "return", "counter", f"meta mark set meta mark or 0x{mark:x}",
               f"meta mark set 0x{mark:x}", "continue", "ct mark set meta mark"]  # fmt: skip
    if own:
        choices += [f"jump {own}", f"goto {own}", f"jump {own}"]
    if kind != "nat":
        choices += ["meta mark set ct mark", "meta mark vmap @marked"]
        choices.append("ip daddr . meta l4proto . th dport vmap @verdicts")
    if kind == "filter" and priority >= -150:
        choices += ["drop", "numgen random mod 2 vmap { 0 : accept, 1 : continue }"]
    if kind == "filter" and 0 <= priority <= 5:
        choices += ["reject", "reject with icmp admin-prohibited"]
        choices += ["reject with tcp reset"] if protocol == "tcp" else []
    if -305 < priority < -290:
        choices.append("notrack")
    if kind == "nat":
        choices += _translations(chance, hook, protocol) * 3
    return chance.choice(choices)


def _translations(chance: random.Random, hook: str, protocol: str) -> list[str]:
    if hook == "postrouting":
        return ["masquerade", "snat to 192.0.2.78"]
    port = f":{chance.choice(PORTS)}" if protocol else ""
    first, second = chance.sample(EVERY, 2)
    choices = [
        f"dnat to {chance.choice(EVERY)}{port}",
        f"dnat to numgen random mod 2 map {{ 0 : {first}, 1 : {second} }}",
        "redirect",
    ]
    if protocol:
        choices.append(f"redirect to {port}")
        choices.append(f"dnat to {protocol} dport map {{ 80 : {first}, 443 : {second} }}")
    return choices
