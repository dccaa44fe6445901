"""The node's own network settings: forwarding, filters and routes."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, RULE_MODES, Cause, Sight
from tracer.diagnosis.finding import Severity

RP_FILTER_DROP = Cause(
    id="rp-filter-drop",
    title="The reverse path filter drops requests that came in by another interface",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Timeouts on one network interface of the node, while others serve.",
    summary=(
        "The kernel would send the answer out of another interface than the one the request "
        "came in by, and rp_filter drops such requests before any Service rule sees them."
    ),
    remedy=(
        "ip route get {client} from {virtual} iif {interface}"
        "   # 'Invalid cross-device link': the filter drops it",
        "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{interface}.rp_filter=2"
        "   # loose: any route back will do; the higher of the two counts",
        "Keep it so: a file in /etc/sysctl.d; or make routes and rules (ip route; ip rule) "
        "send answers back the way requests come",
    ),
    sight=Sight(bpf="drops with reason IP_RPFILTER"),
    sources=(
        "https://github.com/aws/amazon-vpc-cni-k8s/pull/130",
        "https://github.com/cilium/cilium/issues/13130",
        ISSUE + "124587",
    ),
)

IP_FORWARD_OFF = Cause(
    id="ip-forward-off",
    title="IP forwarding is off on this node",
    severity=Severity.CRITICAL,
    modes=EVERY_MODE,
    symptom="Pods of the node reach nothing outside it; the node itself does.",
    summary=(
        "The kernel does not pass packets between interfaces. In iptables and nftables modes "
        "requests die on arrival; in ipvs mode they reach the pod, and its answer dies here."
    ),
    remedy=(
        "sysctl -w {setting}=1",
        "Keep it so: echo '{setting} = 1' > /etc/sysctl.d/90-kubernetes-forwarding.conf",
        "grep -rs 'forward' /etc/sysctl.d /etc/sysctl.conf /usr/lib/sysctl.d"
        "   # find what turned it off: hardening, VPN and network managers do",
    ),
    sight=Sight(
        bpf="drops with reason IP_INADDRERRORS, and the setting",
        conntrack="unanswered requests that must be forwarded, and the setting",
        capture="unanswered requests that must be forwarded, and the setting",
        state="the setting on a node that runs pods",
    ),
    sources=(
        ISSUE + "45022",
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
    ),
)

FORWARD_POLICY_DROP = Cause(
    id="forward-policy-drop",
    title="The FORWARD chain drops what no rule accepts",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Traffic between nodes and pods times out after Docker, ufw or firewalld came.",
    summary=(
        "Something set the policy of the filter table's FORWARD chain to DROP. In iptables and "
        "nftables modes requests to ClusterIPs die there, in ipvs mode the pods' answers do."
    ),
    remedy=(
        "{tool} -S FORWARD   # its policy and rules",
        "{tool} -P FORWARD ACCEPT",
        'Keep it so: Docker: "iptables": false in /etc/docker/daemon.json; ufw: '
        'DEFAULT_FORWARD_POLICY="ACCEPT" in /etc/default/ufw; or a CNI plug-in that accepts '
        "its pods' ranges",
    ),
    sight=Sight(
        bpf="drops by netfilter of forwarded requests, and the policy",
        conntrack="unanswered forwarded requests, and the policy",
        capture="unanswered forwarded requests, and the policy",
        state="a pod's packet walked through the rules ends at the policy (audit)",
    ),
    sources=(ISSUE + "39823", ISSUE + "59656", ISSUE + "108718"),
)

NO_DEFAULT_ROUTE = Cause(
    id="no-default-route",
    title="The node has no route for Service addresses, so its own processes cannot use them",
    severity=Severity.WARNING,
    modes=RULE_MODES,
    symptom="'Network is unreachable' for ClusterIPs on the node itself; its pods reach them.",
    summary=(
        "A packet of the node itself is routed before it is translated. Without a default route, "
        "or one for the Services' range, it is never sent; pods' packets are translated first."
    ),
    remedy=(
        "ip route get {address}   # 'Network is unreachable'",
        "ip link add service-routes type dummy; ip link set service-routes up; "
        "ip route add default dev service-routes metric 5000",
        "Or give the node its default route back: ip route add default via <gateway>",
    ),
    sight=Sight(state="no route of the node covers a Service's address"),
    sources=("https://docs.k3s.io/installation/airgap",),
)

ENDPOINT_UNREACHABLE = Cause(
    id="endpoint-unreachable-underlay",
    title="This node finds no way to the endpoint",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A Service works for endpoints on this node and fails for those on another.",
    summary=(
        "The request was translated, and then no route led to the endpoint, or its next hop did "
        "not answer: the pod network between the nodes is broken, not the Service."
    ),
    remedy=(
        "ip route get {backend}; ip neigh show | grep -E 'FAILED|INCOMPLETE'",
        "From this node, without the Service: nc -vz {backend} {port}   # fails as well",
        "kubectl get nodes -o wide; kubectl -n kube-system get pods -o wide"
        "   # is node {node} up, and its network plug-in? tunnels need UDP 8472, 4789 or IPIP",
    ),
    sight=Sight(
        bpf="no route, no neighbour or an ICMP error of a node, after translation to an endpoint",
        conntrack="the ICMP error on the wire, after translation",
        capture="the ICMP error on the wire, paired from packets",
    ),
    sources=("https://github.com/kubernetes-sigs/kind/issues/2415",),
)
