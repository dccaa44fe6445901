"""A finding's remedy, typed as it is printed, until the traffic goes well again."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from lab.objects import Objects, read, to_cluster
from lab.scenario import Scenario, Traffic, drive_all
from lab.shell import run_in
from lab.topology import Topology
from tracer.errors import UnableError

TOOLS = frozenset(
    {
        *("bridge", "conntrack", "ip", "ip6tables", "iptables", "iptables-legacy"),
        *("iptables-save", "ipvsadm", "modprobe", "nft", "sysctl"),
    }
)
"""What a node has."""
_CHANGES = ("patch service", "-n kube-system rollout restart daemonset kube-proxy")
"""What kubectl does in the lab; there is no API server behind it."""
_REMARK = "   # "


def commands(remedy: Iterable[str]) -> list[str]:
    """The steps that can be typed as they stand, without their remarks.

    On the node, or with kubectl; a sentence may lead to the latter.
    """
    steps = (step.partition(_REMARK)[0] for step in remedy)
    found = (step[at:] if (at := _kubectl_at(step)) >= 0 else step for step in steps)
    return [step for step in found if _can_be_typed(step)]


def _kubectl_at(step: str) -> int:
    return max(step.find(f"kubectl {verb}") for verb in _CHANGES)


def _can_be_typed(step: str) -> bool:
    tool = step.split(maxsplit=1)[0]
    return "<" not in step and (tool in TOOLS or _kubectl_at(step) == 0)


def mend(
    topology: Topology, scenario: Scenario, remedy: Sequence[str], healed: Sequence[Traffic]
) -> tuple[str, ...]:
    """Type step after step until the traffic goes well; those that were typed.

    Where it goes well already (the fault is a danger, not a loss), every step.
    """
    typed: list[str] = []
    objects = scenario.change(read(scenario.cluster))
    broken = not goes_well(topology, healed)
    for step in commands(remedy):
        if _kubectl_at(step) == 0:
            objects = kubectl(step, objects)
            topology.resync(scenario.mode, to_cluster(objects))
        else:
            run_in(topology.namespace(scenario.node), ("sh", "-c", step), check=False)
        typed.append(step)
        if broken and goes_well(topology, healed):
            return tuple(typed)
    if not broken:
        return tuple(typed)
    raise UnableError("the printed remedy does not mend it", "typed: " + " | ".join(typed))


def kubectl(command: str, objects: Objects) -> Objects:
    """What the API server holds after ``kubectl patch service``; a restart changes nothing there.

    Either way kube-proxy writes its rules next.
    """
    words = shlex.split(command)
    if words[1] != "patch":
        return objects
    name, namespace = words[3], words[words.index("-n") + 1]
    patch = json.loads(words[words.index("-p") + 1])
    changed = copy.deepcopy(objects)
    (service,) = (
        item
        for item in changed
        if item["kind"] == "Service"
        and (item["metadata"]["namespace"], item["metadata"]["name"]) == (namespace, name)
    )
    if "--type=json" in words:
        _patch_steps(service, patch)
    else:
        _merge(service, patch)
    return changed


def _patch_steps(target: dict[str, Any], steps: Iterable[dict[str, Any]]) -> None:
    """JSON patch (RFC 6902), as far as remedies print it: members of objects are removed."""
    for step in steps:
        *way, last = step["path"].strip("/").split("/")
        if step["op"] != "remove":
            raise UnableError(f"the lab's kubectl cannot {step['op']}")
        home = target
        for name in way:
            home = home[name]
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


def goes_well(topology: Topology, healed: Sequence[Traffic]) -> bool:
    """Whether all of it goes as the scenario says."""
    try:
        drive_all(topology, healed)
    except UnableError:
        return False
    return True
