"""What the API server and IPVS held, and from when on: a roll-out is judged by both."""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tracer.address import endpoint, text
from tracer.cluster.model import Cluster
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread

PROC = Path("/proc/net/ip_vs")
POLL_S = 0.2
S = 1_000_000_000

Held = TypeVar("Held")
Servers = Mapping[str, Mapping[str, int]]
"""Virtual server (``address:port``) to its real servers and their weights."""


@dataclass
class History:
    """What the API server was told, from when on."""

    service: str
    """Whose clients are driven."""
    times: list[int] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    followed: list[int] = field(default_factory=list)
    """When the proxy had done what the slices said, once for each time."""

    def note(self, at_ns: int, cluster: Cluster) -> None:
        """The API server is told of this now."""
        self.times.append(at_ns)
        self.clusters.append(cluster)

    def between(self, begin_ns: float, end_ns: float) -> Sequence[Cluster]:
        """What held at some moment of that time."""
        return _between(self.times, self.clusters, begin_ns, end_ns)

    def pod_at(self, ip: str) -> str:
        """The pod with that address; empty for none."""
        for cluster in self.clusters:
            for item in cluster.endpoints:
                if text(item.ip) == ip:
                    return item.pod.partition("/")[2]
        return ""

    def away_s(self, pod: str, at_ns: int) -> float | None:
        """For how long the pod had been out of the slices then; None if it was in them."""
        at = bisect_right(self.times, at_ns) - 1
        since = None
        while at >= 0 and pod not in self.pods(self.clusters[at]):
            since, at = self.times[at], at - 1
        return None if since is None else (at_ns - since) / S

    def pods(self, cluster: Cluster) -> frozenset[str]:
        """Who was usable."""
        usable = cluster.usable_endpoints(self.service)
        return frozenset(item.pod.partition("/")[2] for item in usable)

    def spans(self) -> Iterator[tuple[int, int, frozenset[str]]]:
        """What the proxy may go by, and until when: its rules are those of before for a while."""
        ends = [*self.followed[1:], 1 << 63]
        for begin, end, cluster in zip(self.times, ends, self.clusters, strict=True):
            yield begin, end, self.pods(cluster)


@dataclass
class ServerHistory:
    """What IPVS had, from when on; nothing where there is no IPVS."""

    times: list[int] = field(default_factory=list)
    tables: list[Servers] = field(default_factory=list)

    def between(self, begin_ns: float, end_ns: float) -> Sequence[Servers]:
        """What was there at some moment of that time; a reading's change came since the last."""
        return _between(self.times, self.tables, begin_ns - POLL_S * S, end_ns)


def follow_servers(path: Path) -> None:
    """Write down IPVS' servers whenever they differ, for ever: of the namespace it runs in."""
    latest: Servers = {}
    with path.open("w") as notes:
        while True:
            at_ns = time.time_ns()
            if (found := _read()) != latest:
                notes.write(json.dumps({"at_ns": at_ns, "servers": found}) + "\n")
                notes.flush()
                latest = found
            time.sleep(POLL_S)


def server_history(path: Path) -> ServerHistory:
    """What was written down; a half-written last line is left out."""
    history = ServerHistory()
    for line in whole_lines(path):
        values = json.loads(line)
        history.times.append(values["at_ns"])
        history.tables.append(values["servers"])
    return history


def whole_lines(path: Path) -> list[str]:
    """The lines of a file whose writer was killed."""
    told = path.read_text() if path.exists() else ""
    return told[: told.rfind("\n") + 1].splitlines()


def _read() -> Servers:
    try:
        told = PROC.read_text("ascii")
    except FileNotFoundError:
        return {}
    return {
        endpoint(server.ip, server.port): {
            endpoint(ip, port): weight for ip, port, weight in server.backends
        }
        for server in parse_servers(told, Unread(str(PROC)))
    }


def _between(
    times: Sequence[int], held: Sequence[Held], begin_ns: float, end_ns: float
) -> Sequence[Held]:
    first = max(bisect_right(times, begin_ns) - 1, 0)
    return held[first : bisect_right(times, end_ns)]
