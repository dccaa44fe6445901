"""Rule set after rule set: what the kernel did with each packet against what the walk says."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field, replace
from itertools import takewhile

from lab.differential import ipvs_rules, nft_rules, scenery, services, xt_rules
from lab.differential.observer import LEAVING, RECEIVED, TABLE, Observer, Seen
from lab.differential.universe import PROTOCOLS, UNIVERSES, Sent, Universe, packets
from lab.differential.world import World, namespaces, unique_prefix
from lab.netns import call
from lab.shell import run
from tracer import address
from tracer.node import iproute, ipset, iptables, ipvs_servers, nft_json, nft_text, routes
from tracer.node.lines import Unread
from tracer.node.model import NodeState
from tracer.path.answer import homeless
from tracer.path.ground import Ground
from tracer.path.networks import is_loopback
from tracer.path.packet import DROP, REJECT, UNKNOWN, Packet
from tracer.path.walk import DELIVERED, LOCAL, Ending, Walker

NATIVE = ("iptables", "legacy", "mixed", "nft", "services-iptables", "services-nft")
ENGINES = (*NATIVE, "ipvs")
"""``services-…`` and ``ipvs``: what kube-proxy itself programs for random Services."""
PACKETS = 40
"""For each rule set."""
FIRST_PORT = 10_000
MOST_PORTS = 50_000
_VARIANTS = {
    "iptables": ("nft",),
    "legacy": ("legacy",),
    "mixed": ("legacy", "nft"),
    "services-iptables": ("legacy",),
    "ipvs": ("legacy",),
}
Result = tuple[str, str, int | None, str, int, int, str]
"""Verdict, source, destination, mark and interface; only the verdict of what is lost."""


@dataclass
class Report:
    """What came out of a run."""

    engine: str
    family: int
    seed: int
    rulesets: int = 0
    packets: int = 0
    undecided: int = 0
    """Packets for which the walk said that it does not know."""
    reasons: set[str] = field(default_factory=set)
    """Why it did not."""
    verdicts: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The whole report, the first differences in full."""
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.verdicts.items()))
        lines = [
            f"{self.engine} IPv{self.family}: seed {self.seed}, {self.rulesets} rule sets, "
            f"{self.packets} packets: {len(self.differences)} differences, "
            f"{self.undecided} undecided ({counted})"
        ]
        lines += [f"  undecided because of {why}" for why in sorted(self.reasons)[:5]]
        return "\n".join(lines + self.differences[:5])


def run_differential(
    engine: str, family: int, seed: int, count: int, seconds: float = math.inf
) -> Report:
    """``count`` rule sets of one engine and family, in namespaces of their own.

    After so many seconds no further one is begun.
    """
    with namespaces(unique_prefix()) as (node, outside):
        report = Report(engine, family, seed)
        return call(node, _inside, report, count, seconds, node, outside)


def _inside(report: Report, count: int, seconds: float, node: str, outside: str) -> Report:
    deadline = time.monotonic() + seconds
    world = World(node, outside)
    run(["nft", "-f", "-"], TABLE)
    if report.engine == "ipvs":
        ipvs_rules.begin()
    observer = Observer()
    try:
        for number in takewhile(lambda _: time.monotonic() < deadline, range(count)):
            seed = f"{report.engine} {report.family} {report.seed} {number}"
            _one(random.Random(seed), world, observer, report, number)
    finally:
        observer.close()
        world.close()
    return report


def _one(
    chance: random.Random, world: World, observer: Observer, report: Report, number: int
) -> None:
    """Program one rule set, send its packets, compare."""
    universe = UNIVERSES[report.family]
    ways = scenery.change(chance, universe)
    rules = _program(report.engine, universe, chance)
    run(["conntrack", "-F"], check=False)
    # IPVS keeps connections of rule sets that are gone: every packet has a port of its own.
    sent = packets(chance, universe, PACKETS, FIRST_PORT + number * PACKETS % MOST_PORTS)
    report.rulesets += 1
    for part in _parts(report.engine, sent):
        states = _states(report.engine, universe)
        for packet in part:
            world.send(packet)
        seen = list(observer.seen(world.send_last(universe)))
        walkers = [Walker(state, ipv6=universe.ipv6) for state in states]
        for packet in part:
            actual = outcome(packet, seen, world.devices)
            for walker in walkers:
                _compare(report, number, packet, actual, walker, f"{ways}\n{rules}")


