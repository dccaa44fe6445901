"""One incident: cluster, mode, fault, traffic, and what viptrace must say about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from lab.objects import Change, read, to_cluster, unchanged
from lab.rules.apply import Mode
from lab.topology import Topology
from lab.traffic import Exchange, Load
from tracer.cluster.model import Cluster
from tracer.errors import UnableError

PATIENCE_S = 30.0
Fault = Callable[[Topology], None]
"""Something done to the cluster, its nodes or its pods."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A load from one place, and how it must go."""

    source: str
    """A node, a pod by its bare name, or ``client``."""
    load: Load
    failures: frozenset[str] = frozenset()
    """Kinds of failure that must be seen, and no others."""
    translated: bool = True
    """Whether its connections are translated, also those that fail then."""
    visible: bool | None = None
    """Whether packets alone show the translation; None: where it is translated.

    What is translated need not leave; and a bridge shows one that conntrack never confirms."""
    meanwhile: Fault | None = None
    """What happens while it runs, ``after_s`` seconds from its beginning."""
    after_s: float = 0.0
    sometimes: frozenset[str] = frozenset()
    """Kinds that may be seen as well: it depends on the moment."""

    @property
    def in_packets(self) -> bool:
        """Whether packets alone show the translation."""
        return self.translated if self.visible is None else self.visible


@dataclass(frozen=True, slots=True)
class Scenario:
    """An incident that can be set up, traced and recorded."""

    name: str
    """Folder name; a scenario that is a cause bears its id."""
    title: str
    cluster: str
    """``clusters/<cluster>.yaml``: what is built, and what kube-proxy last saw."""
    mode: Mode
    node: str
    """Where viptrace runs and packets are captured."""
    traffic: tuple[Traffic, ...]
    findings: tuple[str, ...] = ()
    """Causes that must be found, and no others."""
    change: Change = unchanged
    """From what kube-proxy saw to what Kubernetes says now."""
    fault: Fault | None = None
    """Done after the rules, before tracing."""
    before: tuple[Traffic, ...] = ()
    """Must go well before there are any rules."""
    recovery: Fault | None = None
    """The remedy's steps; afterwards ``healed`` must go well and the finding closes."""
    healed: tuple[Traffic, ...] = ()
    remembered: int = 0
    """Translated connections from before that the node's table still has when tracing begins."""
    late_state: bool = False
    """The node's state is read after the traffic, during which it changes."""
    kernel_only: bool = False
    """Needs IPVS: the VM."""
    translator: str = ""
    """Who translates where somebody is before the mode's own rules; empty: the mode."""
    gateway: str = ""

    @property
    def connections(self) -> int:
        """How many are translated, those from before included."""
        made = (item.load.tcp + item.load.udp for item in self.traffic if item.translated)
        return self.remembered + sum(made)

    def in_mode(self, mode: Mode, **differences: Any) -> Scenario:
        """The same incident with another mode's rules; ``differences``: fields that change."""
        changed = {
            "name": f"{self.name}-{mode}",
            "kernel_only": self.kernel_only or mode == "ipvs",
            **differences,
        }
        return replace(self, mode=mode, **changed)

    def programmed(self) -> Cluster:
        """What kube-proxy saw when it last wrote rules."""
        return to_cluster(read(self.cluster))

    def prepare(self, topology: Topology) -> None:
        """The healthy state, then rules, then the fault, then what no proxy has followed."""
        drive_all(topology, self.before)
        topology.program(self.mode)
        if self.fault:
            self.fault(topology)
        topology.proxies.left_behind(to_cluster(self.change(read(self.cluster))))

    def heal(self, topology: Topology) -> None:
        """The recovery steps, and proof that they mend it; nothing without any."""
        if self.recovery:
            self.recovery(topology)
        drive_all(topology, self.healed)


def drive_all(topology: Topology, traffic: Iterable[Traffic]) -> list[Exchange]:
    """Run each load; UnableError when one goes otherwise than the scenario says."""
    found = []
    for item in traffic:
        exchanges = _drive(topology, patient(item))
        seen = frozenset(exchange.failure for exchange in exchanges if exchange.failure)
        if seen - item.sometimes != item.failures:
            raise UnableError(
                f"traffic from {item.source} to {item.load.ip}:{item.load.port} went wrong",
                f"failures seen: {sorted(seen)}, expected: {sorted(item.failures)}",
            )
        found += exchanges
    return found


def patient(traffic: Traffic) -> Traffic:
    """The same; where nothing may time out, a busy machine has all the time it needs."""
    if "timeout" in traffic.failures | traffic.sometimes:
        return traffic
    load = traffic.load
    return replace(traffic, load=replace(load, timeout_s=max(load.timeout_s, PATIENCE_S)))


def _drive(topology: Topology, traffic: Traffic) -> list[Exchange]:
    """One load, and what happens meanwhile."""
    if traffic.meanwhile is None:
        return topology.traffic(traffic.source, traffic.load)
    with ThreadPoolExecutor(1) as pool:
        driven = pool.submit(topology.traffic, traffic.source, traffic.load)
        time.sleep(traffic.after_s)
        traffic.meanwhile(topology)
        return driven.result()
