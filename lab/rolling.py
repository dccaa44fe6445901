"""A rollout under load: endpoints leave, none is left, they come back, readiness flaps.

Every connection is noted by its client with its time, every change of the slices and of IPVS'
servers with theirs; ``lab.rolled`` holds what viptrace said against that.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from lab.history import History, follow_servers, server_history, whole_lines
from lab.kernels import Say
from lab.netns import Child
from lab.objects import CLUSTERS, Change, all_of, read, to_cluster, with_readiness, without_pod
from lab.proxying import Proxies
from lab.rolled import LOAD, SERVICE, Rollout, Timed, judged
from lab.rules.apply import Mode
from lab.topology import Topology
from lab.tracing import Tracing
from lab.traffic import Exchange, drive

NODE, CLIENT = "worker-1", "shell"
FIRST_PORT, PORTS = 10240, 17000
PODS = ("echo-3", "echo-2", "echo-1")
REST_S = 2.0


def _without(*names: str) -> Change:
    return all_of(*(without_pod("default", name) for name in names))


def _leaving(number: int) -> Iterator[tuple[str, Change]]:
    """A pod is told to end, answers on, and is gone."""
    pod = PODS[number]
    ending = with_readiness("default", pod, False, terminating=True)
    yield f"{pod} terminating", all_of(_without(*PODS[:number]), ending)
    yield f"scale to {2 - number}", _without(*PODS[: number + 1])


STEPS: tuple[tuple[str, Change], ...] = (
    *(step for number in range(3) for step in _leaving(number)),
    *((f"scale to {n + 1}", _without(*PODS[: 2 - n])) for n in range(2)),
    ("scale to 3", all_of()),
    *(
        (f"echo-2 {'ready' if ready else 'not ready'}", with_readiness("default", "echo-2", ready))
        for ready in (False, True, False, True)
    ),
)


def roll(
    mode: Mode, backend: str, folder: Path, prefix: str, proxies: Proxies, say: Say
) -> Rollout:
    """Run it with one sort of proxies."""
    whole = read("default")
    folder.mkdir(parents=True, exist_ok=True)
    noted, served = folder / "connections.ndjson", folder / "servers.ndjson"
    with Topology(to_cluster(whole), prefix, NODE, proxies, frozenset({NODE})) as topology:
        topology.program(mode)
        naming = proxies.naming(CLUSTERS / "default.yaml")
        with Tracing(topology.namespace(NODE), folder, naming, NODE, backend) as tracing:
            history = History(SERVICE)
            history.note(0, topology.cluster)
            history.followed.append(0)
            servers = Child(topology.namespace(NODE), follow_servers, served)
            client = Child(topology.namespace(CLIENT), _keep_connecting, noted)
            try:
                for what, change in STEPS:
                    time.sleep(REST_S)
                    cluster = to_cluster(change(whole))
                    history.note(time.time_ns(), cluster)
                    topology.resync(mode, cluster)
                    history.followed.append(time.time_ns())
                    say(f"{what}: followed in {(time.time_ns() - history.times[-1]) / 1e9:.1f} s")
                time.sleep(REST_S)
            finally:
                client.stop()
                servers.stop()
            time.sleep(REST_S)
            tracing.stop()
            lines = list(tracing.lines())
    return judged(lines, list(timed(noted)), history, server_history(served))


def timed(path: Path) -> Iterable[Timed]:
    """The client's notes; a half-written last line is left out."""
    for line in whole_lines(path):
        values = json.loads(line)
        yield Timed(values.pop("at_ns"), Exchange(**values))


def _keep_connecting(path: Path) -> None:
    """One connection after the other, for ever, each noted; ports come again only late."""
    with path.open("w") as notes:
        for number in itertools.count():
            at_ns = time.time_ns()
            for exchange in drive(replace(LOAD, first_port=FIRST_PORT + number % PORTS)):
                notes.write(json.dumps({**exchange.to_json(), "at_ns": at_ns}) + "\n")
                notes.flush()
