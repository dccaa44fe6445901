"""Which cause of the catalogue a rule's refusal stands for."""

from __future__ import annotations

from tracer.path.packet import Flight

BY_COMMENT = (
    ("has no local endpoints", "no-local-endpoint-drop"),
    ("has no endpoints", "svc-no-endpoints"),
    ("traffic not accepted by KUBE-FW-", "lb-source-ranges-drop"),
    ("block incoming localnet connections", "nodeport-localhost"),
)
BY_CHAIN = (
    ("KUBE-FORWARD", "conntrack-invalid-drop"),
    ("KUBE-PROXY-FIREWALL", "lb-source-ranges-drop"),
    ("KUBE-SOURCE-RANGES-FIREWALL", "lb-source-ranges-drop"),
    ("KUBE-IPVS-OUT-FILTER", "lb-source-ranges-node"),
    ("KUBE-IPVS-FILTER", "vip-port-not-served"),
)
FOREIGN = "foreign-firewall-order"


def cause_of(chain: str, comment: str, flight: Flight) -> str:
    """By kube-proxy's own comments, then by its chains; anything else is somebody else's rule."""
    for part, cause in BY_COMMENT:
        if part in comment:
            return cause
    for name, cause in BY_CHAIN:
        if chain == name:
            return cause
    return FOREIGN
