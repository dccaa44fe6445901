"""What an audit finds in state alone: nothing has gone wrong with a packet yet."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, TABLES_ANEW, Cause, Sight
from tracer.diagnosis.finding import Severity

_PROXY_POD = (
    "$(kubectl -n kube-system get pods -l k8s-app=kube-proxy "
    "--field-selector spec.nodeName={node} -o name)"
)

RULES_NOT_SYNCED = Cause(
    id="rules-not-synced",
    title="The node's rules are not what the cluster says they should be",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="One node behaves as in the past: new Services are dead, old pods still get requests.",
    summary=(
        "kube-proxy does not run here, cannot reach the API server or cannot write its rules, or "
        "somebody else removed some of them: the kernel serves what was true once."
    ),
    remedy=(
        "kubectl -n kube-system get pods -l k8s-app=kube-proxy "
        "--field-selector spec.nodeName={node}   # is it there, is it ready?",
        f"kubectl -n kube-system logs --tail=100 {_PROXY_POD}"
        "   # 'Failed to execute iptables-restore', 'Sync failed', 'connection refused'",
        "curl -s http://localhost:10249/metrics | grep -E "
        "'sync_proxy_rules_last|restore_failures|sync_failures'"
        "   # on the node: a last sync long before the last change queued is the fault",
        TABLES_ANEW,
        f"kubectl -n kube-system delete {_PROXY_POD}   # starts again and writes all rules",
    ),
    sight=Sight(state="every Service's addresses and endpoints against rules, sets and servers"),
    sources=(ISSUE + "7370", ISSUE + "48107", ISSUE + "121362", ISSUE + "80407"),
)

HIDDEN_LISTENER = Cause(
    id="hidden-listener",
    title="Ports of the node are served though nothing listens on them",
    severity=Severity.INFO,
    modes=EVERY_MODE,
    symptom="ss and netstat do not show a port that answers; a daemon on it gets no connections.",
    summary=(
        "Rules take the packets before any socket is looked up: node ports, and external addresses "
        "that are the node's own. All nodes expose them, and a client that uses one node's address "
        "is cut off when that node dies."
    ),
    remedy=(
        "Look at rules instead of sockets: viptrace explain <client> {address}:{port}",
        "Start no daemon on these ports: it would never be asked",
        "Put a load balancer that checks the nodes' health before them, and let a firewall admit "
        "nobody else to node ports (30000-32767)",
    ),
    sight=Sight(state="node ports, and external addresses that are node addresses"),
    sources=(
        "https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport",
        ISSUE + "108496",
    ),
)
