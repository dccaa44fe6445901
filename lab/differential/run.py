"""What the kernel did with each packet against what the walk says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lab.differential.listing import states
from lab.differential.observe import Observation, Result, lost, observed
from lab.differential.universe import PROTOCOLS, UNIVERSES, Sent
from tracer import address
from tracer.path.answer import RESET, homeless
from tracer.path.ground import Ground
from tracer.path.networks import is_loopback
from tracer.path.packet import DROP, REJECT, UNKNOWN, Packet
from tracer.path.walk import DELIVERED, Ending, Walker


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
    """``count`` rule sets of one engine and family on this kernel; see ``observed``."""
    found = observed(engine, family, seed, range(count), seconds)
    return compared(Report(engine, family, seed), found)


def compared(report: Report, observations: Iterable[Observation]) -> Report:
    """Walk every packet that was observed."""
    universe = UNIVERSES[report.family]
    numbers = set()
    for observation in observations:
        numbers.add(observation.number)
        walkers = [
            Walker(state, ipv6=universe.ipv6) for state in states(observation.listing, universe)
        ]
        for sent, actual in observation.results:
            for walker in walkers:
                _compare(report, observation.number, sent, actual, walker, observation.rules)
    report.rulesets = len(numbers)
    return report


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


def foretold(ending: Ending) -> Result:
    """An ending of the walk in the same form."""
    packet = ending.flight.packet
    if ending.verdict in (DROP, REJECT):
        # A node's own packet without a route is refused by an error code, not by a packet.
        silent = ending.verdict == DROP or ending.flight.how == "ENETUNREACH"
        return lost(DROP) if silent else lost(REJECT, _answer(ending.flight.how))
    device = packet.outgoing if ending.verdict == DELIVERED else ""
    return (ending.verdict, address.text(packet.src), packet.sport, address.text(packet.dst),
            packet.dport, packet.mark, device)  # fmt: skip


def _answer(how: str) -> str:
    """The ICMP code of an answer's name; a reset is one already."""
    if how == RESET:
        return how
    family, _, name = how.partition("-")
    return f"icmp {_CODES[family == 'icmp6'][name]}"


_CODES: Mapping[bool, Mapping[str, int]] = {
    False: {"net-unreachable": 0, "no-route": 0, "host-unreachable": 1, "port-unreachable": 3,
            "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13},
    True: {"no-route": 0, "adm-prohibited": 1, "admin-prohibited": 1, "host-unreachable": 3,
           "addr-unreachable": 3, "port-unreachable": 4},
}  # fmt: skip
"""By whether it is IPv6: RFC 792, RFC 4443 and what nft calls icmpx."""


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
    expected |= {lost(DROP) for ending in endings if _mute(walker.ground, ending)}
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
