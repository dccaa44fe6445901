"""Snapshots of node and cluster as payloads: what is the same as before is left out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tracer import address
from tracer.cluster.file import parse
from tracer.cluster.model import Cluster
from tracer.node.model import InterfaceAddress, NodeState, VirtualServer
from tracer.recording.objects import PARTS

MAX_STATE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class StateAt:
    """A state of the node or of the cluster, and when the run learnt of it."""

    state: NodeState | Cluster
    at_ns: int


def encode_node(node: NodeState, at_ns: int, before: NodeState | None) -> bytes:
    """The fields that differ from those of ``before``."""
    changed = {
        field.name: _NODE[field.name][0](getattr(node, field.name))
        for field in fields(node)
        if before is None or getattr(node, field.name) != getattr(before, field.name)
    }
    return _packed({"now_ns": at_ns, "fields": changed})


def decode_node(payload: bytes, before: NodeState) -> StateAt:
    """The state; ValueError, KeyError or TypeError if the payload holds none."""
    said = _unpacked(payload)
    known = {name: value for name, value in said["fields"].items() if name in _NODE}
    made = {name: _NODE[name][1](value) for name, value in known.items()}
    return StateAt(replace(before, **made), int(said["now_ns"]))


def encode_cluster(cluster: Cluster, at_ns: int, before: Cluster | None) -> bytes:
    """The kinds of objects that differ from those of ``before``."""
    changed = {
        part: make(cluster)
        for part, make in PARTS.items()
        if before is None or getattr(cluster, part) != getattr(before, part)
    }
    said = {
        "now_ns": at_ns,
        "generation": cluster.generation,
        "at_ns": cluster.at_ns,
        "unparsed": cluster.unparsed,
        "known": sorted(cluster.known),
        "objects": changed,
    }
    return _packed(said)


def decode_cluster(payload: bytes, before: Cluster) -> StateAt:
    """The cluster; ValueError, KeyError or TypeError if the payload holds none."""
    said = _unpacked(payload)
    parts: dict[str, Any] = {}
    for part, items in said["objects"].items():
        if part in PARTS:
            listed = json.dumps({"kind": "List", "items": items}).encode()
            parts[part] = getattr(parse(listed, "recording"), part)
    cluster = replace(
        before,
        **parts,
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


def _address(entry: InterfaceAddress) -> list[object]:
    return [entry.interface, address.text(entry.ip), entry.prefix]


def _server(server: VirtualServer) -> list[object]:
    backends = [[address.text(ip), port, weight] for ip, port, weight in server.backends]
    ip = address.text(server.ip)
    return [server.protocol, ip, server.port, server.scheduler, backends]


def _read_server(said: list[Any]) -> VirtualServer:
    protocol, ip, port, scheduler, backends = said
    return VirtualServer(
        int(protocol),
        address.parse(ip),
        int(port),
        str(scheduler),
        tuple((address.parse(i), int(p), int(w)) for i, p, w in backends),
    )


_Codec = tuple[Callable[[Any], object], Callable[[Any], Any]]
_NODE: Mapping[str, _Codec] = {
    "addresses": (
        lambda listed: list(map(_address, listed)),
        lambda said: tuple(InterfaceAddress(str(n), address.parse(i), int(p)) for n, i, p in said),
    ),
    "interfaces": (
        dict,
        lambda said: {int(number): str(name) for number, name in said.items()},
    ),
    "virtual_servers": (
        lambda listed: list(map(_server, listed)),
        lambda said: tuple(map(_read_server, said)),
    ),
    "sysctls": (dict, lambda said: {str(name): str(value) for name, value in said.items()}),
    "proxy_mode": (str, str),
    "node_name": (str, str),
    "netns": (int, int),
    "at_ns": (int, int),
    "known": (sorted, lambda said: frozenset(_texts(said))),
    "unparsed": (list, _texts),
}
"""How each field of a node's state is written and read."""
