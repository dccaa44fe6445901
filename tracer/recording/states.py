"""Snapshots of node and cluster as payloads: what is the same as before is left out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tracer.cluster.file import parse
from tracer.cluster.model import Cluster
from tracer.node.model import NodeState
from tracer.recording.endpoints import decode_endpoints, encode_endpoints
from tracer.recording.objects import PARTS
from tracer.recording.timeline import decode_timeline, encode_timeline
from tracer.recording.values import decoded_fields, encoded

MAX_STATE_BYTES = 1 << 30
_BY_SERVICE = "endpoints"
"""The part of a cluster of which only what changed is stored."""


@dataclass(frozen=True, slots=True)
class StateAt:
    """A state of the node or of the cluster, and when the run learnt of it."""

    state: NodeState | Cluster
    at_ns: int


def encode_node(node: NodeState, at_ns: int, before: NodeState | None) -> bytes:
    """The fields that differ from those of ``before``."""
    changed = {
        field.name: encoded(getattr(node, field.name))
        for field in fields(node)
        if before is None or getattr(node, field.name) != getattr(before, field.name)
    }
    return _packed({"now_ns": at_ns, "fields": changed})


def decode_node(payload: bytes, before: NodeState) -> StateAt:
    """The state; ValueError, KeyError or TypeError if the payload holds none."""
    said = _unpacked(payload)
    told = decoded_fields(NodeState, said["fields"])
    return StateAt(replace(before, **told), int(said["now_ns"]))


def encode_cluster(cluster: Cluster, at_ns: int, before: Cluster | None) -> bytes:
    """The kinds of objects that differ from those of ``before``."""
    changed = {
        part: make(cluster)
        for part, make in PARTS.items()
        if before is None or (part != _BY_SERVICE and _differ(cluster, before, part))
    }
    said: dict[str, object] = {
        "now_ns": at_ns,
        "generation": cluster.generation,
        "at_ns": cluster.at_ns,
        "unparsed": cluster.unparsed,
        "known": sorted(cluster.known),
        "objects": changed,
    }
    if before is not None and _differ(cluster, before, _BY_SERVICE):
        said["endpoints"] = encode_endpoints(cluster, before)
    return _packed(said | encode_timeline(cluster, before))


def _differ(cluster: Cluster, before: Cluster, part: str) -> bool:
    return bool(getattr(cluster, part) != getattr(before, part))


def decode_cluster(payload: bytes, before: Cluster) -> StateAt:
    """The cluster; ValueError, KeyError or TypeError if the payload holds none."""
    said = _unpacked(payload)
    parts: dict[str, Any] = {}
    for part, items in said["objects"].items():
        if part in PARTS:
            listed = json.dumps({"kind": "List", "items": items}).encode()
            parts[part] = getattr(parse(listed, "recording"), part)
    if "endpoints" in said:
        parts[_BY_SERVICE] = decode_endpoints(said["endpoints"], before)
    cluster = replace(
        before,
        **parts,
        **decode_timeline(said, before),
        generation=int(said["generation"]),
        at_ns=int(said["at_ns"]),
        unparsed=_texts(said["unparsed"]),
        known=frozenset(_texts(said["known"])),
    )
    return StateAt(cluster, int(said["now_ns"]))


def _packed(said: Mapping[str, object]) -> bytes:
    return zlib.compress(json.dumps(said).encode(), 1)


def _unpacked(payload: bytes) -> dict[str, Any]:
    """JSON of any shape: whoever reads a field of another shape raises."""
    try:
        text = zlib.decompressobj().decompress(payload, MAX_STATE_BYTES)
    except zlib.error as error:
        raise ValueError("a state is damaged") from error
    said = json.loads(text)
    if not isinstance(said, dict):
        raise TypeError("a state is a mapping")
    return said


def _texts(listed: Iterable[object]) -> tuple[str, ...]:
    return tuple(map(str, listed))
