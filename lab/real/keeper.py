"""The lab as kubelet and endpoint controller: the API server holds what a cluster value says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lab.objects import Objects
from lab.real.api import Api
from tracer.cluster.model import Cluster
from tracer.recording.objects import objects_of

NAMESPACED = "/api/v1/namespaces/{namespace}/{plural}"
CORE = {"Service": "services", "Pod": "pods"}
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
COLLECTIONS = (
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/api/v1/pods",
    "/api/v1/services",
    "/api/v1/nodes",
)
"""In the order in which things may be removed."""
KINDS = {"services": "Service", "pods": "Pod", "nodes": "Node", "endpointslices": "EndpointSlice"}
OWN_SERVICE = "/api/v1/namespaces/default/services/kubernetes"
"""The API server's own: it makes it again when it is removed."""
KEPT_METADATA = ("name", "namespace", "labels")
ORDER = ("nodes", "services", "pods", "endpoints")

Made = dict[str, Any]


class Keeper:
    """Brings the API server to a wanted state; knows what it put there."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._there: dict[str, Made] = {}
        """Objects by their path."""
        self._fresh = True

    def put(self, cluster: Cluster) -> frozenset[str]:
        """Make, change, remove; returns the kinds that something of was touched."""
        if self._fresh:
            self._sweep()
        wanted = dict(wanted_objects(cluster))
        touched = set()
        gone = sorted(set(self._there) - set(wanted), key=_removal_rank)
        for path in gone:
            touched.add(self._there[path]["kind"])
            if "/endpointslices/" not in path:  # a new Service may want the old one's address
                self._remove(path)
        for path, made in wanted.items():
            before = self._there.get(path)
            if before and made["kind"] == "Node" and before["spec"] != made["spec"]:
                self._remove(path)  # the pod range of a Node is given once
                before = None
            if before != made:
                self._write(path, made, before)
                touched.add(made["kind"])
        for path in gone:
            if "/endpointslices/" in path:  # by now the endpoints that stay are in another
                self._remove(path)
        self._there = wanted
        return frozenset(touched)

    def told(self) -> Objects:
        """Everything of the four kinds as the API server tells it, without its bookkeeping."""
        found = []
        for collection in reversed(COLLECTIONS):
            plural = collection.rpartition("/")[2]
            version = "discovery.k8s.io/v1" if "discovery" in collection else "v1"
            for item in self._api.items(collection):
                metadata = {key: item["metadata"].get(key) for key in KEPT_METADATA}
                kept = {key: value for key, value in metadata.items() if value}
                found.append(
                    {**item, "apiVersion": version, "kind": KINDS[plural], "metadata": kept}
                )
        return found

    def _sweep(self) -> None:
        """What an earlier run left."""
        for collection in COLLECTIONS:
            for item in self._api.items(collection):
                path = _path(KINDS[collection.rpartition("/")[2]], item["metadata"])
                self._remove(path)
        self._fresh = False

    def _remove(self, path: str) -> None:
        if path != OWN_SERVICE:
            self._api.remove(path)

    def _write(self, path: str, made: Made, before: Made | None) -> None:
        status = {"status": made["status"]} if "status" in made else None
        rest = {key: value for key, value in made.items() if key != "status"}
        if before is None and path != OWN_SERVICE:
            self._namespace(made)
            self._api.create(path.rpartition("/")[0], rest)
        elif before is None or any(before.get(key) != rest[key] for key in rest):
            self._api.merge(path, rest)
        if status and (before is None or before.get("status") != made["status"]):
            self._api.merge(f"{path}/status", status)

    def _namespace(self, made: Made) -> None:
        namespace = made["metadata"].get("namespace")
        if namespace and not any(f"/namespaces/{namespace}/" in path for path in self._there):
            named = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self._api.create("/api/v1/namespaces", named)


def wanted_objects(cluster: Cluster) -> Iterator[tuple[str, Made]]:
    """Path and object of everything in a cluster, complete enough for the API server."""
    parts = objects_of(cluster)
    slices = Counter[str]()
    for part in ORDER:
        for rendered in parts[part]:
            whole = json.loads(json.dumps(rendered))
            made = {**without_nothing(whole), "metadata": whole["metadata"]}
            if part == "pods":
                _complete_pod(made)
            elif part == "services":
                _complete_service(made)
            elif part == "endpoints":
                owner = f"{made['metadata']['labels']['kubernetes.io/service-name']}"
                name = f"{owner}-{made['addressType'].lower()}"
                slices[f"{made['metadata']['namespace']}/{name}"] += 1
                number = slices[f"{made['metadata']['namespace']}/{name}"]
                made["metadata"]["name"] = f"{name}-{number}"
            yield _path(made["kind"], made["metadata"]), made


def without_nothing(value: Any) -> Any:
    """The same without fields that say nothing."""
    if isinstance(value, dict):
        kept = {key: without_nothing(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", [])}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


def _complete_pod(made: Made) -> None:
    for number, container in enumerate(made["spec"]["containers"]):
        container.update(name=f"c{number}", image="registry.example/echo:1")


def _complete_service(made: Made) -> None:
    """What a client has to say, where the model knows it from the addresses."""
    spec = made["spec"]
    if spec["type"] == "ClusterIP" and not spec.get("externalIPs"):
        spec.pop("externalTrafficPolicy", None)
    ips = [ip for ip in spec.get("clusterIPs", []) if ip != "None"]
    if ips:
        spec["ipFamilies"] = ["IPv6" if ":" in ip else "IPv4" for ip in ips]
        spec["ipFamilyPolicy"] = "RequireDualStack" if len(ips) > 1 else "SingleStack"
    if not made["status"].get("loadBalancer"):
        del made["status"]


def _path(kind: str, metadata: Made) -> str:
    name, namespace = metadata["name"], metadata.get("namespace", "")
    if kind == "Node":
        return f"/api/v1/nodes/{name}"
    if kind == "EndpointSlice":
        return f"{SLICES.format(namespace=namespace)}/{name}"
    return f"{NAMESPACED.format(namespace=namespace, plural=CORE[kind])}/{name}"


def _removal_rank(path: str) -> int:
    order = ("endpointslices", "pods", "services", "nodes")
    return next(rank for rank, plural in enumerate(order) if f"/{plural}/" in path)
