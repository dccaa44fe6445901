"""Rules that do not fit the cluster, the node or each other."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, Cause, Sight
from tracer.diagnosis.finding import Severity

CIDR_OVERLAP = Cause(
    id="cidr-overlap",
    title="The ranges of Services, pods and the nodes' network overlap",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Some addresses of the network, or some Services, are unreachable from the cluster.",
    summary=(
        "The same addresses mean Services or pods to the cluster and machines to the network: "
        "one of the two cannot be reached, and answers go astray."
    ),
    remedy=(
        "ip route; kubectl get nodes -o jsonpath='{{.items[*].spec.podCIDR}}'"
        "   # against the range of Services: kubectl get servicecidrs",
        "Renumber the smaller of the two; for Docker's own bridge set bip in "
        "/etc/docker/daemon.json",
        "Until then, a more specific route for each machine that must be reached: "
        "ip route add <machine>/32 via <gateway>",
    ),
    sight=Sight(state="addresses of Services or pods inside a network of the node's interfaces"),
    sources=("https://kubernetes.io/docs/reference/networking/virtual-ips/",),
)

BACKEND_MIX = Cause(
    id="iptables-backend-mix",
    title="kube-proxy's rules stand in both variants of iptables",
    severity=Severity.WARNING,
    modes=("iptables", "ipvs"),
    symptom="Drops and translations that the rules one looks at do not explain.",
    summary=(
        "iptables-legacy and iptables-nft write to different places of the kernel, and both are "
        "obeyed: what one accepts the other may drop, and of two translations the first wins."
    ),
    remedy=(
        "iptables-legacy-save | grep -c KUBE-; iptables-nft-save | grep -c KUBE-",
        "iptables-legacy -t nat -F; iptables-legacy -F   # where kube-proxy uses the other one",
        "update-alternatives --set iptables /usr/sbin/iptables-nft   # one for host and pods",
    ),
    sight=Sight(state="chains of kube-proxy with rules in both listings"),
    sources=(ISSUE + "71305", ISSUE + "82361", ISSUE + "112477"),
)

STALE_MODE = Cause(
    id="stale-rules-mode-switch",
    title="Rules of another proxy mode were left behind",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="After a change of mode some Services lead to dead pods, or stay refused.",
    summary=(
        "kube-proxy does not clean up after another mode. What it left keeps translating: rules "
        "of iptables win before routing, addresses on kube-ipvs0 win for what is routed."
    ),
    remedy=(
        "kubectl drain {node} --ignore-daemonsets   # then, on the node: kube-proxy --cleanup",
        "{clean}",
        "kubectl -n kube-system rollout restart daemonset kube-proxy"
        "   # writes again what both modes share",
    ),
    sight=Sight(state="traces of two modes at once"),
    sources=(ISSUE + "102314", ISSUE + "109286", ISSUE + "131243"),
)

NODELOCALDNS = Cause(
    id="nodelocaldns-conflict",
    title="NodeLocal DNSCache keeps the DNS Service's address out of ipvs mode's hands",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="Names do not resolve on a node since NodeLocal DNSCache was installed.",
    summary=(
        "The cache claims the DNS Service's ClusterIP and keeps it out of conntrack, as it may in "
        "iptables mode. In ipvs mode the address is kube-ipvs0's: queries reach no server, or "
        "cannot be masqueraded."
    ),
    remedy=(
        "kubectl -n kube-system get daemonset node-local-dns -o yaml | grep -A3 localip"
        "   # in ipvs mode only 169.254.20.10",
        "Install its template with an empty __PILLAR__DNS__SERVER__, and start kubelets with "
        "--cluster-dns=169.254.20.10",
        "{taken}   # takes the exception away at once",
    ),
    sight=Sight(state="a NOTRACK rule, or the cache's interface, for a ClusterIP in ipvs mode"),
    sources=("https://github.com/kubernetes/website/pull/18716",),
)

HOST_PORT_INTERCEPTS = Cause(
    id="hostport-intercepts-service",
    title="A host port's rule takes the connections of every Service on that port",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="Services on one port answer with the wrong certificate, from one node only.",
    summary=(
        "A rule for host ports matches every local address and stands before kube-proxy's. In "
        "ipvs mode all Services' addresses are local, so it takes their connections, too."
    ),
    remedy=(
        "{tool} -t nat -S PREROUTING   # the rule for host ports must come after KUBE-SERVICES",
        "{tool} -t nat -D {rule}; {tool} -t nat -A {rule}   # to the end",
        "Upgrade the CNI plug-in portmap to 0.7.5 or later, which appends; or do not use host "
        "ports that Services use",
    ),
    sight=Sight(state="a rule for local addresses before kube-proxy's, on a Service's port"),
    sources=(
        ISSUE + "66103",
        "https://github.com/containernetworking/plugins/pull/269",
    ),
)

IP_FAMILY_MISMATCH = Cause(
    id="ip-family-mismatch",
    title="The Service has an address of one IP family and no endpoints of it",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A Service works over IPv4 and is refused over IPv6, or the other way round.",
    summary=(
        "The Service is dual-stack and its pods are not: connections over the family without "
        "endpoints are refused."
    ),
    remedy=(
        "kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={name}"
        "   # ADDRESSTYPE of both families?",
        "kubectl get pods -n {namespace} -o jsonpath='{{.items[*].status.podIPs}}'"
        "   # do the pods have both?",
        "{single}",
    ),
    sight=Sight(
        bpf="a refused request over the family that has no endpoints",
        conntrack="the same",
        capture="the same",
        state="a Service's addresses against its endpoints, by family",
    ),
    sources=(
        ISSUE + "90236",
        "https://kubernetes.io/docs/concepts/services-networking/dual-stack/",
    ),
)

DISCOVERY = Cause(
    id="discovery-not-datapath",
    title="The cluster's DNS Service has no endpoint: names do not resolve",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Names of Services do not resolve; their addresses work.",
    summary=(
        "Nothing is wrong with the path of packets: DNS has no ready pod, so that clients do "
        "not even ask the Service they mean."
    ),
    remedy=(
        "kubectl -n {namespace} get pods -l {selector} -o wide",
        "kubectl -n {namespace} rollout restart deployment coredns",
        "kubectl -n {namespace} logs -l {selector} --tail=50",
    ),
    sight=Sight(state="the DNS Service without usable endpoints"),
    sources=("https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",),
)
