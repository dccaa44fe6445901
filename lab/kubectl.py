"""``kubectl`` in the lab: what the API server holds after a command, and what its pods then do."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from lab.objects import Objects, slice_of
from lab.topology import Topology
from tracer.errors import UnableError

VERBS = (
    "patch service",
    "annotate service",
    "delete pod",
    "-n kube-system rollout restart daemonset kube-proxy",
)
"""What it knows; there is no API server behind it."""
_ASKS_FOR_HINTS = (
    "service.kubernetes.io/topology-mode",
    "service.kubernetes.io/topology-aware-hints",
)
_FAMILIES = {"IPv4": ".", "IPv6": ":"}


def answered(command: str, objects: Objects, topology: Topology) -> Objects:
    """The objects afterwards.

    A restart of kube-proxy changes none; a deleted pod is started anew under its name, as a
    StatefulSet's is.
    """
    words = shlex.split(command)
    if words[1] == "delete":
        topology.start_server(f"{_option(words, '-n')}/{words[3]}")
        return objects
    if words[1] not in ("patch", "annotate"):
        return objects
    changed = copy.deepcopy(objects)
    (service,) = (
        item
        for item in changed
        if item["kind"] == "Service"
        and (item["metadata"]["namespace"], item["metadata"]["name"])
        == (_option(words, "-n"), words[3])
    )
    if words[1] == "annotate":
        _annotate(service, words[4:])
    elif "--type=json" in words:
        _patch_steps(service, json.loads(_option(words, "-p")))
    else:
        _merge(service, json.loads(_option(words, "-p")))
    _single_stack(service["spec"])
    _without_hints(service, changed)
    return changed


def _option(words: Sequence[str], name: str) -> str:
    return words[words.index(name) + 1]


def _annotate(target: dict[str, Any], words: Iterable[str]) -> None:
    """``name-`` takes an annotation away; it need not be there."""
    annotations = target["metadata"].setdefault("annotations", {})
    for word in words:
        if word.endswith("-") and not word.startswith("-"):
            annotations.pop(word[:-1], None)


def _single_stack(spec: dict[str, Any]) -> None:
    """The API server takes the addresses of other families back, but never of the first."""
    families = spec.get("ipFamilies", [])
    if spec.get("ipFamilyPolicy") != "SingleStack" or len(families) != 1:
        return
    sign = _FAMILIES[families[0]]
    if sign not in spec["clusterIP"]:
        raise UnableError("spec.ipFamilies[0]: Invalid value: may not change once set")
    spec["clusterIPs"] = [ip for ip in spec["clusterIPs"] if sign in ip]


def _without_hints(service: dict[str, Any], objects: Objects) -> None:
    """The controller takes hints for zones away once nothing asks for them."""
    metadata = service["metadata"]
    asked = any(name in metadata.get("annotations", {}) for name in _ASKS_FOR_HINTS)
    if asked or service["spec"].get("trafficDistribution"):
        return
    for item in objects:
        if slice_of(item, metadata["namespace"], metadata["name"]):
            for entry in item["endpoints"]:
                entry.pop("hints", None)


def _patch_steps(target: dict[str, Any], steps: Iterable[dict[str, Any]]) -> None:
    """JSON patch (RFC 6902), as far as remedies print it: members of objects are removed."""
    for step in steps:
        *way, last = step["path"].strip("/").split("/")
        if step["op"] != "remove":
            raise UnableError(f"the lab's kubectl cannot {step['op']}")
        home = target
        for name in way:
            home = home[name]
        if last not in home:
            raise UnableError(f"the server rejected the patch: no {step['path']} to remove")
        del home[last]


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    """JSON merge patch (RFC 7396), which is a strategic one where lists are of plain values."""
    for name, value in patch.items():
        if isinstance(value, dict):
            _merge(target.setdefault(name, {}), value)
        elif value is None:
            target.pop(name, None)
        else:
            target[name] = value
