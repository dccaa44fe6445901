"""The cluster's DNS Service has no usable endpoint.

Claims: names of Services do not resolve; nothing is wrong with packets to addresses.
Evidence: the Service that Kubernetes calls kube-dns, and its EndpointSlices.
Cannot know: which other DNS server clients may use, nor variables in pods that are
older than their Service. It is a consequence of ``svc-no-endpoints``.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.diagnosis.causes.drift import DISCOVERY as CAUSE
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import state_finding
from tracer.diagnosis.wording import plain, word

NAMES = ("kube-system/kube-dns", "kube-system/coredns", "openshift-dns/dns-default")
ROOT = "svc-no-endpoints"


class Discovery:
    """Judges the state: the DNS Service's endpoints."""

    name = CAUSE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for each DNS Service."""
        if "endpoints" not in scene.cluster.known:
            return
        for key in NAMES:
            service = scene.cluster.services_by_key.get(key)
            if service is None or scene.cluster.usable_endpoints(key):
                continue
            labels = ",".join(f"{k}={v}" for k, v in sorted(service.selector.items()))
            yield state_finding(
                scene,
                CAUSE,
                Subject(service=key),
                summary=f"names do not resolve: DNS Service {plain(key)} has no usable endpoint",
                evidence=(Evidence("object", f"Service {plain(key)}: 0 endpoints usable"),),
                remedy=CAUSE.steps(
                    namespace=word(service.namespace),
                    selector=word(labels) if labels else "<selector>",
                ),
                consequence_of=ROOT,
            )
