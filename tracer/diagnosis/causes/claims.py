"""Addresses that Services claim: from others, from the network, or from the nodes."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, RULE_MODES, Cause, Sight
from tracer.diagnosis.finding import Severity

_PREVENT = (
    "Prevent it: enable the admission plug-in DenyServiceExternalIPs in kube-apiserver, or a "
    "ValidatingAdmissionPolicy that lets only your own ranges into spec.externalIPs"
)
_REMOVE = (
    "kubectl patch service {name} -n {namespace} --type=json "
    '-p \'[{{"op":"remove","path":"/spec/externalIPs"}}]\''
)

BLACKHOLE_ANY_IP = Cause(
    id="ipvs-external-ip-blackhole-any-ip",
    title="A Service claims a foreign address, and ipvs mode swallows everything sent to it",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="One outside address is unreachable from every node and pod, on every port.",
    summary=(
        "kube-proxy binds every address of spec.externalIPs on kube-ipvs0 of every node. Only the "
        "Service's ports are served; all else for that address ends on the node itself. Whoever "
        "may create Services can so take away a gateway, a name server or a registry."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace} -o yaml   # who made it, and why?",
        _REMOVE,
        "First aid on each node, until kube-proxy's next sync: ip addr del {prefix} dev kube-ipvs0",
        _PREVENT,
    ),
    sight=Sight(
        bpf="requests for the address delivered to this node itself",
        conntrack="requests for the address refused or unanswered",
        capture="the same, with the state directory",
        state="a gateway or a public address of externalIPs, bound on kube-ipvs0",
    ),
    sources=(ISSUE + "97076", ISSUE + "97110", ISSUE + "22650"),
)

EXTERNAL_IP_HIJACK = Cause(
    id="external-ip-hijack",
    title="A Service takes over the traffic of pods and nodes to a public address",
    severity=Severity.WARNING,
    modes=RULE_MODES,
    symptom="Something outside answers with the wrong certificate, or as somebody else.",
    summary=(
        "externalIPs names a public address or the nodes' gateway: what pods and nodes send to "
        "that address and port goes to the Service's pods instead (CVE-2020-8554)."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace} -o yaml   # is the address really yours?",
        _REMOVE,
        _PREVENT,
    ),
    sight=Sight(state="a public address, or a gateway, among a Service's externalIPs"),
    sources=(ISSUE + "97076", "https://github.com/Azure/AKS/issues/2012"),
)

ARP_FLUX = Cause(
    id="ipvs-arp-flux",
    title="Every node answers ARP for a load balancer address of ipvs mode",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="Long connections to a load balancer address break whenever the router asks again.",
    summary=(
        "The address is bound on kube-ipvs0 of every node, and with arp_ignore 0 Linux answers "
        "ARP for any address it holds: several nodes claim the address at once, and MetalLB or "
        "kube-vip is only one of them."
    ),
    remedy=(
        "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
        "kubectl -n kube-system edit configmap kube-proxy   # ipvs: {{strictARP: true}}",
        "kubectl -n kube-system rollout restart daemonset kube-proxy",
    ),
    sight=Sight(state="an address of the node's own network on kube-ipvs0, and arp_ignore is 0"),
    sources=(
        "https://github.com/metallb/metallb/issues/153",
        "https://github.com/kubermatic/kubermatic/issues/7309",
    ),
)

VIP_AS_NODE_ADDRESS = Cause(
    id="vip-chosen-as-node-address",
    title="A Service's address is used as a node's own",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="One node's pods lose the other nodes; answers go to an address that is nobody's.",
    summary=(
        "Something took an address of kube-ipvs0 for the node's: a CNI plug-in that uses the first "
        "it finds, or the kernel's choice of a source where kube-proxy's masquerade rule is gone. "
        "Other nodes hold the same address themselves and never answer it."
    ),
    remedy=(
        "kubectl get nodes -o wide   # an INTERNAL-IP that is a Service's?",
        "Calico: IP_AUTODETECTION_METHOD=kubernetes-internal-ip, or "
        "skip-interface=kube-ipvs.*,nodelocaldns; flannel: --iface=<interface>",
        "iptables-save -t nat | grep KUBE-CLUSTER-IP   # the rule 'src,dst' must jump to "
        "KUBE-MARK-MASQ",
        "kubectl -n kube-system rollout restart daemonset kube-proxy   # writes all rules again",
    ),
    sight=Sight(
        bpf="a request of this node that keeps a Service's address as source, unanswered",
        conntrack="the same",
        capture="the same, paired from packets",
        state="a Node object whose address is a Service's",
    ),
    sources=(ISSUE + "65158", "https://github.com/projectcalico/calico/issues/6910"),
)

FILTER_REJECTS_LEGIT = Cause(
    id="ipvs-filter-rejects-legit",
    title="kube-proxy's filter of ipvs mode lacks an exception, and refuses what it should serve",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="After an upgrade to 1.26, health checks or external addresses are refused.",
    summary=(
        "KUBE-IPVS-FILTER refuses new connections to every address of kube-ipvs0 unless a set "
        "lets them in. Early versions lacked the sets for health check node ports and for "
        "external addresses with policy Local."
    ),
    remedy=(
        "iptables -I KUBE-IPVS-FILTER 1 -m set --match-set {set} {match} -j RETURN"
        "   # until kube-proxy's next sync",
        "Upgrade kube-proxy: 1.27.2 and later have the exception for health checks, later ones "
        "that for external addresses",
    ),
    sight=Sight(
        bpf="the rules, and requests that were refused",
        conntrack="the rules, and refusals seen on an interface",
        state="KUBE-IPVS-FILTER without the exception that a Service needs",
    ),
    sources=(ISSUE + "117621", ISSUE + "117723", ISSUE + "121909"),
)

LB_SHORT_CIRCUIT = Cause(
    id="lb-ip-short-circuit",
    title="Inside the cluster a load balancer's address leads past the load balancer",
    severity=Severity.INFO,
    modes=EVERY_MODE,
    symptom="The public name works from outside and fails from pods: TLS or PROXY header errors.",
    summary=(
        "kube-proxy translates the load balancer's address on the node, so that what the load "
        "balancer adds (TLS, a PROXY header) is missing for clients inside, and the pod ends "
        "the connection."
    ),
    remedy=(
        "Let the cloud controller publish status.loadBalancer.ingress[].ipMode: Proxy for "
        "{namespace}/{name}, or a hostname instead of the address",
        "Or let clients inside the cluster use the ClusterIP (split DNS)",
        "Or let the program take connections without the PROXY header as well",
    ),
    sight=Sight(
        bpf="pods' connections to a load balancer address, all of them reset by the backend",
        conntrack="the same on the wire",
        capture="the same, paired from packets",
    ),
    sources=(
        ISSUE + "66607",
        "https://github.com/kubernetes/ingress-nginx/issues/3996",
        "https://github.com/hetznercloud/hcloud-cloud-controller-manager/issues/727",
    ),
)
