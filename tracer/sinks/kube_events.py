"""Findings as Kubernetes Events: opt-in, few, and never in the way of the tracing.

The pipeline's thread only puts a finding into a short queue; the session's thread that calls
``poll`` talks to the API server. What the rate does not allow is counted and told.
"""

from __future__ import annotations

import json
import queue
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tracer.clock import rfc3339, wall_ns
from tracer.cluster.api.connection import ApiError, Connection
from tracer.diagnosis.finding import Finding, Severity
from tracer.pipeline import Pipeline, Update
from tracer.plain import harmless, shortened
from tracer.sources import Problem

BURST = 10
EVERY_S = 6.0
"""Seconds for each further Event, once the burst is used up."""
AGAIN_S = 600.0
"""A finding that comes back within this time is no news."""
WAITING = 50
_REMEMBERED = 1000
_NOTE_LENGTH = 1000
_LAST_S = 2.0
_SILENCE_S = 10.0
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)

Key = tuple[object, ...]


class KubeEvents:
    """A sink whose findings are posted by ``poll``; see ``session.StateReader``."""

    def __init__(
        self,
        connection: Callable[[], Connection | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``connection`` gives nothing until the API server has been found."""
        self._connection, self._clock = connection, clock
        self._waiting: queue.Queue[tuple[Finding, str]] = queue.Queue(WAITING)
        self._told: OrderedDict[Key, float] = OrderedDict()
        self._tokens, self._filled_at = float(BURST), clock()
        self._untold = 0
        self._failure = ""
        self.posted = 0

    def write(self, pipeline: Pipeline, update: Update) -> None:
        """Take findings that have opened, from a warning up."""
        for finding in update.opened:
            if finding.severity >= Severity.WARNING and self._is_news(finding):
                try:
                    self._waiting.put_nowait((finding, pipeline.node.node_name))
                except queue.Full:
                    self._untold += 1

    def close(self, pipeline: Pipeline, summary: dict[str, object]) -> None:
        """Post what waits, for a moment."""
        ends_at = self._clock() + _LAST_S
        while not self._waiting.empty() and self._clock() < ends_at:
            self.poll(0.1)

    def poll(self, timeout: float) -> None:
        """Post one Event if there is one, and it is allowed; wait at most so many seconds."""
        connection = self._connection()
        if connection is None or not self._may_post():
            time.sleep(timeout)
            return
        try:
            finding, node = self._waiting.get(timeout=timeout)
        except queue.Empty:
            return
        self._tokens -= 1
        try:
            self._post(connection, finding, node)
        except ApiError as error:
            self._failure = str(error)
            self._untold += 1
        else:
            self._failure = ""
            self.posted += 1

    def problems(self) -> list[Problem]:
        """Findings that nobody was told of, and why."""
        if not self._untold and not self._failure:
            return []
        count = f"{self._untold} findings were not written as Events"
        if self._failure:
            return [
                Problem(count, self._failure, "kubectl apply -k deploy, with components: [events]")
            ]
        return [Problem(count, f"more than {BURST} at once and one each {EVERY_S:.0f} s")]

    def _may_post(self) -> bool:
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._filled_at) / EVERY_S)
        self._filled_at = now
        return self._tokens >= 1

    def _is_news(self, finding: Finding) -> bool:
        key = (finding.cause, *finding.subject.key)
        now = self._clock()
        last = self._told.pop(key, float("-inf"))
        self._told[key] = now
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return now >= last + AGAIN_S

    def _post(self, connection: Connection, finding: Finding, node: str) -> None:
        regarding = regarded(finding, node)
        uid = _uid(connection, regarding)
        event = event_of(finding, regarding | ({"uid": uid} if uid else {}), node, wall_ns())
        namespace = quote(event["metadata"]["namespace"], safe="")
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        connection.post(path, json.dumps(event).encode(), _SILENCE_S)


def regarded(finding: Finding, node: str) -> dict[str, str]:
    """The Service a finding is about; without one, the Node."""
    namespace, _, name = (finding.subject.service or "").partition("/")
    if _NAME.fullmatch(namespace) and _NAME.fullmatch(name):
        return {"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": name}
    about = finding.subject.node or node
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "name": about if _NAME.fullmatch(about) else "unknown",
    }


def event_of(finding: Finding, regarding: dict[str, str], node: str, now_ns: int) -> dict[str, Any]:
    """The object as events.k8s.io/v1 wants it."""
    steps = " ".join(f"{number}. {step}" for number, step in enumerate(finding.remedy, 1))
    text = f"{finding.summary.rstrip('.')}. What to do: {steps}" if steps else finding.summary
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "generateName": "viptrace-",
            # The API wants Events of objects without a namespace in this one.
            "namespace": regarding.get("namespace", "default"),
        },
        "eventTime": f"{rfc3339(now_ns)[:26]}Z",
        "reportingController": "viptrace",
        "reportingInstance": node if _NAME.fullmatch(node) else "viptrace",
        "action": "Traced",
        "reason": "".join(word.capitalize() for word in finding.cause.split("-")),
        "regarding": regarding,
        "note": shortened(harmless(text), _NOTE_LENGTH),
        "type": "Warning",
    }


def _uid(connection: Connection, regarding: dict[str, str]) -> str:
    """What ``kubectl describe`` finds Events by; empty where it cannot be read."""
    name = quote(regarding["name"], safe="")
    namespace = quote(regarding.get("namespace", ""), safe="")
    kind = f"namespaces/{namespace}/services" if namespace else "nodes"
    try:
        answer = connection.get(f"/api/v1/{kind}/{name}", {}, _SILENCE_S)
        try:
            found = json.loads(answer.body())
        finally:
            answer.close()
    except (ApiError, ValueError):
        return ""
    metadata = found.get("metadata") if isinstance(found, dict) else None
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    return uid if isinstance(uid, str) else ""
