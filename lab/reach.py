"""Do the programmed rules really translate? Every kind of address of the default cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.topology import Topology
from lab.traffic import Exchange, Load

PODS = frozenset({"echo-1", "echo-2", "echo-3"})
LOCAL_POD = frozenset({"echo-1"})
NOBODY: frozenset[str] = frozenset()
COUNT = 24
"""Enough that a random choice among three misses one with a chance below 1 in 5,000."""


@dataclass(frozen=True, slots=True)
class Route:
    """From where, to which address, and which pods must answer."""

    what: str
    source: str
    addresses: tuple[str, str]
    """IPv4 and IPv6."""
    tcp: int
    udp: int
    pods: frozenset[str] = PODS
    failure: str = ""
    """How every connection must fail where nobody answers."""


ROUTES = (
    Route("ClusterIP from a pod", "shell", ("10.96.0.10", "fd00:10:96::a"), 80, 53),
    Route("ClusterIP from a node", "worker-1", ("10.96.0.10", "fd00:10:96::a"), 80, 53),
    Route("ClusterIP from outside", "client", ("10.96.0.10", "fd00:10:96::a"), 80, 53),
    Route("ClusterIP from its own pod", "echo-1", ("10.96.0.10", "fd00:10:96::a"), 80, 53),
    Route("NodePort", "client", ("172.18.0.3", "fc00:172:18::3"), 30080, 30053),
    Route("externalIP", "client", ("172.18.0.201", "fc00:172:18::c9"), 80, 53),
    Route("externalIP from a pod", "shell", ("172.18.0.201", "fc00:172:18::c9"), 80, 53),
    Route("LoadBalancer, Local", "client", ("172.18.0.210", "fc00:172:18::d2"), 80, 53, LOCAL_POD),
    Route("NodePort, Local", "client", ("172.18.0.3", "fc00:172:18::3"), 30081, 30054, LOCAL_POD),
    Route("no endpoints", "shell", ("10.96.0.30", "fd00:10:96::1e"), 80, 53, NOBODY, "refused"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one route gave in one family."""

    route: Route
    ip: str
    exchanges: tuple[Exchange, ...]

    @property
    def answered_by(self) -> frozenset[str]:
        """Pods that answered."""
        return frozenset(item.answered_by for item in self.exchanges if item.answered_by)

    @property
    def failures(self) -> frozenset[str]:
        """Kinds of failure seen."""
        return frozenset(item.failure for item in self.exchanges if item.failure)

    @property
    def good(self) -> bool:
        """Exactly the expected pods answered, or exactly the expected failure happened."""
        wanted = frozenset({self.route.failure}) if self.route.failure else NOBODY
        return self.answered_by == self.route.pods and self.failures == wanted

    def line(self) -> str:
        """One line of a table."""
        verdict = "ok  " if self.good else "FAIL"
        sources = sorted({item.seen_ip for item in self.exchanges if item.seen_ip})
        return (
            f"{verdict} {self.route.what:28} {self.ip:18} {len(self.exchanges):4} "
            f"{', '.join(sorted(self.answered_by | self.failures)):28} seen as {', '.join(sources)}"
        )


def try_all(topology: Topology, count: int = COUNT) -> Iterable[Outcome]:
    """Every route in both families, one after another."""
    for route in ROUTES:
        for ip in route.addresses:
            few = 3 if route.failure else count
            load = Load(ip, route.tcp, tcp=few, udp=few, udp_port=route.udp)
            yield Outcome(route, ip, tuple(topology.traffic(route.source, load)))
