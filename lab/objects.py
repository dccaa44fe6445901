"""Cluster objects as the file has them, changed the way Kubernetes changes them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tracer.cluster.file import parse
from tracer.cluster.model import Cluster

Objects = list[dict[str, Any]]
Change = Callable[[Objects], Objects]
CLUSTERS = Path(__file__).parent / "clusters"


def read(name: str) -> Objects:
    """The objects of ``clusters/<name>.yaml``."""
    document = yaml.safe_load((CLUSTERS / f"{name}.yaml").read_text())
    items: Objects = document["items"]
    return items


def dump(objects: Objects) -> str:
    """The objects as ``kubectl get -o yaml`` prints a List."""
    document = {"apiVersion": "v1", "kind": "List", "items": objects}
    return yaml.safe_dump(document, sort_keys=False, width=100)


def to_cluster(objects: Objects) -> Cluster:
    """What viptrace would read."""
    return parse(dump(objects).encode(), "the lab's cluster")


def unchanged(objects: Objects) -> Objects:
    """No change."""
    return objects


def without_pod(namespace: str, name: str) -> Change:
    """The pod is deleted: it and its endpoints are gone."""

    def change(objects: Objects) -> Objects:
        kept = [item for item in copy.deepcopy(objects) if not _is(item, "Pod", namespace, name)]
        for item in kept:
            if item["kind"] == "EndpointSlice":
                item["endpoints"] = [
                    entry
                    for entry in item["endpoints"]
                    if (entry["targetRef"]["namespace"], entry["targetRef"]["name"])
                    != (namespace, name)
                ]
        return kept

    return change


def with_readiness(namespace: str, name: str, ready: bool, *, terminating: bool = False) -> Change:
    """The pod's readiness probe says so, or it is told to end and answers on: it stays listed."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            for entry in item.get("endpoints", ()):
                target = entry["targetRef"]
                if (target["namespace"], target["name"]) == (namespace, name):
                    serving = ready or terminating
                    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
                    entry["conditions"] = conditions
        return changed

    return change


def with_target_port(namespace: str, name: str, port_name: str, port: int) -> Change:
    """The Service's targetPort is edited: its slices name another port of the same pods."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            labels = item["metadata"].get("labels", {})
            mine = item["metadata"].get("namespace") == namespace
            if mine and labels.get("kubernetes.io/service-name") == name:
                ports = [entry for entry in item["ports"] if entry["name"] == port_name]
                for entry in ports:
                    entry["port"] = port
            if _is(item, "Service", namespace, name):
                for entry in item["spec"]["ports"]:
                    if entry["name"] == port_name:
                        entry["targetPort"] = port
        return changed

    return change


def with_port(namespace: str, name: str, port_name: str, port: int, target: int) -> Change:
    """The Service serves one port more, and so do its slices."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            if _is(item, "Service", namespace, name):
                added = {"name": port_name, "protocol": "TCP", "port": port, "targetPort": target}
                item["spec"]["ports"].append(added)
            if slice_of(item, namespace, name):
                item["ports"].append({"name": port_name, "protocol": "TCP", "port": target})
        return changed

    return change


def with_endpoints(
    namespace: str, name: str, family: str, pods: Mapping[str, str], target: int = 0
) -> Change:
    """The Service has found these pods, by name with address, and they are ready.

    ``target``: the port they serve it on, where it is not the one that the Service names.
    """

    def change(objects: Objects) -> Objects:
        (service,) = (item for item in objects if _is(item, "Service", namespace, name))
        homes = {o["metadata"]["name"]: o["spec"]["nodeName"] for o in objects if _has_node(o)}
        found = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{family.lower()}",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": family,
            "ports": [
                {k: port[k] for k in ("name", "protocol")} | {"port": target or port["targetPort"]}
                for port in service["spec"]["ports"]
            ],
            "endpoints": [_ready(pod, ip, homes[pod]) for pod, ip in pods.items()],
        }
        return [*without_slices(namespace, name, family)(objects), found]

    return change


def _ready(pod: str, ip: str, node: str) -> dict[str, Any]:
    return {
        "addresses": [ip],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": node,
        "targetRef": {"kind": "Pod", "namespace": "default", "name": pod},
    }


def with_source_ranges(namespace: str, name: str, *ranges: str) -> Change:
    """The Service lets in only these networks at its load balancer addresses."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            if _is(item, "Service", namespace, name):
                item["spec"]["loadBalancerSourceRanges"] = list(ranges)
        return changed

    return change


def with_spec(namespace: str, name: str, **fields: object) -> Change:
    """The Service's spec has these fields."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            if _is(item, "Service", namespace, name):
                item["spec"].update(fields)
        return changed

    return change


def without_service(namespace: str, name: str) -> Change:
    """The Service is deleted, and what it found with it."""

    def change(objects: Objects) -> Objects:
        return [
            item
            for item in copy.deepcopy(objects)
            if not (_is(item, "Service", namespace, name) or slice_of(item, namespace, name))
        ]

    return change


def without_slices(namespace: str, name: str, family: str) -> Change:
    """The Service has no EndpointSlice of this address type."""

    def change(objects: Objects) -> Objects:
        return [
            item
            for item in copy.deepcopy(objects)
            if not (slice_of(item, namespace, name) and item["addressType"] == family)
        ]

    return change


def terminating(namespace: str, name: str, pod: str) -> Change:
    """The pod goes and serves no more: still in the Service's slices, but not ready."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            for entry in item["endpoints"] if slice_of(item, namespace, name) else ():
                if entry["targetRef"]["name"] == pod:
                    entry["conditions"] = {"ready": False, "serving": False, "terminating": True}
        return changed

    return change


def with_zones(namespace: str, name: str, hint: str, **zones: str) -> Change:
    """Endpoints kept for a zone, and nodes (``_`` for a dash) with their zones' labels."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            if item["kind"] == "Node":
                zone = zones.get(item["metadata"]["name"].replace("-", "_"), "")
                item["metadata"]["labels"]["topology.kubernetes.io/zone"] = zone
            for entry in item["endpoints"] if slice_of(item, namespace, name) else ():
                entry["hints"] = {"forZones": [{"name": hint}]}
        return changed

    return change


def and_objects(*added: dict[str, Any]) -> Change:
    """These objects exist as well."""

    def change(objects: Objects) -> Objects:
        return [*copy.deepcopy(objects), *copy.deepcopy(added)]

    return change


def renamed_node(name: str, by: str) -> Change:
    """The Node object is called otherwise; EndpointSlices and pods still say the old name."""

    def change(objects: Objects) -> Objects:
        changed = copy.deepcopy(objects)
        for item in changed:
            if _is(item, "Node", "", name):
                item["metadata"]["name"] = by
        return changed

    return change


def all_of(*changes: Change) -> Change:
    """One change after the other."""

    def change(objects: Objects) -> Objects:
        for step in changes:
            objects = step(objects)
        return objects

    return change


def _is(item: dict[str, Any], kind: str, namespace: str, name: str) -> bool:
    metadata = item["metadata"]
    where = metadata.get("namespace") or ""
    return (item["kind"], where, metadata["name"]) == (kind, namespace, name)


def _has_node(item: dict[str, Any]) -> bool:
    return bool(item["kind"] == "Pod" and item["spec"].get("nodeName"))


def slice_of(item: dict[str, Any], namespace: str, name: str) -> bool:
    """Whether an object is an EndpointSlice of that Service."""
    metadata = item["metadata"]
    mine = metadata.get("labels", {}).get("kubernetes.io/service-name") == name
    return bool(item["kind"] == "EndpointSlice" and metadata["namespace"] == namespace and mine)
