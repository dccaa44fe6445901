"""Cluster objects as the file has them, changed the way Kubernetes changes them."""

from __future__ import annotations

import copy
from collections.abc import Callable
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


def _is(item: dict[str, Any], kind: str, namespace: str, name: str) -> bool:
    metadata = item["metadata"]
    return (item["kind"], metadata.get("namespace"), metadata["name"]) == (kind, namespace, name)
