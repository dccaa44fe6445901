"""kube-proxy itself in the namespace of every node, fed by the lab's API server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from multiprocessing import Pipe
from pathlib import Path

from lab.kernels import Say
from lab.netns import Child, call
from lab.objects import Objects
from lab.proxying import Nodes
from lab.real.access import ADMIN, HOST, PORT_IN_NODES, PROXY, READER, Access
from lab.real.api import Api
from lab.real.keeper import Keeper
from lab.real.relay import relay
from lab.real.releases import cached
from lab.rules.apply import Mode
from lab.rules.plan import node_plan
from tracer.cluster.model import Cluster
from tracer.errors import UnableError

SYNC_TIMEOUT_S = 900.0
"""Under emulation a start takes many times what it takes elsewhere: in ipvs mode minutes."""
POLL_S = 1.5
QUIET_S = 2.5
"""Without a sync for longer than kube-proxy puts one off: all that was told is done."""
METRICS_URL = "http://127.0.0.1:10249/metrics"
FOLLOWED = frozenset({"Service", "EndpointSlice"})
OUTSIDE = Path("/proc/self/ns/net")
_METRIC = re.compile(r"^kubeproxy_sync_proxy_rules_(\w+?)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
LAST, QUEUED = "last_timestamp_seconds", "last_queued_timestamp_seconds"
COUNT, SUM = "duration_seconds_count", "duration_seconds_sum"
FAMILIES = 2
"""Each has its first sync, whatever the node's addresses are; older releases count together."""
PENDING = ("endpoint_changes_pending", "service_changes_pending")

Sync = Mapping[str, tuple[float, ...]]
"""kube-proxy's own figures about its syncs, of every IP family."""


