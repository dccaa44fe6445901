"""A fault, its finding, the printed remedy followed, the traffic well, the finding closed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TypeVar

from lab.judge import is_fallback
from lab.netns import enter
from lab.objects import Objects, dump, read
from lab.remedied import ALONE, BY_HAND, SAYS, healed
from lab.remedy import Operator, mend
from lab.scenario import Scenario, drive_all
from lab.scenarios import BY_NAME
from lab.topology import Topology
from lab.tracing import Tracing
from tests.api_server import PATHS, ApiServer, State
from tests.tracer.cluster.api.made import kubeconfig
from tracer.errors import UnableError

PATIENCE_S = 900.0 if "LAB_VM" in os.environ else 300.0
"""For a finding to open or close: some wait a minute of quiet, and machines may be busy.

Rules are listed again after a hundred times as long as it took, and emulation makes that minutes.
"""
Server = TypeVar("Server")
QUIET_S = 30.0
SETTLED_S = 5.0
"""For findings that were said early to be taken back; none of them closes by quiet so soon."""
KINDS = {single: kind for kind, single, _ in PATHS.values()}


@dataclass(frozen=True)
class Followed:
    """What one run gave."""

    found: tuple[str, ...]
    """Causes of findings that follow from no other, when the scenario's own were there."""
    followed: tuple[str, ...]
    """What was typed or done, step by step; then its finding, and all others, closed."""
    seconds: float


def follow(name: str, folder: Path, prefix: str, backend: str) -> Followed:
    """Break it, wait for the finding, follow its remedy, wait until the finding closes.

    Probes hear drops of every namespace: while something is broken, nothing else may be.
    """
    began = time.monotonic()
    folder.mkdir(parents=True)
    scenario = BY_NAME[name]
    told = scenario.change(read(scenario.cluster))
    with Topology(scenario.programmed(), prefix) as topology, machine_as_it_was(scenario, topology):
        topology.keep_entries(scenario.node)
        scenario.prepare(topology)
        namespace = topology.namespace(scenario.node)
        known = any(node.name == scenario.node for node in topology.cluster.nodes)
        with (
            ExitStack() as turn,
            api_server(namespace, told) as (state, port),
            mode_told(namespace, scenario.mode),
        ):
            naming = _naming(scenario, folder, port)
            node = scenario.node if known else ""
            tracing = Tracing(namespace, folder, naming, node, backend)
            turn.enter_context(one_after_the_other(folder.parent, backend))
            with tracing:
                operator = Operator(topology, scenario, told, lambda new: publish(state, new))
                drive_all(topology, scenario.traffic)
                opened = [
                    tracing.wait_for(_said(cause), PATIENCE_S, f"{cause}, open")
                    for cause in scenario.findings
                ]
                found = _settled(tracing)
                steps = _followed(scenario, operator, opened)
                turn.close()
                for cause in scenario.findings:
                    _wait_closed(tracing, cause, operator)
                tracing.stop()
    return Followed(tuple(sorted(found)), steps, time.monotonic() - began)


def _naming(scenario: Scenario, folder: Path, port: int) -> tuple[str, str]:
    """From the API server, where the incident leaves a way to it."""
    if scenario.name not in ALONE:
        return "--kubeconfig", str(kubeconfig(folder, port))
    path = folder / "cluster.yaml"
    path.write_text(dump(scenario.change(read(scenario.cluster))))
    return "--cluster", str(path)


@contextmanager
def machine_as_it_was(scenario: Scenario, topology: Topology) -> Iterator[None]:
    """Nothing that all namespaces share stays broken, however it ends."""
    try:
        yield
    finally:
        if scenario.name in ALONE and scenario.recovery:
            scenario.recovery(topology)


@contextmanager
def one_after_the_other(folder: Path, backend: str) -> Iterator[None]:
    """One process at a time; those whose namespace's own conntrack tells all need not wait."""
    with (folder / "turn").open("w") as file:
        if backend == "bpf":
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # servers that were started meanwhile have it too


