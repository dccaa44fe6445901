"""The cluster's objects from the API server, once: where there is no kubectl, as in a pod."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tracer.cluster.model import Cluster
from tracer.cluster.watch import Choice, ClusterWatch
from tracer.errors import TracerError
from tracer.node.collect import Collector
from tracer.recording.objects import objects_of

PATIENCE_S = 20.0
_WANTED = ("nodes", "services", "endpoints", "pods")


def from_api(choice: Choice | None = None) -> tuple[Cluster | None, str]:
    """The cluster, or None and why there is none; of pods only this node's."""
    collector = Collector()
    watch = ClusterWatch(choice or Choice(called=collector.called), collector.name_in)
    try:
        if not watch.open():
            return None, "no configuration for an API server was found"
        found = _first(watch)
        if found is None:
            told = "; ".join(problem.why for problem in watch.problems())
            return None, told or "the API server did not answer"
        return found, ""
    except TracerError as error:
        return None, f"{error.what} {error.why}"
    finally:
        watch.close()


def _first(watch: ClusterWatch) -> Cluster | None:
    ends_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_at:
        found = watch.poll(0.5)
        if found is not None and "services" in found.known:
            return found
    return None


def write_from_api(directory: Path) -> list[str]:
    """``cluster.json`` out of the API server's answers; what it lacks, and why."""
    found, why = from_api()
    if found is None:
        return [f"cluster.json: {why}"]
    items = [item for listed in objects_of(found).values() for item in listed]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1)
    (directory / "cluster.json").write_text(text)
    return [f"cluster.json: {part} may not be read" for part in _WANTED if part not in found.known]
