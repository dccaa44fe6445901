"""Kubernetes objects from a few words, and a server with a small cluster."""

from __future__ import annotations

import json
from pathlib import Path

from tests.api_server import State


def node(name: str, ip: str) -> dict:
    status = {"addresses": [{"type": "InternalIP", "address": ip}]}
    return {"metadata": {"name": name, "labels": {}}, "spec": {"podCIDR": ""}, "status": status}


def service(name: str, ip: str = "10.96.0.10", **spec) -> dict:
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]
    made = {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": ports} | spec
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": made, "status": {}}


def slice_of(name: str, *ips: str, suffix: str = "x1", node: str = "two", **conditions) -> dict:
    """An EndpointSlice whose pods are called after the last part of their addresses."""
    conditions = {"ready": True, "serving": True, "terminating": False} | conditions
    endpoints = [
        {
            "addresses": [ip],
            "nodeName": node,
            "conditions": conditions,
            "targetRef": {
                "kind": "Pod",
                "namespace": "shop",
                "name": f"{name}-{ip.split('.')[-1]}",
            },
        }
        for ip in ips
    ]
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": f"{name}-{suffix}", "namespace": "shop", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": endpoints,
    }


def pod(name: str, ip: str, node: str = "one", **spec) -> dict:
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
    metadata = {"name": name, "namespace": "shop"}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": []} | spec,
        "status": status,
    }


def small_cluster() -> State:
    """Two nodes, one Service with two pods on the other node, one pod on each."""
    state = State()
    state.put("nodes", node("one", "192.168.1.1"))
    state.put("nodes", node("two", "192.168.1.2"))
    state.put("services", service("web"))
    state.put("endpointslices", slice_of("web", "10.244.2.5", "10.244.2.6"))
    state.put("pods", pod("client", "10.244.1.9"))
    state.put("pods", pod("web-5", "10.244.2.5", node="two"))
    return state


def kubeconfig(folder: Path, port: int, token: str = "") -> Path:
    """A kubeconfig for a server on loopback."""
    user = {"token": token} if token else {}
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "it", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(made))
    return path
