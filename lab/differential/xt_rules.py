"""Random rules for ``iptables-restore`` and ``ip6tables-restore``, both variants."""

from __future__ import annotations

import random

from lab.differential.universe import MARKS, PODS, PORTS, UPLINK, Universe

HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
EMPTY = "".join(
    "\n".join([f"*{table}", *(f":{hook} ACCEPT [0:0]" for hook in hooks), "COMMIT", ""])
    for table, hooks in HOOKS.items()
)
"""Input that takes back every earlier rule set."""
OWN_CHAINS = ("ALPHA", "BETA", "GAMMA")
"""Each may jump to the later ones only: the kernel refuses loops."""
_ARRIVING = {"PREROUTING", "INPUT", "FORWARD"}
_LEAVING = {"POSTROUTING", "OUTPUT", "FORWARD"}
_SET_SIDES = {"destinations": "dst", "services": "dst,dst", "ranges": "src", "ports": "dst"}
_REFUSALS = {
    False: ("icmp-port-unreachable", "icmp-admin-prohibited", "icmp-host-prohibited"),
    True: ("icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-no-route"),
}


def ruleset(chance: random.Random, universe: Universe) -> str:
    """All four tables."""
    return "".join(_table(chance, universe, *table) for table in HOOKS.items())


def _table(chance: random.Random, universe: Universe, table: str, hooks: tuple[str, ...]) -> str:
    lines = [f"*{table}"]
    for hook in hooks:
        policy = "DROP" if table == "filter" and chance.random() < 0.1 else "ACCEPT"
        lines.append(f":{hook} {policy} [0:0]")
    # A chain of one's own is entered from one hook only: so its targets fit that hook.
    entered = {name: chance.choice(hooks) for name in OWN_CHAINS}
    lines += [f":{name} - [0:0]" for name in OWN_CHAINS]
    for hook in hooks:
        names = [name for name in OWN_CHAINS if entered[name] == hook]
        for _ in range(chance.randint(0, 4)):
            lines.append(_rule(chance, universe, table, hook, hook, names))
        for at, name in enumerate(names):
            for _ in range(chance.randint(1, 4)):
                lines.append(_rule(chance, universe, table, name, hook, names[at + 1 :]))
    return "\n".join([*lines, "COMMIT", ""])


def _rule(
    chance: random.Random,
    universe: Universe,
    table: str,
    chain: str,
    hook: str,
    jumps: list[str],
) -> str:
    protocol = chance.choice(("", "", "-p tcp", "-p udp"))
    parts = [f"-A {chain}", *_addresses(chance, universe), *_interfaces(chance, hook), protocol]
    parts += _matches(chance, universe, protocol)
    parts.append(_target(chance, universe, table, hook, protocol, jumps, chain))
    return " ".join(part for part in parts if part)


def _not(chance: random.Random) -> str:
    return "! " if chance.random() < 0.25 else ""


def _addresses(chance: random.Random, universe: Universe) -> list[str]:
    return [
        f"{_not(chance)}{option} {chance.choice(universe.every + universe.networks[:3])}"
        for option in ("-s", "-d")
        if chance.random() < 0.35
    ]


def _interfaces(chance: random.Random, hook: str) -> list[str]:
    found = []
    if hook in _ARRIVING and chance.random() < 0.15:
        found.append(f"{_not(chance)}-i {chance.choice((UPLINK, PODS, 'lo', 'n+'))}")
    if hook in _LEAVING and chance.random() < 0.15:
        found.append(f"{_not(chance)}-o {chance.choice((UPLINK, PODS, 'lo', 'n+'))}")
    return found


def _matches(chance: random.Random, universe: Universe, protocol: str) -> list[str]:
    """Up to two, of different kinds: iptables-nft-save prints only one of two ``--dport``."""
    kinds = ["mark", "connmark", "ctstate", "dst-type", "src-type", "set", "statistic", "range"]
    kinds += ["original", "state", "physdev"]
    if protocol:
        kinds += ["port", "ports", "source port"]
    chosen = chance.sample(kinds, chance.choice((0, 0, 1, 1, 2)))
    return [_spelled(chance, universe, kind, protocol.removeprefix("-p ")) for kind in chosen]


