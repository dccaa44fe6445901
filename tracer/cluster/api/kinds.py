"""The four kinds that are watched: where they are, what of them is kept, how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tracer.cluster import objects
from tracer.cluster.fields import Fields
from tracer.cluster.model import Node, Pod, Service
from tracer.cluster.objects import EndpointSet

Value = Service | EndpointSet | Pod | Node
Key = tuple[str, str]
"""Namespace and name."""

_METADATA = {"name": None, "namespace": None, "resourceVersion": None}
_LABELLED = _METADATA | {"labels": None}
_PORTS = [{"name": None, "protocol": None, "port": None, "targetPort": None, "nodePort": None}]
_CONTAINERS = [
    {
        "restartPolicy": None,
        "ports": [{"protocol": None, "hostPort": None, "containerPort": None}],
    }
]
_SERVICE_SPEC = {
    **{"type": None, "ports": _PORTS, "clusterIP": None, "clusterIPs": None, "externalIPs": None},
    **{"externalTrafficPolicy": None, "internalTrafficPolicy": None, "healthCheckNodePort": None},
    **{"loadBalancerSourceRanges": None, "selector": None, "externalName": None},
    "trafficDistribution": None,
    **{"sessionAffinity": None, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": None}}},
}
_INGRESS = {"ip": None, "ipMode": None, "hostname": None}
_CONDITIONS = {"ready": None, "serving": None, "terminating": None}
_TARGET = {"kind": None, "namespace": None, "name": None}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    name: str
    """Plural, as in the API and in ``Cluster.known`` (but for slices)."""
    part: str
    """The field of ``Cluster`` it goes to."""
    path: str
    kept: Mapping[str, object]
    """The fields that are decoded: None for a value, a mapping for an object, [mapping] for
    a list of objects. Everything else is skipped unread."""
    read: Callable[[Fields], Value]
    group: str = ""


NODES = Kind(
    "nodes",
    "nodes",
    "/api/v1/nodes",
    {
        "metadata": _LABELLED,
        "spec": {"podCIDR": None, "podCIDRs": None},
        "status": {"addresses": [{"type": None, "address": None}]},
    },
    objects.node,
)
SERVICES = Kind(
    "services",
    "services",
    "/api/v1/services",
    {
        "metadata": _LABELLED,
        "spec": _SERVICE_SPEC,
        "status": {"loadBalancer": {"ingress": [_INGRESS]}},
    },
    objects.service,
)
SLICES = Kind(
    "endpointslices",
    "endpoints",
    "/apis/discovery.k8s.io/v1/endpointslices",
    {
        "metadata": _LABELLED,
        "addressType": None,
        "ports": [{"name": None, "protocol": None, "port": None}],
        "endpoints": [
            {
                **{"addresses": None, "nodeName": None, "conditions": _CONDITIONS},
                **{"targetRef": _TARGET, "hints": {"forZones": [{"name": None}]}},
            }
        ],
    },
    objects.slice_endpoints,
    "discovery.k8s.io",
)
PODS = Kind(
    "pods",
    "pods",
    "/api/v1/pods",
    {
        "metadata": _METADATA,
        "spec": {
            "nodeName": None,
            "hostNetwork": None,
            "containers": _CONTAINERS,
            "initContainers": _CONTAINERS,
        },
        "status": {"phase": None, "podIP": None, "podIPs": [{"ip": None}]},
    },
    objects.pod,
)
KINDS = (NODES, SERVICES, SLICES, PODS)
"""In the order of need: which node this is decides which pods are asked for."""