@dataclass
class RealProxies:
    """One release of kube-proxy; may serve one topology after the other."""

    access: Access
    release: str
    say: Say
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="viptrace-lab-")))
    """Logs and configurations."""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
    _relays: list[Child] = field(default_factory=list, repr=False)
    _keeper: Keeper | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Program and release."""
        return f"kube-proxy {self.release}"

    @property
    def keeper(self) -> Keeper:
        """Who writes to the API server."""
        if self._keeper is None:
            self._keeper = Keeper(Api(self.access, ADMIN))
        return self._keeper

    def program(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        """Objects first, then every proxy from nothing."""
        self.keeper.put(cluster)
        self._start_relays(nodes)
        self._start(nodes, mode, cluster)

    def resync(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        """Change the objects and wait for what follows; a proxy with nothing to follow restarts."""
        self._signal(signal.SIGCONT)
        began = time.time()
        touched = self.keeper.put(cluster)
        if not self._running or not touched & FOLLOWED:
            self.stop()
            self._start(nodes, mode, cluster)
        else:
            self._wait(nodes, began)

    def left_behind(self, cluster: Cluster) -> None:
        """Proxies hang while the API server goes on."""
        self._signal(signal.SIGSTOP)
        self.keeper.put(cluster)

    def stop(self) -> None:
        """End every proxy; it leaves its rules."""
        self._signal(signal.SIGCONT)
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def naming(self, cluster: Path) -> tuple[str, ...]:
        """The API server, as the identity that viptrace ships rights for."""
        return ("--kubeconfig", str(self.access.inside_node().kubeconfig(READER, self.folder)))

    @property
    def noise(self) -> str:
        """The nodes' way to the API server."""
        return f"host {HOST} and tcp port {PORT_IN_NODES}"

    def told(self) -> Objects | None:
        """What the API server says now."""
        return self.keeper.told()

    def close(self) -> None:
        """Proxies and relays end."""
        self.stop()
        while self._relays:
            self._relays.pop().stop()

    def _start_relays(self, nodes: Nodes) -> None:
        outside = os.open(OUTSIDE, os.O_RDONLY)
        target = (self.access.host, self.access.port)
        try:
            for namespace in nodes.values():
                here, there = Pipe(duplex=False)
                self._relays.append(Child(namespace, relay, PORT_IN_NODES, target, outside, there))
                there.close()
                if not here.poll(SYNC_TIMEOUT_S):
                    raise UnableError(f"the way to the API server from {namespace} did not open")
                here.recv()
        finally:
            os.close(outside)

    def _start(self, nodes: Nodes, mode: Mode, cluster: Cluster) -> None:
        began = time.time()
        config = self.access.inside_node().kubeconfig(PROXY, self.folder)
        for name, namespace in nodes.items():
            command = proxy_command(cached("kube-proxy", self.release), config, name, mode, cluster)
            with self._log(name).open("wb") as log:
                self._running[name] = subprocess.Popen(
                    ["ip", "netns", "exec", namespace, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        self._wait(nodes, began)
        self.say(f"kube-proxy {self.release}, {mode}: {time.time() - began:.1f} s")

    def _wait(self, nodes: Nodes, since: float) -> None:
        """Until every proxy has synced after ``since`` and has nothing more to do."""
        deadline = time.monotonic() + SYNC_TIMEOUT_S
        for name, namespace in nodes.items():
            while not settled(self._figures(name, namespace), since, time.time()):
                if time.monotonic() > deadline:
                    raise self._failed(name, f"no sync within {SYNC_TIMEOUT_S:.0f} s")
                time.sleep(POLL_S)

    def _figures(self, name: str, namespace: str) -> Sync:
        process = self._running[name]
        if process.poll() is not None:
            raise self._failed(name, f"it ended with status {process.returncode}")
        return figures(call(namespace, _metrics))

    def _failed(self, name: str, why: str) -> UnableError:
        said = self._log(name).read_text(errors="replace")[-2000:]
        return UnableError(f"kube-proxy {self.release} on {name} failed", why, said)

    def _log(self, name: str) -> Path:
        return self.folder / f"kube-proxy-{name}.log"

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(number)


def proxy_command(
    program: Path, config: Path, node: str, mode: Mode, cluster: Cluster
) -> list[str]:
    """A node's kube-proxy; a full sync only when something changes, so that faults stay."""
    ranges = [text for v6 in (False, True) for text in node_plan(cluster, node, v6).pod_ranges]
    return [
        *(str(program), f"--kubeconfig={config}", f"--hostname-override={node}"),
        *(f"--proxy-mode={mode}", f"--cluster-cidr={','.join(ranges)}"),
        *("--conntrack-max-per-core=0", "--conntrack-min=0"),
        *("--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"),
        *("--iptables-sync-period=12h", "--ipvs-sync-period=12h", "--v=2"),
        # As the lab's own rules: balancer addresses are on the LAN, and one node answers for each.
        *(("--ipvs-strict-arp",) if mode == "ipvs" else ()),
    ]


def figures(text: str) -> Sync:
    """kube-proxy's metrics of its syncs, by name."""
    found: dict[str, tuple[float, ...]] = {}
    for name, value in _METRIC.findall(text):
        found[name] = (*found.get(name, ()), float(value))
    return found


def settled(sync: Sync, since: float, now: float) -> bool:
    """Whether it synced after ``since`` (epoch seconds), wants no other, and is quiet.

    A sync that runs now shows nowhere: what it was asked for may be older than the last one's end.
    So quiet is longer than a sync takes, of which the first is the longest.
    """
    synced, queued = sync.get(LAST, ()), sync.get(QUEUED, ())
    first = sum(sync.get(COUNT, ())) < FAMILIES
    if first or not synced or min(synced) <= 0 or max(synced) < since:
        return False
    waiting = sum(sum(sync.get(name, ())) for name in PENDING)
    # Each family by itself: one that is done says nothing of the other, which may have begun.
    ends = synced if len(queued) == len(synced) else (max(synced),) * len(queued)
    done = all(asked <= end for asked, end in zip(queued, ends, strict=True))
    mean = sum(sync.get(SUM, ())) / sum(sync[COUNT])
    return done and not waiting and max(synced) < now - max(QUIET_S, mean)


def _metrics() -> str:
    try:
        with urllib.request.urlopen(METRICS_URL, timeout=30) as answer:
            text: str = answer.read().decode()
            return text
    except (OSError, HTTPException):  # not up yet, or just ending
        return ""