def _parts(engine: str, sent: list[Sent]) -> list[list[Sent]]:
    """Affinity of nftables mode is part of the state: the second half finds whom it remembers."""
    middle = len(sent) // 2
    return [sent[:middle], sent[middle:]] if engine == "services-nft" else [sent]


def _program(engine: str, universe: Universe, chance: random.Random) -> str:
    if engine == "ipvs":
        return ipvs_rules.program(chance, universe)
    if engine == "mixed":
        return _mixed(universe, chance)
    if engine == "services-nft":
        return _nft(services.ruleset(chance, "nftables", ipv6=universe.ipv6))
    if engine == "nft":
        rules = nft_rules.ruleset(chance, universe)
        return _nft(nft_rules.CLEARED + rules)
    by_proxy = engine == "services-iptables"
    rules = (
        services.ruleset(chance, "iptables", ipv6=universe.ipv6)
        if by_proxy
        else xt_rules.ruleset(chance, universe)
    )
    (variant,) = _VARIANTS[engine]
    return _xtables(universe, variant, rules)


def _mixed(universe: Universe, chance: random.Random) -> str:
    """Both variants of iptables in use; or one, and what nftables mode left behind."""
    stale = f"table {'ip6' if universe.ipv6 else 'ip'} kube-proxy"
    _nft(f"{stale}\ndelete {stale}\n")
    if chance.random() < 0.5:
        other = _xtables(universe, "nft", xt_rules.ruleset(chance, universe))
        return other + _xtables(universe, "legacy", xt_rules.ruleset(chance, universe))
    _xtables(universe, "nft", xt_rules.EMPTY)
    other = _nft(services.ruleset(chance, "nftables", ipv6=universe.ipv6))
    rules = services.ruleset(chance, "iptables", ipv6=universe.ipv6)
    return other + _xtables(universe, "legacy", rules)


def _nft(rules: str) -> str:
    run(["nft", "-f", "-"], rules)
    return rules


def _xtables(universe: Universe, variant: str, rules: str) -> str:
    run([_tool(universe, variant, "restore")], rules)
    return rules


def _tool(universe: Universe, variant: str, action: str) -> str:
    return f"ip{'6' if universe.ipv6 else ''}tables-{variant}-{action}"


def _states(engine: str, universe: Universe) -> list[NodeState]:
    """The node as the tools show it; nft both as JSON and as text."""
    unread = Unread("listing")
    found = iproute.parse(run(["ip", "-j", "addr"]), unread)
    family = "-6" if universe.ipv6 else "-4"
    listed = run(["ip", family, "-j", "route", "show", "table", "all"])
    base = NodeState(
        addresses=found.addresses,
        masters=found.masters,
        routes=routes.parse_routes(listed, unread),
        policy_rules=tuple(
            replace(rule, ipv6=universe.ipv6)
            for rule in routes.parse_rules(run(["ip", family, "-j", "rule"]), unread)
        ),
        address_sets=ipset.parse(run(["ipset", "save"]), unread),
        sysctls=scenery.sysctls(),
        nft=nft_json.parse(run(["nft", "-j", "list", "ruleset"]), unread),
        known=frozenset({"addresses", "masters", "routes", "policy_rules", "address_sets", "nft",
                         "xtables", "xtables.ip", "xtables.ip6", "sysctls", "virtual_servers"}),
    )  # fmt: skip
    if engine.endswith("nft"):
        text = nft_text.parse(run(["nft", "list", "ruleset"]), unread)
        states = [base, replace(base, nft=text)]
    else:
        saved = "".join(run([_tool(universe, each, "save")]) for each in _VARIANTS[engine])
        states = [replace(base, xtables=iptables.parse(saved, unread, ipv6=universe.ipv6))]
    if engine == "ipvs":
        virtual, marked = ipvs_servers.parse(run(["ipvsadm", "-Sn"]), unread)
        states = [replace(s, virtual_servers=virtual, mark_servers=marked) for s in states]
    if unread.count:
        raise ValueError("\n".join(unread.listed()))
    return states


