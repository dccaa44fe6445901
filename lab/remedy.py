"""A finding's remedy, typed as it is printed, until the traffic goes well again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.scenario import Traffic, drive_all
from lab.shell import run_in
from lab.topology import Topology
from tracer.errors import UnableError

TOOLS = frozenset(
    {
        *("bridge", "conntrack", "ip", "ip6tables", "iptables", "iptables-legacy"),
        *("iptables-save", "ipvsadm", "modprobe", "nft", "sysctl"),
    }
)
"""What a node has; steps with kubectl are for a cluster."""
_REMARK = "   # "


def commands(remedy: Iterable[str]) -> list[str]:
    """The steps that can be typed on a node as they stand, without their remarks."""
    steps = (step.partition(_REMARK)[0] for step in remedy)
    return [step for step in steps if step.split(maxsplit=1)[0] in TOOLS and "<" not in step]


def mend(
    topology: Topology, node: str, remedy: Sequence[str], healed: Sequence[Traffic]
) -> tuple[str, ...]:
    """Type step after step until the traffic goes well; those that were typed.

    Where it goes well already (the fault is a danger, not a loss), every step.
    """
    typed: list[str] = []
    broken = not goes_well(topology, healed)
    for step in commands(remedy):
        run_in(topology.namespace(node), ("sh", "-c", step), check=False)
        typed.append(step)
        if broken and goes_well(topology, healed):
            return tuple(typed)
    if not broken:
        return tuple(typed)
    raise UnableError("the printed remedy does not mend it", "typed: " + " | ".join(typed))


def goes_well(topology: Topology, healed: Sequence[Traffic]) -> bool:
    """Whether all of it goes as the scenario says."""
    try:
        drive_all(topology, healed)
    except UnableError:
        return False
    return True
