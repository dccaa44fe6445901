"""The kernel's five hooks: which chains are run at each, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tracer.node.xtables import NFT
from tracer.path import ipvs
from tracer.path.ground import Ground
from tracer.path.nft_engine import NftBase
from tracer.path.packet import ACCEPT, NEW, NEXT, UNTRACKED, Flight, Outcome
from tracer.path.xt_engine import XtTable

PREROUTING, INPUT, FORWARD = "PREROUTING", "INPUT", "FORWARD"
OUTPUT, POSTROUTING = "OUTPUT", "POSTROUTING"
XT_PLACES = (
    ("raw", -300, (PREROUTING, OUTPUT)),
    ("mangle", -150, (PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING)),
    ("nat", -100, (PREROUTING, OUTPUT)),
    ("filter", 0, (INPUT, FORWARD, OUTPUT)),
    ("security", 50, (INPUT, FORWARD, OUTPUT)),
    ("nat", 100, (INPUT, POSTROUTING)),
)
"""(table, priority, hooks): ``include/uapi/linux/netfilter_ipv4.h``."""
IPVS_PLACES = {INPUT: 99, OUTPUT: -98}
"""``ip_vs_in_hook``: after filter at LOCAL_IN, before it at LOCAL_OUT."""
XT_NAMES = {"raw", "mangle", "nat", "filter", "security"}
CONNTRACK_PRIORITY = -200
_TRANSLATES = {PREROUTING: "dst", OUTPUT: "dst", INPUT: "src", POSTROUTING: "src"}
_Run = Callable[[Flight], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Station:
    """One registered function of a hook."""

    priority: int
    kind: str
    """``filter``, ``nat``, ``route``, ``conntrack`` or ``ipvs``."""
    run: _Run
    owner: str = ""
    """The table it belongs to; empty for the kernel's own."""


class Hooks:
    """Every station of one family, by hook.

    Of equal priorities the kernel takes the newest first (``nf_hook_entries_grow``), and tables
    are listed by age; but of two listings nothing tells which is older: see ``ambiguous``.
    """

    def __init__(self, ground: Ground, *, newest_first: bool = True) -> None:
        self._stations: dict[str, list[Station]] = {name: [] for name in _TRANSLATES}
        self._stations[FORWARD] = []
        self._add_xtables(ground)
        self._add_nft(ground)
        for hook in (PREROUTING, OUTPUT):
            self._stations[hook].append(Station(CONNTRACK_PRIORITY, "conntrack", _tracked))
        for hook, priority in IPVS_PLACES.items():
            run = _ipvs(ground)
            self._stations[hook].append(Station(priority, "ipvs", run))
        for stations in self._stations.values():
            if newest_first:
                stations.reverse()
            stations.sort(key=lambda station: station.priority)

    @property
    def ambiguous(self) -> bool:
        """Whether tables stand at equal priorities."""
        return any(
            first.priority == second.priority and first.owner != second.owner
            for stations in self._stations.values()
            for first, second in pairwise(stations)
            if first.owner and second.owner
        )

    def stations(self, hook: str) -> list[Station]:
        """In the order of their priorities."""
        return self._stations[hook]

    def _add_xtables(self, ground: Ground) -> None:
        for tables in ground.state.xtables:
            if tables.ipv6 != ground.ipv6:
                continue
            for name, priority, hooks in XT_PLACES:
                if name not in tables.tables:
                    continue
                table = XtTable(ground, tables, name)
                for hook in hooks:
                    if table.has(hook):
                        kind = "nat" if name == "nat" else "filter"
                        kind = "route" if (name, hook) == ("mangle", OUTPUT) else kind
                        run, owner = _xt(table, hook), f"{tables.variant} {name}"
                        self._stations[hook].append(Station(priority, kind, run, owner))

    def _add_nft(self, ground: Ground) -> None:
        own = {"ip6" if ground.ipv6 else "ip", "inet"}
        for (family, name), table in ground.state.nft.tables.items():
            if family not in own or (name in XT_NAMES and _shown_by_iptables(ground, family)):
                continue
            for chain in table.chains.values():
                hook = chain.hook.upper()
                if hook in self._stations:
                    base = NftBase(ground, table, chain)
                    kind = chain.kind or "filter"
                    self._stations[hook].append(Station(chain.priority, kind, base.run, base.name))


def _shown_by_iptables(ground: Ground, family: str) -> bool:
    """Whether a table that iptables-nft made was read from iptables-nft itself."""
    return family != "inet" and any(
        tables.ipv6 == ground.ipv6 and tables.variant in (NFT, "")
        for tables in ground.state.xtables
    )


def _xt(table: XtTable, hook: str) -> _Run:
    return lambda flight: table.run(flight, hook)


def _tracked(flight: Flight) -> Iterator[Outcome]:
    """Conntrack looks a packet up, unless raw took it out."""
    yield NEXT, flight if flight.packet.state == UNTRACKED else flight.changed(tracked=True)


def _ipvs(ground: Ground) -> _Run:
    return lambda flight: ipvs.pass_through(ground, flight)


def skipped(station: Station, hook: str, flight: Flight) -> bool:
    """NAT is asked for the first packet of a tracked connection only, once for each side."""
    packet = flight.packet
    if station.kind != "nat":
        return False
    return packet.state != NEW or _TRANSLATES.get(hook, "") in packet.bound


def settled(hook: str, flight: Flight) -> Flight:
    """After a hook that translates, that side of the connection is decided."""
    side = _TRANSLATES.get(hook)
    bound = flight.packet.bound
    return flight.changed(bound=bound | {side}) if side and side not in bound else flight


GOES_ON = {ACCEPT, NEXT}