def _spelled(chance: random.Random, universe: Universe, kind: str, protocol: str) -> str:
    inverted = _not(chance)
    mark = chance.choice(MARKS)
    first = chance.choice(PORTS)
    name = chance.choice(tuple(universe.sets))
    texts = {
        "mark": f"-m mark {inverted}--mark 0x{mark:x}/0x{chance.choice((mark, 0xFFFFFFFF)):x}",
        "connmark": f"-m connmark {inverted}--mark 0x{mark:x}/0x{mark:x}",
        "ctstate": f"-m conntrack {inverted}--ctstate {_states(chance)}",
        "state": f"-m state {inverted}--state {chance.choice(('NEW', 'NEW,INVALID'))}",
        "original": f"-m conntrack {inverted}--ctorigdst {chance.choice(universe.every)}",
        "dst-type": f"-m addrtype {inverted}--dst-type LOCAL",
        "src-type": f"-m addrtype {inverted}--src-type {chance.choice(('LOCAL', 'UNICAST'))}",
        "set": f"-m set {inverted}--match-set {name} {_SET_SIDES[name.rstrip('6')]}",
        "statistic": "-m statistic --mode random --probability 0.5",
        "range": f"-m iprange {inverted}--dst-range {'-'.join(universe.pod_range)}",
        "physdev": f"-m physdev {inverted}--physdev-is-in",
        "port": f"-m {protocol} {inverted}--dport {first}",
        "source port": f"-m {protocol} {inverted}--sport 1:{chance.choice((20000, 65535))}",
        "ports": f"-m multiport {inverted}--dports {first},9000:9100",
    }
    return texts[kind]


def _states(chance: random.Random) -> str:
    names = chance.sample(("NEW", "DNAT", "SNAT", "UNTRACKED", "ESTABLISHED", "INVALID"), 2)
    return ",".join(names)


def _target(
    chance: random.Random,
    universe: Universe,
    table: str,
    hook: str,
    protocol: str,
    jumps: list[str],
    chain: str,
) -> str:
    if jumps and chance.random() < 0.35:
        return f"{chance.choice(('-j', '-j', '-g'))} {chance.choice(jumps)}"
    if chain in OWN_CHAINS and chance.random() < 0.15:
        return "-j RETURN"
    mark = chance.choice(MARKS)
    choices = ["-j ACCEPT", "-j RETURN" if chain in OWN_CHAINS else "", "-j LOG"]
    if table == "raw":
        choices += ["-j NOTRACK", "-j DROP" if chance.random() < 0.3 else ""]
    elif table == "mangle":
        choices += [f"-j MARK --set-xmark 0x{mark:x}/0x{mark:x}", f"-j MARK --or-mark 0x{mark:x}"]
        choices += [f"-j MARK --xor-mark 0x{mark:x}", "-j CONNMARK --save-mark"]
        choices += ["-j CONNMARK --restore-mark", f"-j CONNMARK --set-mark 0x{mark:x}"]
    elif table == "nat":
        choices += _translations(chance, universe, hook, protocol) * 2
        choices.append(f"-j MARK --or-mark 0x{mark:x}")
    else:
        kinds = _REFUSALS[universe.ipv6] + ("tcp-reset",) * (protocol == "-p tcp")
        choices += ["-j DROP", f"-j REJECT --reject-with {chance.choice(kinds)}"]
    return chance.choice(choices)


def _translations(chance: random.Random, universe: Universe, hook: str, protocol: str) -> list[str]:
    port = chance.choice(PORTS) if protocol else 0
    if hook in ("PREROUTING", "OUTPUT"):
        to_port = f" --to-ports {port}" if port else ""
        return [f"-j DNAT --to-destination {endpoint(chance, universe, port)}"] * 3 + [
            f"-j REDIRECT{to_port}"
        ]
    first, second = universe.new_sources
    if hook == "INPUT":
        return [f"-j SNAT --to-source {first}"]
    return ["-j MASQUERADE", f"-j SNAT --to-source {second}"]


def endpoint(chance: random.Random, universe: Universe, port: int) -> str:
    """A destination to translate to, sometimes the loopback address."""
    ip = universe.loopback if chance.random() < 0.06 else chance.choice(universe.every)
    if not port:
        return ip
    return f"[{ip}]:{port}" if universe.ipv6 else f"{ip}:{port}"