def kept(results: Path, name: str, folder: Path, prefix: str, backend: str) -> Followed:
    """The same; a line of ``remedies.ndjson`` says how it went as soon as it ends.

    What viptrace printed lies beside it.
    """
    outcome: dict[str, object] = {"name": name}
    try:
        run = follow(name, folder, prefix, backend)
        outcome |= asdict(run)
    except Exception as error:
        outcome["failed"] = str(error)
        raise
    finally:
        shutil.copytree(folder, results / name, dirs_exist_ok=True)
        with (results / "remedies.ndjson").open("a") as log:
            log.write(json.dumps(outcome) + "\n")
    return run


def _followed(scenario: Scenario, operator: Operator, opened: list[dict]) -> tuple[str, ...]:
    """The first cause's remedy alone: it is the root, where there are several."""
    operator.by_hand = BY_HAND.get(scenario.findings[0], {})
    return mend(operator, opened[0]["remedy"], healed(scenario))


def _said(cause: str) -> Callable[[dict], bool]:
    """Open, with a remedy that says what it must."""
    opened, must = _of(cause, "open"), SAYS.get(cause, "")
    return lambda line: opened(line) and any(must in step for step in line["remedy"])


def _of(cause: str, status: str) -> Callable[[dict], bool]:
    return lambda line: (
        (line["type"], line.get("cause"), line.get("status")) == ("finding", cause, status)
    )


def _wait_closed(tracing: Tracing, cause: str, operator: Operator) -> None:
    """Clients go on meanwhile: a finding closes when later requests are answered."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            tracing.wait_for(_of(cause, "closed"), QUIET_S, f"{cause}, closed")
            return
        except UnableError:
            if time.monotonic() > deadline:
                raise
        drive_all(operator.topology, healed(operator.scenario))


def _settled(tracing: Tracing) -> set[str]:
    """What stands when no fallback does, or soon after: a named cause takes its place.

    The last flow's own evidence may still be on its way when the first one has its finding.
    """
    deadline = time.monotonic() + SETTLED_S
    while any(map(is_fallback, found := _open(tracing))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _open(tracing: Tracing) -> set[str]:
    last = {(e["cause"], str(e["subject"])): e for e in tracing.lines() if e["type"] == "finding"}
    return {
        line["cause"]
        for line in last.values()
        if not line["consequence_of"]
        and not (line["status"] == "closed" and is_fallback(line["cause"]))
    }


@contextmanager
def api_server(namespace: str, objects: Objects) -> Iterator[tuple[State, int]]:
    """An API server on the loopback address of a network namespace."""
    state = State()
    publish(state, objects)
    server = inside(namespace, lambda: ApiServer(state))
    try:
        yield state, server.port
    finally:
        server.close()


@contextmanager
def mode_told(namespace: str, mode: str) -> Iterator[None]:
    """kube-proxy's own word of its mode, where it gives it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(mode.encode())

        def log_message(self, *args) -> None:
            pass

    server = inside(namespace, lambda: HTTPServer(("127.0.0.1", 10249), Handler))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def inside(namespace: str, made: Callable[[], Server]) -> Server:
    """What is made in a namespace; its sockets stay there, and only a thread goes there."""

    def work() -> Server:
        enter(namespace)
        return made()

    with ThreadPoolExecutor(1) as there:
        return there.submit(work).result()


def publish(state: State, objects: Objects) -> None:
    """Let the API server hold these objects and no others."""
    wanted = {(item["kind"], _key(item)): item for item in objects}
    for single, kind in KINDS.items():
        for key in list(state.objects.get(kind, {})):
            if (single, key) not in wanted:
                state.drop(kind, key[1], key[0])
    for (single, key), item in wanted.items():
        made = json.loads(json.dumps(item))
        held = state.objects.get(KINDS[single], {}).get(key)
        if held is None or _plain(held) != _plain(made):
            state.put(KINDS[single], made)


def _key(item: dict) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _plain(item: dict) -> dict:
    return item | {"metadata": {**item["metadata"], "resourceVersion": ""}}