def asked(sent: Sent) -> Packet:
    """The packet as the walk takes it."""
    return Packet(
        protocol=PROTOCOLS[sent.protocol],
        src=address.parse(sent.src),
        dst=address.parse(sent.dst),
        sport=sent.sport,
        dport=sent.dport,
        incoming=sent.device,
    )


def outcome(sent: Sent, seen: list[Seen], devices: dict[int, str]) -> Result:
    """What the kernel did: the last observer that saw the packet, else whether it was answered."""
    own = [each for each in seen if each.number == sent.number and not each.is_error]
    received = [each for each in own if each.group == RECEIVED and not each.reset]
    left = [each for each in own if each.group == LEAVING and not each.reset]
    for verdict, found in ((LOCAL, received), (DELIVERED, left)):
        if found:
            last = found[-1]
            device = devices.get(last.outgoing, "")
            if verdict == DELIVERED and device == "lo":
                continue  # it was lost on its way back in
            return (verdict, last.src, last.sport, last.dst, last.dport, last.mark,
                    device if verdict == DELIVERED else "")  # fmt: skip
    answered = any(
        each.about == sent.number or (each.reset and each.dport == sent.sport) for each in seen
    )
    return _lost(REJECT if answered else DROP)


def _lost(verdict: str) -> Result:
    return (verdict, "", None, "", 0, 0, "")


def foretold(ending: Ending) -> Result:
    """An ending of the walk in the same form."""
    packet = ending.flight.packet
    if ending.verdict in (DROP, REJECT):
        # A node's own packet without a route is refused by an error code, not by a packet.
        silent = ending.flight.how == "ENETUNREACH"
        return _lost(DROP if silent else ending.verdict)
    device = packet.outgoing if ending.verdict == DELIVERED else ""
    return (ending.verdict, address.text(packet.src), packet.sport, address.text(packet.dst),
            packet.dport, packet.mark, device)  # fmt: skip


def _compare(
    report: Report, number: int, sent: Sent, actual: Result, walker: Walker, rules: str
) -> None:
    endings = walker.walk(asked(sent))
    report.packets += 1
    report.verdicts[actual[0]] = report.verdicts.get(actual[0], 0) + 1
    if any(ending.verdict == UNKNOWN or ending.flight.gaps for ending in endings):
        report.undecided += 1
        report.reasons.update(why for ending in endings for why in ending.flight.gaps)
        return
    expected = {foretold(ending) for ending in endings}
    expected |= {_lost(DROP) for ending in endings if _mute(walker.ground, ending)}
    if actual in expected or any(_same(actual, each) for each in expected):
        return
    first = not report.differences
    report.differences.append(
        f"  rule set {number}: {sent}\n"
        f"   kernel: {actual}\n"
        f"   walk:   {sorted(expected, key=str)}\n"
        + "\n".join(map(_steps, endings[:3]))
        + (f"\n{rules}" if first else "")
    )


def _steps(ending: Ending) -> str:
    told = (f"{s.hook} {s.table} {s.rule} {s.effect}" for s in ending.flight.steps)
    return f"    {ending.verdict}: {' | '.join(told)}"


def _mute(ground: Ground, ending: Ending) -> bool:
    """Refused, but without an answer.

    None may leave from a loopback address, and IPv4 tells few senders that there is no route
    (``ip_error``: one a second, by a limit that all namespaces share).
    """
    flight = ending.flight
    no_route = flight.steps[-1].hook == "routing" and not flight.packet.ipv6
    silent = no_route or is_loopback(flight.packet.dst) or homeless(ground, flight)
    return ending.verdict == REJECT and silent


def _same(actual: Result, expected: Result) -> bool:
    """Equal but for a source port that NAT chooses at random."""
    return expected[2] is None and actual[:2] + actual[3:] == expected[:2] + expected[3:]
