"""All about one virtual server or one of its backends."""

from __future__ import annotations

from tracer.cluster.model import Cluster, Service
from tracer.detail import Detail
from tracer.diagnosis.finding import Finding
from tracer.plain import harmless
from tracer.view.servers import Backend, Server


def server_detail(row_id: int, server: Server, findings: tuple[Finding, ...]) -> Detail:
    """Its Service's policies, its scheduler, and every endpoint with its conditions."""
    service = server.service
    facts = [("Address", server.text), ("Kind", server.kind_name)]
    facts += _service_facts(service, server) if service else [("Service", "none is known")]
    facts.append(("IPVS", _programmed(server)))
    facts += [
        ("Endpoint" if not number else "", _endpoint_text(backend))
        for number, backend in enumerate(server.backends.values())
    ]
    key = service.key if service else ""
    return Detail(row_id, server.name, _told(facts), findings, service=key)


def backend_detail(
    row_id: int, server: Server, backend: Backend, cluster: Cluster, findings: tuple[Finding, ...]
) -> Detail:
    """Who it is, where, and how kube-proxy and IPVS see it."""
    endpoint = backend.endpoint
    pod = cluster.pod_by_address.get(backend.key[0])
    facts = [
        ("Behind", f"{server.name} {server.text}"),
        ("Pod", endpoint.pod if endpoint and endpoint.pod else pod.key if pod else ""),
        ("Pod's phase", pod.phase if pod else ""),
        ("Node", endpoint.node if endpoint and endpoint.node else pod.node if pod else ""),
        ("Condition", backend.condition or ("in no slice" if server.service else "")),
        ("Weight", str(backend.weight) if backend.weight >= 0 else ""),
        ("Reached by", backend.method),
    ]
    return Detail(row_id, backend.text, _told(facts), findings)


def _service_facts(service: Service, server: Server) -> list[tuple[str, str]]:
    seconds, port = service.affinity_seconds, service.health_check_node_port
    told = f" answers {server.health.text}" if server.health else ""
    return [
        ("Service", f"{service.key}, type {service.type}"),
        ("External policy", service.external_policy if server.outside else ""),
        ("Internal policy", "" if server.outside else service.internal_policy),
        ("Affinity", f"ClientIP, {seconds} s" if seconds else "none"),
        ("Health check port", f"{port}{told}" if port else ""),
        ("Traffic distribution", service.traffic_distribution),
        ("Load balancer names", ", ".join(service.load_balancer_names)),
        ("Source ranges", ", ".join(service.source_ranges)),
        ("Selector", ", ".join(f"{key}={value}" for key, value in service.selector.items())),
    ]


def _programmed(server: Server) -> str:
    if not server.scheduler:
        return ""
    count = sum(backend.weight >= 0 for backend in server.backends.values())
    parts = (f"scheduler {server.scheduler}", server.persistence, f"{count} real servers")
    return ", ".join(filter(None, parts))


def _endpoint_text(backend: Backend) -> str:
    endpoint = backend.endpoint
    named = f"{endpoint.pod} on {endpoint.node}" if endpoint and endpoint.pod else ""
    weight = f"weight {backend.weight}" if backend.weight >= 0 else ""
    parts = (backend.text, backend.condition or "in no slice", named, weight)
    return "  ".join(part for part in parts if part)


def _told(facts: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((label, harmless(text)) for label, text in facts if text)
