"""Which Node of the cluster this machine is, also from within a pod on it."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from tracer.cluster.model import Cluster
from tracer.node.model import NodeState

NAME_VARIABLE = "NODE_NAME"
"""What pods are told their node's name by, where their manifest says so."""
HOST_NAME = "host/etc/hostname"
"""The node's own host name, as ``kubectl debug node`` mounts it."""


def told_name(environment: Mapping[str, str] = os.environ) -> str:
    """The node's name as this pod was told it; empty if it was not."""
    return environment.get(NAME_VARIABLE, "")


def host_names(root: Path = Path("/")) -> frozenset[str]:
    """What this machine calls itself, whole and up to the first dot, in small letters."""
    names = {socket.gethostname()}
    with suppress(OSError):  # not in a pod, or nothing is mounted there
        names.add((root / HOST_NAME).read_text("utf-8", "replace").strip())
    names |= {name.partition(".")[0] for name in names}
    return frozenset(name.lower() for name in names if name)


def node_of(cluster: Cluster, state: NodeState, names: Collection[str] = ()) -> str:
    """Name of the cluster's Node that this machine is; empty if none, or two, fit equally.

    Its addresses decide; where they leave none or several, one of the machine's own
    ``names`` does. Addresses on kube-ipvs0 do not count: with an externalIP that is
    another node's address, every machine would be that node.
    """
    fitting = [
        (sum(address in state.local_addresses for address in node.addresses), node.name)
        for node in cluster.nodes
    ]
    best = max((count for count, _ in fitting), default=0)
    candidates = [name for count, name in fitting if count == best]
    if best and len(candidates) == 1:
        return candidates[0]
    called = [name for name in candidates if name.lower() in names]
    return called[0] if len(called) == 1 and (best or not state.local_addresses) else ""
