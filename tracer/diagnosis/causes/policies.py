"""Policies of Services: local endpoints, source ranges, zones."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, SHOW_ENDPOINTS, Cause, Sight
from tracer.diagnosis.causes.endpoints import SOURCE_RANGES_DROP
from tracer.diagnosis.finding import Severity

NODE_NAME_MISMATCH = Cause(
    id="etp-local-nodename-mismatch",
    title="kube-proxy does not know which endpoints are on its own node",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Policy Local fails on every node, those with a pod of the Service too.",
    summary=(
        "kube-proxy takes endpoints for local whose nodeName equals its own name, letter by "
        "letter. It runs under another name (a full name for a short one, a renamed cloud "
        "machine), so that all endpoints look remote."
    ),
    remedy=(
        "kubectl get nodes; hostname   # which name does kube-proxy take for its own?",
        "kubectl -n kube-system get configmap kube-proxy -o yaml | grep hostnameOverride",
        "Start kube-proxy with --hostname-override=$(NODE_NAME), NODE_NAME from the downward "
        "API's spec.nodeName",
        "kubectl -n kube-system rollout restart daemonset kube-proxy",
    ),
    sight=Sight(
        bpf="a drop of a request for a Service with a local endpoint, which the rules deny",
        conntrack="silence for such a request",
        capture="the same, with the state directory",
        state="rules for 'no local endpoints' of Services with endpoints on this node",
    ),
    sources=(ISSUE + "48437", "https://github.com/heptio/aws-quickstart/issues/173"),
)

ROLLOUT_GAP = Cause(
    id="etp-local-rollout-gap",
    title="The node's last endpoint of a policy-Local Service has just left",
    severity=Severity.WARNING,
    modes=("iptables", "nftables"),
    symptom="Seconds of timeouts during roll-outs behind a load balancer.",
    summary=(
        "With policy Local the node drops connections as soon as its last endpoint is gone, while "
        "the load balancer goes on sending until its health check has failed often enough."
    ),
    remedy=(
        SHOW_ENDPOINTS,
        "Let pods outlive the load balancer's health check: a preStop sleep longer than interval "
        "times threshold, and terminationGracePeriodSeconds above it",
        "kubectl patch deployment <deployment> -n {namespace} -p "
        '\'{{"spec":{{"strategy":{{"rollingUpdate":{{"maxUnavailable":0}}}}}}}}\'',
        "Run Kubernetes 1.28 or later: it serves terminating endpoints meanwhile",
    ),
    sight=Sight(
        bpf="a drop by netfilter, and a local endpoint that left within the last minute",
        conntrack="silence, and a local endpoint that left within the last minute",
    ),
    sources=(ISSUE + "85643", "https://github.com/kubernetes/enhancements/pull/3174"),
)

SOURCE_RANGES_NODE = Cause(
    id="lb-source-ranges-node",
    title="The node itself is outside the Service's loadBalancerSourceRanges",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A load balancer address works for clients, and not from the nodes themselves.",
    summary=(
        "What a node sends to a load balancer address is filtered like any other client's, by "
        "the node's own address (in ipvs mode by the load balancer's, which it holds itself)."
    ),
    remedy=SOURCE_RANGES_DROP.remedy,
    sight=Sight(
        bpf="a drop by netfilter of the node's own request, its address in none of the ranges",
    ),
    sources=(ISSUE + "119656", ISSUE + "88698"),
)

NFT_LOCAL_POD_DROP = Cause(
    id="nft-etp-local-pod-drop",
    title="nftables mode drops a pod's own request to an external address with policy Local",
    severity=Severity.WARNING,
    modes=("nftables",),
    symptom="Pods of some nodes cannot reach their Service's load balancer address.",
    summary=(
        "Pods may use the external addresses of a policy-Local Service from any node, but "
        "kube-proxy must know which sources are pods. Without a cluster range it takes them for "
        "outside clients, and a node without an endpoint drops them."
    ),
    remedy=(
        "kubectl -n kube-system get configmap kube-proxy -o yaml | grep -E 'clusterCIDR|detect'",
        "Set clusterCIDR to the pods' range, or detectLocalMode to what fits the CNI plug-in: "
        "kubectl -n kube-system edit configmap kube-proxy",
        "kubectl -n kube-system rollout restart daemonset kube-proxy",
    ),
    sight=Sight(
        bpf="a drop of a pod's request to an external address, policy Local, no endpoint here",
        conntrack="silence for such a request",
        capture="silence for such a request",
    ),
    sources=(ISSUE + "131765",),
)

TOPOLOGY_HINTS = Cause(
    id="topology-hints-mismatch",
    title="Endpoints are kept for zones that no node is in",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Some endpoints get no traffic, the others too much.",
    summary=(
        "Every endpoint carries hints for zones, and some of these zones have no node: those "
        "endpoints are left out wherever hints are followed."
    ),
    remedy=(
        SHOW_ENDPOINTS,
        "kubectl get nodes -L topology.kubernetes.io/zone   # against the endpoints' hints",
        "kubectl patch service {name} -n {namespace} --type=merge "
        '-p \'{{"spec":{{"trafficDistribution":null}}}}\'   # hints go with what asks for them',
        "kubectl annotate service {name} -n {namespace} service.kubernetes.io/topology-mode- "
        "service.kubernetes.io/topology-aware-hints-   # the same on older clusters",
    ),
    sight=Sight(state="hints of a Service's endpoints against the zones of nodes"),
    sources=(ISSUE + "124699", "https://github.com/kubernetes/enhancements/pull/2434"),
)
