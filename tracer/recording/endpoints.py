"""Endpoints that changed, Service by Service: a large cluster changes a little all the time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

from tracer.cluster.file import parse
from tracer.cluster.model import Cluster, Endpoint
from tracer.recording.objects import PARTS


def encode_endpoints(cluster: Cluster, before: Cluster) -> dict[str, object]:
    """Services without endpoints now, and the objects of those that have others."""
    now, then = cluster.endpoints_by_service, before.endpoints_by_service
    changed = [found for key, found in now.items() if then.get(key) != found]
    other = Cluster(endpoints=tuple(chain.from_iterable(changed)))
    return {
        "gone": [key for key in then if key not in now],
        "objects": PARTS["endpoints"](other),
    }


def decode_endpoints(said: Mapping[str, Any], before: Cluster) -> tuple[Endpoint, ...]:
    """All endpoints; ValueError, KeyError or TypeError where nothing says so."""
    grouped = dict(before.endpoints_by_service)
    for key in said["gone"]:
        grouped.pop(key, None)
    if said["objects"]:
        listed = json.dumps({"kind": "List", "items": said["objects"]}).encode()
        for key, found in parse(listed, "recording").endpoints_by_service.items():
            grouped.pop(key, None)
            grouped[key] = found
    return tuple(chain.from_iterable(grouped.values()))
