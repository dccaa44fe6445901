"""What differs between two states of a node or a cluster, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer import address
from tracer.cluster.model import Cluster, ClusterChange, Endpoint
from tracer.events import PROTOCOL_NAMES
from tracer.node.model import InterfaceAddress, MarkServer, NodeState, VirtualServer
from tracer.plain import harmless
from tracer.view.rule_changes import rule_changes


def node_changes(before: NodeState, after: NodeState) -> Iterator[str]:
    """Addresses, servers, sysctls, rules, sets and routes that came, went or changed."""
    both = before.known & after.known
    if "addresses" in both:
        yield from _differing(
            "address", map(_address, before.addresses), map(_address, after.addresses)
        )
    if "virtual_servers" in both:
        old, new = _servers(before), _servers(after)
        yield from _differing("virtual server", map(_server, old), map(_server, new))
        yield from _differing("real server", _backends(old), _backends(new))
    if "sysctls" in both:
        old_values = {f"{name}={value}" for name, value in before.sysctls.items()}
        for name, value in after.sysctls.items():
            if f"{name}={value}" not in old_values:
                yield harmless(f"sysctl {name}: {before.sysctls.get(name, 'unset')} -> {value}")
    yield from rule_changes(before, after)
    if before.proxy_mode != after.proxy_mode and before.proxy_mode:
        yield harmless(f"kube-proxy mode: {before.proxy_mode} -> {after.proxy_mode or 'unknown'}")


def cluster_changes(before: Cluster, after: Cluster) -> Iterator[tuple[int, str]]:
    """(time, sentence) of what a watch told, else of what two readings differ in."""
    if after.changes:
        last_ns = before.changes[-1].at_ns if before.changes else 0
        for change in after.changes:
            if change.at_ns > last_ns:
                yield change.at_ns, _watched(change)
        return
    if not before.generation:
        return
    for text in _differing("Service", before.services_by_key, after.services_by_key):
        yield after.at_ns, text
    for text in _differing(
        "endpoint", map(_endpoint, before.endpoints), map(_endpoint, after.endpoints)
    ):
        yield after.at_ns, text


def _differing(kind: str, before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    """``added`` and ``removed`` of two collections of texts."""
    old, new = frozenset(before), frozenset(after)
    yield from (harmless(f"{kind} added: {text}") for text in sorted(new - old))
    yield from (harmless(f"{kind} removed: {text}") for text in sorted(old - new))


def _watched(change: ClusterChange) -> str:
    about = f": {_endpoint(change.endpoint)}" if change.endpoint else ""
    return harmless(f"Service {change.service} {change.turn.value}{about}")


def _address(one: InterfaceAddress) -> str:
    return f"{address.text(one.ip)}/{one.prefix} on {one.interface}"


def _servers(node: NodeState) -> tuple[VirtualServer | MarkServer, ...]:
    return (*node.virtual_servers, *node.mark_servers)


def _server(server: VirtualServer | MarkServer) -> str:
    if isinstance(server, MarkServer):
        return f"fwmark 0x{server.mark:x}/IPv{6 if server.ipv6 else 4} {server.scheduler}"
    protocol = PROTOCOL_NAMES.get(server.protocol, str(server.protocol))
    return f"{address.endpoint(server.ip, server.port)}/{protocol} {server.scheduler}"


def _backends(servers: tuple[VirtualServer | MarkServer, ...]) -> Iterator[str]:
    for server in servers:
        for ip, port, weight in server.backends:
            yield f"{address.endpoint(ip, port)} weight {weight} of {_server(server)}"


def _endpoint(endpoint: Endpoint) -> str:
    ready = "ready" if endpoint.ready else "not ready"
    state = f"{ready}, terminating" if endpoint.terminating else ready
    return (
        f"{endpoint.service} {address.endpoint(endpoint.ip, endpoint.port)} {endpoint.pod} {state}"
    )
