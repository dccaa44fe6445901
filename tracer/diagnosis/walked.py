"""Which rule of this node ends a request, by walking it through the node's state."""

from __future__ import annotations

from tracer.address import packed_at
from tracer.diagnosis.rule import Scene
from tracer.errors import InputError
from tracer.path.ask import explain
from tracer.path.packet import Packet, Step

POLICY_CHAINS = ("cali-", "KUBE-NWPLCY-", "KUBE-POD-FW-", "WEAVE-NPC", "CILIUM_", "ANTREA-")
"""Chains in which network plug-ins enforce NetworkPolicies."""
FOREIGN = "foreign-firewall-order"
_ENDED = ("dropped", "rejected")


def foreign_rule(scene: Scene, row: int) -> Step | None:
    """The rule that is not kube-proxy's and ends this row's request; None if there is none.

    None as well where the rules are not known, or the walk ends otherwise.
    """
    if not {"xtables", "nft"} & scene.node.known:
        return None
    flows = scene.table.flows
    packet = Packet(
        int(flows["protocol"][row]),
        packed_at(flows["client"], row),
        packed_at(flows["virtual"], row),
        int(flows["client_port"][row]),
        int(flows["virtual_port"][row]),
    )
    try:
        path = explain(scene.node, scene.cluster, packet).path
    except InputError:
        return None
    ended = path.verdict in _ENDED and path.cause == FOREIGN and bool(path.steps)
    return path.steps[-1] if ended else None


def is_policy(step: Step) -> bool:
    """Whether a network plug-in's policy ended it, not a firewall."""
    return step.chain.startswith(POLICY_CHAINS)
