"""What the rules can find: every cause with its title, weight, sources and remedy.

One literal table, from which the documentation is generated as well. Braces in a
remedy are filled in by :meth:`Cause.steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer.diagnosis.finding import Severity

_ISSUE = "https://github.com/kubernetes/kubernetes/issues/"
_SOURCE_IP = "https://kubernetes.io/docs/tutorials/services/source-ip/"
_DEBUG_SERVICE = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/"


@dataclass(frozen=True, slots=True)
class Cause:
    """One way in which traffic is lost, misdelivered or refused."""

    id: str
    title: str
    severity: Severity
    """The usual weight; a rule may say less."""
    modes: tuple[str, ...]
    """kube-proxy modes it occurs in."""
    summary: str
    """What happens, in general."""
    remedy: tuple[str, ...]
    """Steps and commands, in order."""
    sources: tuple[str, ...] = ()
    fallback: bool = False
    """Said only of what no named cause explains."""

    def steps(self, **names: str) -> tuple[str, ...]:
        """The remedy with these words filled in; they are never themselves templates."""
        return tuple(step.format(**names) for step in self.remedy)


EVERY_MODE = ("ipvs", "iptables", "nftables")
_STOP_PROXY = (
    "crictl stop $(crictl ps -q --name kube-proxy)"
    "   # docker: docker stop $(docker ps | grep kube-proxy | head -n1 | awk '{{print $1}}')"
)
_SHOW_ENDPOINTS = (
    "kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={name} -o wide"
)

EXTERNAL_IP_IS_NODE_IP = Cause(
    id="ipvs-external-ip-is-node-ip",
    title="A Service claims a node's own address, and ipvs mode takes it away from the node",
    severity=Severity.CRITICAL,
    modes=("ipvs",),
    summary=(
        "kube-proxy binds every external and load balancer address of a Service on kube-ipvs0 of "
        "every node but the one that owns it. For a node's address that makes all other nodes "
        "deliver packets for it to themselves, on every port: etcd peers, kubelets and the API "
        "server lose each other."
    ),
    remedy=(
        "1. On each control-plane node ({masters}), so that kube-proxy cannot come back: "
        "systemctl stop kubelet",
        "2. On each of them, stop kube-proxy: " + _STOP_PROXY,
        "3. On each of them, give the addresses back "
        "(a node's own is not there; that error is harmless): {remove}",
        "4. Once that is done on all of them, etcd reconnects and the API answers: "
        "kubectl delete service {name} -n {namespace}",
        "5. On each control-plane node: systemctl start kubelet",
        "6. Then on each worker ({workers}): systemctl stop kubelet; "
        + _STOP_PROXY.partition("   #")[0]
        + "; {remove}; systemctl start kubelet",
        "7. Prevent it: enable the admission plug-in DenyServiceExternalIPs in kube-apiserver "
        "(--enable-admission-plugins=...,DenyServiceExternalIPs), or a ValidatingAdmissionPolicy "
        "that rejects externalIPs and load balancer addresses inside the nodes' ranges; "
        "iptables and nftables modes only translate the Service's own ports",
    ),
    sources=(
        _ISSUE + "127410",
        _ISSUE + "93175",
        _ISSUE + "75290",
        _ISSUE + "104679",
        _ISSUE + "66966",
    ),
)

NO_ENDPOINTS = Cause(
    id="svc-no-endpoints",
    title="The Service has no usable endpoint",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    summary=(
        "No endpoint is ready, nor serving while terminating: kube-proxy has new connections "
        "refused with ICMP port-unreachable, which clients see as connection refused."
    ),
    remedy=(
        _SHOW_ENDPOINTS,
        "kubectl get pods -n {namespace} -l {selector} -o wide"
        "   # none: fix the selector or labels, or scale up; not Ready: fix the readiness probe",
        "kubectl get service {name} -n {namespace} -o yaml"
        "   # a named targetPort must exist in the pods",
    ),
    sources=(_ISSUE + "17359", _ISSUE + "72534", _ISSUE + "60124", _DEBUG_SERVICE),
)

NO_LOCAL_ENDPOINT = Cause(
    id="no-local-endpoint-drop",
    title="Traffic policy Local, and this node has no endpoint",
    severity=Severity.WARNING,
    modes=("iptables", "nftables"),
    summary=(
        "With policy Local a node without an endpoint drops the Service's connections silently. "
        "This is policy, not a fault elsewhere."
    ),
    remedy=(
        "Send clients only to nodes with an endpoint: their health check node port{health} "
        "answers 200 on /healthz, the others 503",
        "Run an endpoint on every node that gets traffic (DaemonSet, or more replicas with "
        "topologySpreadConstraints)",
        'kubectl patch service {name} -n {namespace} -p \'{{"spec":{{"{field}":"Cluster"}}}}\''
        "   # every node serves; an external client's address is then rewritten",
    ),
    sources=(_SOURCE_IP, _ISSUE + "66354", _ISSUE + "119131"),
)

LOCAL_POLICY_WRONG_SOURCE = Cause(
    id="etp-local-ipvs-wrong-source",
    title="externalTrafficPolicy Local in ipvs mode sends clients to a remote pod unmasqueraded",
    severity=Severity.WARNING,
    modes=("ipvs",),
    summary=(
        "Without a local endpoint the ipvs proxier installs all endpoints but masquerades "
        "nothing: the remote pod answers the client from its own address, which the client rejects."
    ),
    remedy=NO_LOCAL_ENDPOINT.remedy,
    sources=(_ISSUE + "97081", _ISSUE + "75262", _ISSUE + "93456", _ISSUE + "119131"),
)

ENDPOINT_REMOVAL_LAG = Cause(
    id="endpoint-removal-lag",
    title="New connections are still sent to an endpoint that is gone",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    summary=(
        "The pod ended, or left the EndpointSlice, before this node's rules followed, so new "
        "connections are translated to an address where nothing answers."
    ),
    remedy=(
        _SHOW_ENDPOINTS,
        "Let pods outlive their endpoint: a preStop sleep of 5 to 15 s, and a readiness probe "
        "that fails on SIGTERM",
        "If it lasts, kube-proxy does not keep up or does not run here: "
        "kubectl logs -n kube-system -l k8s-app=kube-proxy --tail=50",
    ),
    sources=(_ISSUE + "89392", _ISSUE + "77903"),
)

REFUSED_BY_BACKEND = Cause(
    id="refused-by-backend",
    title="The backend itself refuses",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    summary=(
        "The connection was delivered and the backend answered with a reset or an ICMP error: "
        "nothing listens on the target port there, or only on its loopback address."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace} -o yaml   # does targetPort name the port "
        "the container listens on?",
        "kubectl exec -n {namespace} <pod> -- ss -ltnu   # it must listen on 0.0.0.0 or [::], "
        "not on 127.0.0.1",
    ),
    sources=(_DEBUG_SERVICE,),
    fallback=True,
)

DROPPED_UNEXPLAINED = Cause(
    id="dropped-unexplained",
    title="Dropped or refused by a kernel, cause not known",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    summary="The kernel says where and why it dropped the request; no known cause fits.",
    remedy=(
        "NETFILTER_DROP: see which rule counts up: nft list ruleset; iptables-save -c",
        "IP_RPFILTER, IP_INADDRERRORS, IP_INNOROUTES: check ip route get <address> and "
        "sysctl net.ipv4.conf.all.rp_filter net.ipv4.ip_forward",
        "conntrack: conntrack -S; sysctl net.netfilter.nf_conntrack_count "
        "net.netfilter.nf_conntrack_max",
    ),
    fallback=True,
)

UNANSWERED_UNEXPLAINED = Cause(
    id="unanswered-unexplained",
    title="Never answered, no drop seen, cause not known",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    summary="The request was sent on and nothing came back here; no drop was seen on this node.",
    remedy=(
        "Trace on the backend's node too: does the request arrive there, and does the answer "
        "leave towards this node?",
        "ip route get <backend>; ip neigh   # next hop reachable? overlay and cloud firewall open?",
    ),
    fallback=True,
)

CAUSES: tuple[Cause, ...] = (
    EXTERNAL_IP_IS_NODE_IP,
    LOCAL_POLICY_WRONG_SOURCE,
    NO_LOCAL_ENDPOINT,
    NO_ENDPOINTS,
    ENDPOINT_REMOVAL_LAG,
    REFUSED_BY_BACKEND,
    DROPPED_UNEXPLAINED,
    UNANSWERED_UNEXPLAINED,
)

CAUSES_BY_ID: Mapping[str, Cause] = {cause.id: cause for cause in CAUSES}
