"""Traffic policy Local: which policy a flow falls under, and which node decides."""

from __future__ import annotations

from tracer.cluster.model import Service, ServiceKind
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.subjects import Group, this_node
from tracer.diagnosis.wording import service_word

EXTERNAL = (ServiceKind.NODE_PORT, ServiceKind.EXTERNAL_IP, ServiceKind.LOAD_BALANCER)


def local_policy(service: Service, kind: ServiceKind) -> str:
    """The field that says Local for this kind of address; empty when none does."""
    if kind in EXTERNAL:
        return "externalTrafficPolicy" if service.external_policy == "Local" else ""
    if kind == ServiceKind.CLUSTER_IP and service.internal_policy == "Local":
        return "internalTrafficPolicy"
    return ""


def serving_node(scene: Scene, group: Group) -> str:
    """The node whose rules decide: a NodePort's owner, else the one that is watched."""
    if group.hit is not None and group.hit.kind == ServiceKind.NODE_PORT:
        owner = scene.cluster.node_by_address.get(group.virtual)
        if owner is not None:
            return owner.name
    return this_node(scene)


def policy_remedy(cause: Cause, service: Service, field: str) -> tuple[str, ...]:
    """The steps with this Service's names and health check port."""
    namespace, name = service_word(service.key)
    port = service.health_check_node_port
    return cause.steps(
        namespace=namespace, name=name, field=field, health=f" ({port})" if port else ""
    )
