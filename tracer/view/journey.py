"""The way of one flow, step by step: where it was seen, what was decided, where it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tracer import address, cells
from tracer.cells import Naming
from tracer.detail import Step, Way
from tracer.events import EventRows, Flag, Hook, Protocol
from tracer.flow import ENGINE_NAMES, Leg, Seen, State
from tracer.plain import harmless
from tracer.tunnels import around
from tracer.view.event_sheet import reason_text
from tracer.view.packet_sheet import flag_text
from tracer.view.packet_store import FlowPackets

_DECIDED = {
    Hook.IPVS_NEW: "IPVS: the virtual server chose a backend",
    Hook.NAT_DECIDED: "NAT rule decided",
    Hook.CT_NEW: "conntrack confirmed",
    Hook.LOCAL_IN: "delivered to this machine's own sockets",
    Hook.FORWARD: "forwarded",
}
_FAILED = {
    Hook.IPVS_NO_DEST: "IPVS: no usable real server",
    Hook.IPVS_FAILED: "IPVS could not schedule it",
    Hook.IPVS_NO_ROUTE: "IPVS: no route to the backend",
    Hook.CT_FAILED: "conntrack did not take it",
    Hook.CT_FULL: "conntrack's table was full",
    Hook.ICMP_SENT: "the kernel refused by ICMP",
    Hook.RST_SENT: "the kernel refused by a reset",
    Hook.DROP: "dropped",
}
FUNCTIONS = {
    Hook.IPVS_NEW: ("ip_vs_conn_new",),
    Hook.IPVS_NO_DEST: ("ip_vs_leave",),
    Hook.IPVS_FAILED: ("ip_vs_schedule",),
    Hook.IPVS_NO_ROUTE: ("__ip_vs_get_out_rt", "__ip_vs_get_out_rt_v6"),
    Hook.NAT_DECIDED: ("nf_nat_setup_info",),
    Hook.CT_NEW: ("__nf_conntrack_confirm",),
    Hook.CT_FAILED: ("__nf_conntrack_confirm",),
    Hook.CT_FULL: ("__nf_conntrack_alloc",),
    Hook.LOCAL_IN: ("ip_local_deliver", "ip6_input"),
    Hook.FORWARD: ("ip_forward", "ip6_forward"),
    Hook.ICMP_SENT: ("__icmp_send", "icmp6_send"),
    Hook.RST_SENT: ("tcp_v4_send_reset", "tcp_v6_send_reset"),
    Hook.DROP: ("kfree_skb",),
}
"""Where the kernel decides it: for IPv4, and for IPv6 if that is elsewhere."""
_IPV6 = 10
_ANSWERED = Seen.ANSWER_CLIENT | Seen.ANSWER_BACKEND | Seen.REPLIED
_FAILURES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class _Sight:
    """One thing that was seen at a time."""

    at_ns: int
    rank: int
    """Order of what has the same time."""
    what: str
    addresses: str
    way: Way
    function: str = ""


def journey(
    flow: npt.NDArray[np.void],
    naming: Naming,
    packets: FlowPackets,
    records: EventRows,
    interfaces: Mapping[int, str],
) -> tuple[Step, ...]:
    """The steps of the one row in the array; ``packets`` and ``records`` are its own."""
    sights = [*_packets(packets, interfaces), *_decisions(records, naming)]
    if not any(sight.way is Way.DECIDED for sight in sights) and _is_translated(flow):
        sights.append(_told_by_the_row(flow))
    sights.sort(key=lambda sight: (sight.at_ns, sight.rank))
    began_ns = min([int(flow["first_ns"][0]), *(sight.at_ns for sight in sights)])
    steps = [Step(0, f"client {_named(flow, 'client', naming)}", "", Way.STATION)]
    at_backend = False
    for sight in sights:
        if sight.way is Way.BACK and not at_backend and _is_translated(flow):
            at_backend = True
            steps.append(Step(-1, f"backend {_named(flow, 'backend', naming)}", "", Way.STATION))
        steps.append(
            Step(sight.at_ns - began_ns, sight.what, sight.addresses, sight.way, sight.function)
        )
    return (*steps, _end(flow, naming))


def with_rules(steps: tuple[Step, ...], rules: tuple[str, ...], lost: bool) -> tuple[Step, ...]:
    """The way with the rules at the step that they explain: the decision, or where it ended."""
    wanted = (Way.FAILED,) if lost else (Way.DECIDED,)
    at = next((place for place, step in enumerate(steps) if step.way in wanted), -1)
    if not rules or at < 0:
        return steps
    return (*steps[:at], replace(steps[at], rules=rules), *steps[at + 1 :])


def _packets(packets: FlowPackets, interfaces: Mapping[int, str]) -> Iterator[_Sight]:
    """The first packet of each leg on each interface."""
    seen: set[tuple[int, int]] = set()
    for record, leg in zip(packets.records, packets.legs.tolist(), strict=True):
        number = int(record["ifindex"])
        if (leg, number) not in seen:
            seen.add((leg, number))
            tcp = record["protocol"] == Protocol.TCP
            flags = flag_text(int(record["tcp_flags"])) if tcp else "packet"
            back = leg in (Leg.CLIENT_IN, Leg.BACKEND_IN)
            inside = f", inside {told}" if (told := around(record)) else ""
            yield _Sight(
                int(record["time_ns"]),
                1,
                harmless(f"{interfaces.get(number, f'interface {number}')}: {flags}{inside}"),
                _tuple(record, "src", "dst"),
                Way.BACK if back else Way.OUT,
            )


def _decisions(records: EventRows, naming: Naming) -> Iterator[_Sight]:
    """What the kernel decided, each kind once, and how it failed, a few times."""
    once: set[tuple[int, str]] = set()
    failures = 0
    for record in records[np.argsort(records["time_ns"], kind="stable")]:
        hook, at_ns = int(record["hook"]), int(record["time_ns"])
        reason = harmless(reason_text(record, naming))
        about = f" ({reason})" if reason else ""
        if hook in _FAILED and failures < _FAILURES_SHOWN:
            failures += 1
            told = f"{_FAILED[Hook(hook)]}{about}"
            ends = _tuple(record, "src", "dst")
            yield _Sight(at_ns, 2, told, ends, Way.FAILED, _function(record))
        elif hook in _DECIDED and (hook, reason) not in once:
            once.add((hook, reason))
            after = bool(record["flags"] & Flag.AFTER)
            sides = ("nat_src", "nat_dst") if after else ("src", "dst")
            told = f"{_DECIDED[Hook(hook)]}{about}"
            ends = _tuple(record, *sides)
            yield _Sight(at_ns, 2, told, ends, Way.DECIDED, _function(record))


def _function(record: np.void) -> str:
    names = FUNCTIONS.get(Hook(int(record["hook"])), ("",))
    return names[-1] if int(record["family"]) == _IPV6 else names[0]


def _told_by_the_row(flow: npt.NDArray[np.void]) -> _Sight:
    """The translation, where the record that told of it is not kept any more."""
    engine = ENGINE_NAMES.get(int(flow["engine"][0]), "unknown")
    told = f"translated by {engine}" if engine != "unknown" else "translated"
    at_ns = int(flow["request_ns"][0]) or int(flow["first_ns"][0])
    return _Sight(
        at_ns, 2, told, f"{_point(flow, 'source')} → {_point(flow, 'backend')}", Way.DECIDED
    )


def _end(flow: npt.NDArray[np.void], naming: Naming) -> Step:
    """How it came out."""
    seen, state = int(flow["seen"][0]), int(flow["state"][0])
    request, answer = int(flow["request_ns"][0]), int(flow["answer_ns"][0])
    if state in (State.LOST, State.REFUSED):
        finding = naming.finding(int(flow["explained"][0]))
        cause = f": {harmless(finding.summary)}" if finding else ""
        word = "refused" if state == State.REFUSED else "lost"
        return Step(-1, f"ends here, {word}{cause}", "", Way.FAILED)
    if seen & _ANSWERED:
        after = f" after {(answer - request) / 1e6:.3f} ms" if request and answer > request else ""
        return Step(-1, f"the client has its answer{after}", "", Way.STATION)
    return Step(-1, "no answer has been seen so far", "", Way.OUT)


def _is_translated(flow: npt.NDArray[np.void]) -> bool:
    return bool(cells.redirected(flow)[0] or cells.source_changed(flow)[0])


def _named(flow: npt.NDArray[np.void], side: str, naming: Naming) -> str:
    name = harmless(naming.name(int(flow[f"{side}_name"][0])))
    return f"{name} {_point(flow, side)}".strip()


def _point(flow: npt.NDArray[np.void], side: str) -> str:
    return address.endpoint(flow[side][0].tobytes(), int(flow[f"{side}_port"][0]))


def _tuple(record: np.void, source: str, destination: str) -> str:
    source_text, destination_text = (
        address.endpoint(record[side].tobytes(), int(record[f"{side}_port"]))
        for side in (source, destination)
    )
    return f"{source_text} → {destination_text}"
