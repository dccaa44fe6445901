"""Random tables for ``nft -f``."""

from __future__ import annotations

import random
from dataclasses import dataclass

from lab.differential.universe import MARKS, PODS, PORTS, UPLINK, Universe
from lab.differential.xt_rules import endpoint

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


FAMILIES = ("ip", "ip6", "inet")
CLEARED = "".join(
    f"table {family} {name}\ndelete table {family} {name}\n"
    for family in FAMILIES
    for name in ("first", "second")
)
"""Input that takes back every earlier rule set."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One table while it is written."""

    chance: random.Random
    universe: Universe
    family: str
    shift: int
    """Added to every priority."""

    @property
    def ip(self) -> str:
        """``ip`` or ``ip6``, also in a table of both."""
        return "ip6" if self.universe.ipv6 else "ip"

    @property
    def type(self) -> str:
        """The type of its addresses."""
        return "ipv6_addr" if self.universe.ipv6 else "ipv4_addr"

    @property
    def to(self) -> str:
        """What NAT to an address begins with."""
        return f"{self.ip} to" if self.family == "inet" else "to"

    def sign(self) -> str:
        """Sometimes the opposite."""
        return "!= " if self.chance.random() < 0.25 else ""


def ruleset(chance: random.Random, universe: Universe) -> str:
    """Two tables beside each other, sometimes at equal priorities or of both families."""
    own = "ip6" if universe.ipv6 else "ip"
    shifts = (0, chance.choice((5, 5, 0)))
    tables = (_Table(chance, universe, chance.choice((own, own, "inet")), each) for each in shifts)
    return "".join(_table(t, name) for t, name in zip(tables, ("first", "second"), strict=True))


def _table(table: _Table, name: str) -> str:
    lines = [f"table {table.family} {name} {{", *_sets(table)]
    for base, kind, hook, priority in BASES:
        if table.chance.random() < (0.75 if name == "first" else 0.3):
            lines += _base(table, base, kind, hook, priority + table.shift)
    return "\n".join([*lines, "}", ""])


def _sets(table: _Table) -> list[str]:
    chance, every = table.chance, table.universe.every
    addresses = ", ".join(chance.sample(every, 4))
    networks = ", ".join(chance.sample(table.universe.networks[:3], 2))
    keys = {
        f"{chance.choice(every)} . {chance.choice(('tcp', 'udp'))} . {chance.choice(PORTS)}"
        for _ in range(12)
    }
    verdicts = ", ".join(
        f"{key} : {chance.choice(('drop', 'accept', 'return'))}" for key in sorted(keys)
    )
    return [
        f" set some {{ type {table.type}; elements = {{ {addresses} }}; }}",
        f" set wide {{ type {table.type}; flags interval; elements = {{ {networks} }}; }}",
        f" map verdicts {{ type {table.type} . inet_proto . inet_service : verdict;"
        f" elements = {{ {verdicts} }}; }}",
        f" map marked {{ type mark : verdict; elements = {{ 0x{MARKS[0]:x} : accept }}; }}",
    ]


def _base(table: _Table, name: str, kind: str, hook: str, priority: int) -> list[str]:
    chance, ipv6 = table.chance, table.universe.ipv6
    policy = "drop" if kind == "filter" and priority == 0 and chance.random() < 0.08 else "accept"
    own = f"own-{name}"
    inner = [_rule(table, kind, hook, priority, "") for _ in range(chance.randint(1, 3))]
    rules = [_rule(table, kind, hook, priority, own) for _ in range(chance.randint(1, 4))]
    if table.family == "inet":  # what is for the other family is for nobody here
        rules.append("ip daddr 0.0.0.0/0 drop" if ipv6 else "meta nfproto ipv6 drop")
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


def _rule(table: _Table, kind: str, hook: str, priority: int, own: str) -> str:
    chance = table.chance
    protocol = chance.choice(("", "", "tcp", "udp"))
    parts = [_match(table, hook, protocol) for _ in range(chance.choice((0, 1, 1, 2)))]
    needs = [f"meta l4proto {protocol}"] if protocol else []
    return " ".join(needs + parts + [_action(table, kind, hook, priority, own, protocol)])


