"""The acceptance on this kernel: every engine, IP family and backend, a prime number of flows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.compare import Comparison, compare, nameless
from lab.objects import CLUSTERS, read, to_cluster
from lab.proxying import Proxies, WrittenRules
from lab.rules.apply import MODES, Mode
from lab.scenario import drive_all
from lab.scenarios import BY_NAME
from lab.topology import Topology
from lab.tracing import Line, Tracing
from lab.traffic import Exchange, Load
from lab.truth import from_clients, from_conntrack, from_ipvs
from tracer.errors import UnableError

NODE = "worker-1"
ADDRESSES = {4: "10.96.0.10", 6: "fd00:10:96::a"}
BACKENDS = ("bpf", "conntrack")
SETTLE_S = 90.0
FINDING_TIMEOUT_S = 240.0


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the acceptance."""

    mode: Mode
    family: int
    backend: str
    tcp: int = 997
    udp: int = 499

    @property
    def name(self) -> str:
        """For folders and tables."""
        return f"{self.mode}-ipv{self.family}-{self.backend}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one run gave."""

    case: Case
    comparison: Comparison | None
    ready_s: float = 0.0
    traffic_s: float = 0.0
    failure: str = ""

    @property
    def good(self) -> bool:
        """Every tuple equal, no loss, no finding."""
        found = self.comparison
        return found is not None and found.good and not found.findings

    def line(self) -> str:
        """One line of the table."""
        verdict = "ok  " if self.good else "FAIL"
        if self.comparison is None:
            return f"{verdict} {self.case.name:24} {self.failure.splitlines()[0]}"
        found = self.comparison
        return (
            f"{verdict} {self.case.name:24} expected {found.expected:5} "
            f"translations {found.translations:5} equal {found.equal:5} "
            f"lost {sum(found.lost.values()):3} findings {sum(found.findings.values()):2} "
            f"attached in {self.ready_s:5.1f} s, traffic {self.traffic_s:5.1f} s"
        )


def cases(
    modes: Sequence[Mode] = MODES,
    families: Sequence[int] = (4, 6),
    backends: Sequence[str] = BACKENDS,
) -> Iterator[Case]:
    """Every combination."""
    for mode in modes:
        for family in families:
            for backend in backends:
                yield Case(mode, family, backend)


def run_case(
    case: Case,
    folder: Path,
    prefix: str,
    proxies: Proxies | None = None,
    beside: Callable[[Topology], None] | None = None,
    **launched: Any,
) -> Result:
    """A fresh cluster, viptrace on one node, the counted traffic of a pod there, the comparison.

    ``launched``: how viptrace is started, see ``Tracing``; ``beside`` is called when all is over.
    """
    whole = to_cluster(read("default"))
    try:
        only = frozenset({NODE})
        with Topology(whole, prefix, "", proxies or WrittenRules(), only) as topology:
            topology.program(case.mode)
            topology.keep_entries(NODE)
            launched.setdefault("naming", topology.proxies.naming(CLUSTERS / "default.yaml"))
            namespace = topology.namespace(NODE)
            tracing = Tracing(namespace, folder, node=NODE, backend=case.backend, **launched)
            with tracing:
                result = _measured(case, topology, tracing)
            if beside is not None:
                beside(topology)
            return result
    except UnableError as error:
        return Result(case, None, failure=str(error))


def _measured(case: Case, topology: Topology, tracing: Tracing) -> Result:
    load = Load(ADDRESSES[case.family], 80, tcp=case.tcp, udp=case.udp, udp_port=53, timeout_s=30.0)
    started = time.monotonic()
    exchanges = topology.traffic("shell", load)
    traffic_s = time.monotonic() - started
    family = ("-f", f"ipv{case.family}")
    table = topology.run(NODE, "conntrack", "-L", *family)
    ipvs = topology.run(NODE, "ipvsadm", "-Lnc") if case.mode == "ipvs" else ""
    (tracing.folder / "conntrack.txt").write_text(table)
    _settle(tracing, len(exchanges))
    tracing.stop()
    comparison = compare(
        tracing.lines(),
        from_clients(exchanges, topology.cluster),
        from_conntrack(table),
        from_ipvs(ipvs),
    )
    unanswered = _unanswered(exchanges)
    comparison = replace(
        comparison,
        kernel_differs=(*comparison.kernel_differs, *unanswered),
        nameless=nameless(tracing.lines()),
    )
    return Result(case, comparison, tracing.ready_s, traffic_s)


def _unanswered(exchanges: Sequence[Exchange]) -> list[str]:
    return [
        f"{item.protocol} {item.client_ip}:{item.client_port} {item.failure}"
        for item in exchanges
        if item.failure
    ]


def _settle(tracing: Tracing, count: int) -> None:
    """Wait until as many translations are printed as connections were made, or no longer."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        if sum(line["type"] == "translation" for line in tracing.lines()) >= count:
            return
        time.sleep(1.0)


def run_blackhole(backend: str, folder: Path, prefix: str, proxies: Proxies | None = None) -> str:
    """The swallowed peers: found before any flow, named per flow, closed by the recovery.

    One line for the table; UnableError where it is otherwise.
    """
    scenario = BY_NAME["ipvs-external-ip-is-node-ip"]
    cause = scenario.findings[0]
    programmed = scenario.programmed()
    only = frozenset({scenario.node})
    with Topology(programmed, prefix, "", proxies or WrittenRules(), only) as topology:
        scenario.prepare(topology)
        naming = topology.proxies.naming(CLUSTERS / f"{scenario.cluster}.yaml")
        namespace = topology.namespace(scenario.node)
        with Tracing(namespace, folder, naming, scenario.node, backend, ("--updates",)) as tracing:
            wait_for_finding(tracing, cause, "open")
            drive_all(topology, scenario.traffic)
            if backend == "bpf":
                tracing.wait_for(_names_a_flow, FINDING_TIMEOUT_S, "the swallowed connection")
            scenario.heal(topology)
            wait_for_finding(tracing, cause, "closed")
            tracing.stop()
    return (
        f"ok   blackhole-{backend:14} found before any flow, closed by the recovery, "
        f"attached in {tracing.ready_s:5.1f} s"
    )


def _names_a_flow(line: Line) -> bool:
    """Only probes see a local delivery; conntrack alone knows the state, not the flow."""
    return bool(line["type"] == "finding" and line["subject"]["flow"])


def wait_for_finding(tracing: Tracing, cause: str, status: str) -> Line:
    """The first finding of that cause and status, as soon as it is printed."""

    def wanted(line: Line) -> bool:
        return (line["type"], line.get("cause"), line.get("status")) == ("finding", cause, status)

    return tracing.wait_for(wanted, FINDING_TIMEOUT_S, f"{cause}, {status}")
