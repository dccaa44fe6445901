"""What is said where no named cause explains a loss."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import DEBUG_SERVICE, EVERY_MODE, Cause, Sight
from tracer.diagnosis.finding import Severity

REFUSED_BY_BACKEND = Cause(
    id="refused-by-backend",
    title="The backend itself refuses",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Connection refused by a pod that is listed as ready.",
    summary=(
        "The connection was delivered and the backend answered with a reset or an ICMP error: "
        "nothing listens on the target port there, or only on its loopback address."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace} -o yaml   # does targetPort name the port "
        "the container listens on?",
        "kubectl exec -n {pod_namespace} {pod} -- ss -ltnu   # it must listen on 0.0.0.0 or "
        "[::], not on 127.0.0.1",
        "Where its program has ended or hangs: kubectl delete pod {pod} -n {pod_namespace}"
        "   # its controller starts another; a liveness probe does so by itself",
    ),
    sources=(DEBUG_SERVICE,),
    fallback=True,
    sight=Sight(
        bpf="a reset or ICMP error of the backend",
        conntrack="a reset or ICMP error on the wire",
        capture="a reset or ICMP error on the wire",
    ),
)

DROPPED_UNEXPLAINED = Cause(
    id="dropped-unexplained",
    title="Dropped or refused by a kernel, cause not known",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Requests that do not get through.",
    summary="The kernel says where and why it dropped the request; no known cause fits.",
    remedy=(
        "NETFILTER_DROP: see which rule counts up: nft list ruleset; iptables-save -c",
        "IP_RPFILTER, IP_INADDRERRORS, IP_INNOROUTES: check ip route get <address> and "
        "sysctl net.ipv4.conf.all.rp_filter net.ipv4.ip_forward",
        "conntrack: conntrack -S; sysctl net.netfilter.nf_conntrack_count "
        "net.netfilter.nf_conntrack_max",
        "TC_INGRESS, TC_EGRESS: tc filter show dev <interface> ingress (or egress); "
        "XDP: ip link show dev <interface>; whose program is it?",
    ),
    fallback=True,
    sight=Sight(
        bpf="the drop record, with reason and place",
        conntrack="an ICMP error on the wire",
        capture="an ICMP error on the wire",
    ),
)

UNANSWERED_UNEXPLAINED = Cause(
    id="unanswered-unexplained",
    title="Never answered, no drop seen, cause not known",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Timeouts.",
    summary=(
        "The request was sent on and nothing came back here; no drop was seen on this node. Where "
        "it was lost is not visible from here."
    ),
    remedy=(
        "Trace on the backend's node too: does the request arrive there, and does the answer "
        "leave towards this node?",
        "ip route get <backend>; ip neigh   # next hop reachable? overlay and cloud firewall open?",
        "Not visible from here: check security groups, the cloud's source and destination check, "
        "and routes back to this node",
    ),
    fallback=True,
    sight=Sight(
        bpf="a request without any answer",
        conntrack="a request without any answer",
        capture="a request without any answer",
    ),
)