def _match(table: _Table, hook: str, protocol: str) -> str:
    chance, universe, ip = table.chance, table.universe, table.ip
    sign, mark = table.sign(), chance.choice(MARKS)
    side = chance.choice(("saddr", "daddr"))
    choices = [
        f"{ip} {side} {sign}{chance.choice(universe.every + universe.networks[:3])}",
        f"{ip} {side} {sign}@some",
        f"{ip} {side} {sign}@wide",
        f"{ip} {side} {sign}{{ {', '.join(chance.sample(universe.every, 3))} }}",
        f"{ip} daddr {'-'.join(universe.pod_range)}",
        f"meta mark & 0x{mark:x} {chance.choice(('==', '!='))} 0x{mark:x}",
        f"ct mark {sign}0x{mark:x}",
        f"ct state {chance.choice(('new', 'established,related', 'new,untracked', 'invalid'))}",
        f"ct status {chance.choice(('dnat', 'snat'))}",
        f"fib {side} type {sign}{chance.choice(('local', 'local', 'unicast'))}",
    ]
    if not protocol:
        choices.append(f"meta l4proto {{ {chance.choice(('tcp', 'udp', 'tcp, udp'))} }}")
    if protocol:
        pair = f"{chance.choice(universe.every)} . {chance.choice(PORTS)}"
        choices += [
            f"{protocol} dport {sign}{chance.choice(PORTS)}",
            f"th dport {sign}{{ 53, 8000-9000 }}",
            f"{protocol} sport 1-{chance.choice((20000, 65535))}",
            f"{ip} daddr . {protocol} dport {{ {pair} }}",
        ]
    if protocol == "tcp":
        choices.append("tcp flags & (syn | ack) == syn")
    if hook in _INCOMING:
        choices.append(f"iifname {sign}{chance.choice((UPLINK, PODS, 'lo'))}")
    if hook in _OUTGOING:
        choices.append(f'oifname {sign}"{chance.choice((UPLINK, PODS, "n*"))}"')
    return chance.choice(choices)


def _action(table: _Table, kind: str, hook: str, priority: int, own: str, protocol: str) -> str:
    mark = table.chance.choice(MARKS)
    choices = ["accept", "return", "counter", f"meta mark set meta mark or 0x{mark:x}",
               f"meta mark set 0x{mark:x}", "continue", "ct mark set meta mark"]  # fmt: skip
    if own:
        choices += [f"jump {own}", f"goto {own}", f"jump {own}"]
    if kind != "nat":
        choices += ["meta mark set ct mark", "meta mark vmap @marked"]
        choices.append(f"{table.ip} daddr . meta l4proto . th dport vmap @verdicts")
    if kind == "filter" and priority >= -150:
        choices += ["drop", "numgen random mod 2 vmap { 0 : accept, 1 : continue }"]
    if kind == "filter" and 0 <= priority <= 5:
        choices += ["reject", _reject(table)]
        choices += ["reject with tcp reset"] if protocol == "tcp" else []
    if -305 < priority < -290:
        choices.append("notrack")
    if kind == "nat":
        choices += _translations(table, hook, protocol) * 3
    return table.chance.choice(choices)


def _reject(table: _Table) -> str:
    code = table.chance.choice(("admin-prohibited", "no-route", "port-unreachable"))
    if table.family == "inet":
        return f"reject with icmpx {code}"
    if table.universe.ipv6:
        return f"reject with icmpv6 {code}"
    return f"reject with icmp {code.replace('no-route', 'host-unreachable')}"


def _translations(table: _Table, hook: str, protocol: str) -> list[str]:
    chance, every = table.chance, table.universe.every
    if hook == "postrouting":
        return ["masquerade", f"snat {table.to} {table.universe.new_sources[1]}"]
    port = chance.choice(PORTS) if protocol else 0
    first, second = chance.sample(every, 2)
    choices = [
        f"dnat {table.to} {endpoint(chance, table.universe, port)}",
        f"dnat {table.to} numgen random mod 2 map {{ 0 : {first}, 1 : {second} }}",
        "redirect",
    ]
    if protocol:
        choices.append(f"redirect to :{port}")
        choices.append(f"dnat {table.to} {protocol} dport map {{ 80 : {first}, 443 : {second} }}")
    return choices
