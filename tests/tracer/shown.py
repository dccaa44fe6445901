"""A small cluster and a pipeline that has seen something, for all that shows flows."""

from __future__ import annotations

from tests.builders import at, batch, mapping, packet, record
from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint, Node, Pod, Service, ServicePort
from tracer.diagnosis.finding import Evidence, Finding, Severity, Subject
from tracer.events import Flag, Hook
from tracer.node.model import NodeState
from tracer.pipeline import Pipeline, Update

VIP = "10.96.0.10:80"
WEB = "10.244.1.5:8080"
HOSTILE = {
    "markup": "[red]evil[/red][@click=app.quit]x[/]",
    "escape": "a\x1b[2J\x1b]0;owned\x07b",
    "bidi": "abc\u202ecba\u2066",
    "hebrew": "\u05d0\u05d1\u05d2",
    "line": 'one\ntwo\r\u2028{"type":"summary"}',
    "surrogate": "a\ud800b",
    "c1": "a\x9b2Jb\x85c",
    "long": "n" * 253,
}


def cluster(pod: str = "web-1", client: str = "client") -> Cluster:
    """Service shop/web with one pod, and a named client."""
    return Cluster(
        services=(
            Service(
                "shop",
                "web",
                "ClusterIP",
                (ServicePort("http", 6, 80, "8080"),),
                (parse("10.96.0.10"),),
            ),
        ),
        endpoints=(
            Endpoint("shop/web", "http", 6, parse("10.244.1.5"), 8080, "worker-1", f"shop/{pod}"),
        ),
        pods=(
            Pod("shop", pod, "worker-1", (parse("10.244.1.5"),)),
            Pod("shop", client, "worker-2", (parse("10.244.3.8"),)),
        ),
        nodes=(Node("worker-1", (parse("192.168.1.3"),)),),
        generation=1,
    )


def traced(names: Cluster | None = None) -> Pipeline:
    """A pipeline that knows its node and its cluster."""
    pipeline = Pipeline()
    pipeline.set_node(NodeState(proxy_mode="ipvs", node_name="worker-1"), at(0))
    pipeline.set_cluster(names or cluster(), at(0))
    return pipeline


def connect(
    pipeline: Pipeline, seconds: float, count: int = 1, port: int = 40000, **fields
) -> Update:
    """So many connections to the Service, all mapped at the same time."""
    flags = Flag.DST_NAT | Flag.IPVS | fields.pop("flags", 0)
    made = [
        mapping(seconds, f"10.244.3.8:{port + place}", VIP, WEB, flags=flags, **fields)
        for place in range(count)
    ]
    return pipeline.feed(batch(*made, until=seconds))


def answer(pipeline: Pipeline, seconds: float, port: int = 40000) -> Update:
    """Conntrack saw the reply of one connection."""
    flags = Flag.DST_NAT | Flag.IPVS | Flag.REPLIED
    seen = mapping(seconds, f"10.244.3.8:{port}", VIP, WEB, hook=Hook.CT_UPDATE, flags=flags)
    return pipeline.feed(batch(seen, until=seconds))


def end(pipeline: Pipeline, seconds: float, port: int = 40000) -> Update:
    """The kernel destroyed the mapping of one connection."""
    flags = Flag.DST_NAT | Flag.IPVS | Flag.REPLIED
    gone = mapping(seconds, f"10.244.3.8:{port}", VIP, WEB, hook=Hook.CT_END, flags=flags)
    return pipeline.feed(batch(gone, until=seconds))


def refuse(pipeline: Pipeline, seconds: float, port: int = 40000) -> Update:
    """The backend resets the request of one connection."""
    client = f"10.244.3.8:{port}"
    told = (packet(seconds, client, VIP, "S"), packet(seconds, WEB, client, "RA"))
    return pipeline.feed(batch(*told, until=seconds))


def untranslated(pipeline: Pipeline, seconds: float) -> Update:
    """A mapping that changes nothing."""
    seen = record(
        Hook.CT_NEW,
        seconds,
        "10.0.0.1:5",
        "10.0.0.2:22",
        nat=("10.0.0.1:5", "10.0.0.2:22"),
        flags=Flag.REPLIED,
    )
    return pipeline.feed(batch(seen, until=seconds))


def passing(pipeline: Pipeline, seconds: float) -> Update:
    """Nothing happens but time."""
    return pipeline.feed(batch(until=seconds))


def blackhole(service: str = "kube-system/port-forward", **changes) -> Finding:
    """The fault that must be seen at once."""
    fields = {
        "cause": "ipvs-external-ip-is-node-ip",
        "severity": Severity.CRITICAL,
        "confidence": 1.0,
        "since_ns": at(0),
        "subject": Subject(service=service, address=parse("192.168.1.2")),
        "summary": f"node IP 192.168.1.2 is bound on kube-ipvs0 by Service {service}",
        "evidence": (Evidence("kernel", "kube-ipvs0 holds 192.168.1.2/32"),),
        "remedy": ("systemctl stop kubelet", "ip addr del 192.168.1.2/32 dev kube-ipvs0"),
        "last_ns": at(1),
    }
    return Finding(**(fields | changes))
