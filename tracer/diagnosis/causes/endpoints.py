"""Endpoints and policies: whom a Service sends its clients to."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import (
    DEBUG_SERVICE,
    EVERY_MODE,
    ISSUE,
    SHOW_ENDPOINTS,
    SOURCE_IP,
    Cause,
    Sight,
)
from tracer.diagnosis.finding import Severity

NO_ENDPOINTS = Cause(
    id="svc-no-endpoints",
    title="The Service has no usable endpoint",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Connection refused, at once, to every address of the Service.",
    summary=(
        "No endpoint is ready, nor serving while terminating: kube-proxy has new connections "
        "refused with ICMP port-unreachable, which clients see as connection refused."
    ),
    remedy=(
        SHOW_ENDPOINTS,
        "kubectl get pods -n {namespace} -l {selector} -o wide"
        "   # none: fix the selector or labels, or scale up; not Ready: fix the readiness probe",
        "kubectl get service {name} -n {namespace} -o yaml"
        "   # a named targetPort must exist in the pods",
    ),
    sources=(ISSUE + "17359", ISSUE + "72534", ISSUE + "60124", DEBUG_SERVICE),
    sight=Sight(
        bpf="ICMP port-unreachable or no destination in IPVS, and no usable endpoint",
        conntrack="the same ICMP on the wire, or silence",
        capture="the same ICMP on the wire, or silence",
        state="a Service of which no endpoint is usable (audit)",
    ),
)

NO_LOCAL_ENDPOINT = Cause(
    id="no-local-endpoint-drop",
    title="Traffic policy Local, and this node has no endpoint",
    severity=Severity.WARNING,
    modes=("iptables", "nftables"),
    symptom="Timeouts through some nodes, while others serve the Service.",
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
    sources=(SOURCE_IP, ISSUE + "66354", ISSUE + "119131"),
    sight=Sight(
        bpf="a drop by netfilter, policy Local, no endpoint on this node",
        conntrack="silence, policy Local, no endpoint on this node",
        capture="silence, policy Local, no endpoint on this node",
        state="policy Local and endpoints on other nodes only (audit)",
    ),
)

LOCAL_POLICY_WRONG_SOURCE = Cause(
    id="etp-local-ipvs-wrong-source",
    title="externalTrafficPolicy Local in ipvs mode sends clients to a remote pod unmasqueraded",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="Timeouts of external clients through nodes without an endpoint, and no drop anywhere.",
    summary=(
        "Without a local endpoint the ipvs proxier installs all endpoints but masquerades "
        "nothing: the remote pod answers the client from its own address, which the client rejects."
    ),
    remedy=NO_LOCAL_ENDPOINT.remedy,
    sources=(ISSUE + "97081", ISSUE + "75262", ISSUE + "93456", ISSUE + "119131"),
    sight=Sight(
        bpf="an IPVS connection to a remote endpoint with an unchanged source, unanswered",
        conntrack="the same in the tables of IPVS and conntrack",
        capture="the same, paired from packets",
    ),
)

ENDPOINT_REMOVAL_LAG = Cause(
    id="endpoint-removal-lag",
    title="New connections are still sent to an endpoint that is gone",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Brief refusals or timeouts whenever pods go.",
    summary=(
        "The pod ended, or left the EndpointSlice, before this node's rules followed, so new "
        "connections are translated to an address where nothing answers."
    ),
    remedy=(
        SHOW_ENDPOINTS,
        "Let pods outlive their endpoint: a preStop sleep of 5 to 15 s, and a readiness probe "
        "that fails on SIGTERM",
        "If it lasts, kube-proxy does not keep up or does not run here: "
        "kubectl logs -n kube-system -l k8s-app=kube-proxy --tail=50",
        "kubectl -n kube-system rollout restart daemonset kube-proxy   # writes all rules again",
    ),
    sources=(ISSUE + "89392", ISSUE + "77903"),
    sight=Sight(
        bpf="a translation to an address that left the endpoints, refused, dropped or unanswered",
        conntrack="the same",
        capture="the same, paired from packets",
    ),
)

SOURCE_RANGES_DROP = Cause(
    id="lb-source-ranges-drop",
    title="The client is outside the Service's loadBalancerSourceRanges",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A load balancer address works from some networks and times out from others.",
    summary=(
        "Nodes drop requests to a load balancer address whose source is in none of the Service's "
        "ranges, those of pods and nodes too. This is policy, not a fault elsewhere."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace} "
        "-o jsonpath='{{.spec.loadBalancerSourceRanges}}'   # {ranges}",
        "Let {client} in, if it should be: kubectl patch service {name} -n {namespace} "
        '-p \'{{"spec":{{"loadBalancerSourceRanges":[{wider}]}}}}\'',
        "Pods and nodes use the ClusterIP instead; a load balancer that rewrites sources must "
        "filter by itself",
    ),
    sight=Sight(
        bpf="a drop by netfilter, of a source in none of the ranges",
        conntrack="silence, for a source in none of the ranges",
        capture="silence, for a source in none of the ranges",
    ),
    sources=(ISSUE + "110289", ISSUE + "33586", ISSUE + "62638"),
)

SESSION_AFFINITY_DEAD_POD = Cause(
    id="session-affinity-dead-pod",
    title="ClientIP affinity keeps one client on an endpoint that is gone",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="One client fails for hours while all others are served.",
    summary=(
        "The node remembers the client's endpoint for the Service's affinity time, renewed by "
        "every attempt, and goes on choosing it although it has left."
    ),
    remedy=(
        "{forget}   # first aid: the client is given another endpoint",
        "kubectl -n kube-system rollout restart daemonset kube-proxy"
        "   # where its rules still have the endpoint, which it then forgets as well",
        "For the next time, remember clients for a shorter time: "
        "kubectl patch service {name} -n {namespace} -p "
        '\'{{"spec":{{"sessionAffinityConfig":{{"clientIP":{{"timeoutSeconds":300}}}}}}}}\'',
    ),
    sight=Sight(
        bpf="one client repeatedly sent to an endpoint that left, while others are served",
        conntrack="the same",
        capture="the same, paired from packets",
        state="expire_quiescent_template 0 in ipvs mode (audit)",
    ),
    sources=(ISSUE + "71809", ISSUE + "81587", ISSUE + "110302", ISSUE + "55603"),
)

WRONG_TARGET_PORT = Cause(
    id="wrong-target-port",
    title="The endpoints are ready, but nothing listens on the Service's target port",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Connection refused, always, although every endpoint is ready.",
    summary=(
        "The Service sends its clients to a port on which no endpoint listens: targetPort is "
        "wrong, or the program listens on the pod's loopback address only."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace} "
        "-o jsonpath='{{.spec.ports}}'   # targetPort {target}",
        "kubectl exec -n {pod_namespace} {pod} -- ss -ltnu"
        "   # which port, and is it 0.0.0.0 or [::], not 127.0.0.1?",
        "kubectl edit service {name} -n {namespace}   # correct targetPort, or let the program "
        "listen on all addresses",
    ),
    sight=Sight(
        bpf="every endpoint resets the request, or the one that does answers on another port",
        conntrack="the same resets on the wire",
        capture="the same resets on the wire, paired from packets",
    ),
    sources=(
        DEBUG_SERVICE,
        "https://kubernetes.io/docs/tutorials/services/connect-applications-service/",
    ),
)
