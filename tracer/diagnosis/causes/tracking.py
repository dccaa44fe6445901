"""What conntrack, filters, bridges and links do to packets of Services."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, SOURCE_IP, Cause, Sight
from tracer.diagnosis.finding import Severity

INVALID_DROP = Cause(
    id="conntrack-invalid-drop",
    title="Packets that conntrack cannot place are dropped by kube-proxy's rule",
    severity=Severity.WARNING,
    modes=("iptables",),
    symptom="Traffic that takes another way back, or was resumed, hangs at this node.",
    summary=(
        "KUBE-FORWARD drops every forwarded packet whose connection conntrack has not seen from "
        "its beginning: answers of asymmetric routes, connections taken over from another node."
    ),
    remedy=(
        "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1; "
        "kubectl -n kube-system rollout restart daemonset kube-proxy"
        "   # it then leaves the rule out",
        "iptables -D KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP"
        "   # at once, until kube-proxy's next sync",
        "Make requests and answers pass the same node: ip route get {client}; ip rule",
    ),
    sight=Sight(
        bpf="drops by netfilter of TCP packets whose connection never began here, and the rule"
    ),
    sources=(ISSUE + "94861", ISSUE + "120412"),
)

STALE_TCP_SCTP = Cause(
    id="stale-tcp-sctp-conntrack",
    title="An old mapping keeps a client's fixed port on an endpoint that is gone",
    severity=Severity.WARNING,
    modes=("iptables", "nftables"),
    symptom="One TCP or SCTP client with a fixed port never gets through; others do.",
    summary=(
        "kube-proxy removes old mappings of UDP only. A client that tries again and again from one "
        "port keeps its old one alive, and it leads to an endpoint that has left."
    ),
    remedy=(
        "conntrack -L -p {protocol} --orig-dst {virtual}   # [UNREPLIED], to whom?",
        "conntrack -D -p {protocol} --orig-dst {virtual} --reply-src {backend}"
        "   # the next packet is translated anew",
        "Let the client choose its ports freely",
    ),
    sight=Sight(
        bpf="an old mapping in use that leads to no endpoint",
        conntrack="the same",
    ),
    sources=(ISSUE + "101607", ISSUE + "102631", ISSUE + "104755"),
)

OVER_MASQUERADE = Cause(
    id="over-masquerade-networkpolicy",
    title="A network policy refuses a client because its address was rewritten to a node's",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A policy that lets a client in refuses it as soon as it comes through a Service.",
    summary=(
        "Traffic from outside to a node port or load balancer is masqueraded: the pod's policy "
        "sees the address of the node, which it does not let in."
    ),
    remedy=(
        "Let the nodes in: an ipBlock with {client} and the other nodes' addresses in the policy's "
        "ingress rules",
        "Or keep the client's address, at nodes that have an endpoint: "
        "kubectl patch service {name} -n {namespace} "
        '-p \'{{"spec":{{"externalTrafficPolicy":"Local"}}}}\'',
    ),
    sight=Sight(
        bpf="a drop of a node's request to an endpoint here, in the chains of a policy engine",
        conntrack="silence for such a request, and rules that drop it",
        capture="silence for such a request, and rules that drop it",
    ),
    sources=(SOURCE_IP, "https://github.com/cloudnativelabs/kube-router/issues/9"),
)

FOREIGN_FIREWALL = Cause(
    id="foreign-firewall-order",
    title="A firewall's rule that is not Kubernetes' refuses or drops the request",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Services are blocked although kube-proxy's rules are right.",
    summary=(
        "firewalld, ufw, a cloud agent or an administrator's rule comes before kube-proxy's, or "
        "drops what kube-proxy's would let through."
    ),
    remedy=(
        "{tool}-save | grep -n -- '{chain}'   # the rule, and what comes before it",
        "systemctl status firewalld ufw nftables   # who made it?",
        "firewalld: firewall-cmd --permanent --zone=trusted --add-source=<pods' range>; ufw: "
        "ufw route allow from <pods' range>; node ports: open 30000-32767",
        "kubectl -n kube-system rollout restart daemonset kube-proxy"
        "   # where a firewall's reload flushed its rules",
    ),
    sight=Sight(
        bpf="a drop by netfilter that a foreign rule explains, or ICMP 'prohibited'",
        conntrack="ICMP 'prohibited' on the wire, or silence that a foreign rule explains",
        capture="ICMP 'prohibited' on the wire",
        state="pods' packets walked through the rules end at a foreign one (audit)",
    ),
    sources=("https://github.com/projectcalico/calico/issues/1055", SOURCE_IP),
)

HAIRPIN_MODE_OFF = Cause(
    id="bridge-hairpin-mode-off",
    title="The bridge does not send a pod's packet back to the port it came from",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A pod cannot reach itself through its own Service, though it is masqueraded.",
    summary=(
        "The Service chose the asking pod itself and rewrote the source, but a bridge sends no "
        "frame out of the port it came in by, unless hairpin mode is on there."
    ),
    remedy=(
        "bridge -d link show   # hairpin off?",
        "bridge link set dev {device} hairpin on",
        'Keep it so: "hairpinMode": true in the CNI plug-in\'s configuration',
    ),
    sight=Sight(
        bpf="a masqueraded request of a pod to itself, unanswered, where pods are on a bridge",
        conntrack="the same",
        capture="the same, with the state directory",
    ),
    sources=(ISSUE + "13375", ISSUE + "20475"),
)

BRIDGE_NF_CALL = Cause(
    id="bridge-nf-call-off",
    title="Answers between pods of one bridge bypass netfilter and keep the pod's address",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A Service works from other nodes and fails where client and pod share a node.",
    summary=(
        "The request is routed and translated; the answer goes straight over the bridge, past "
        "conntrack, so that it comes from the pod's own address and the client rejects it."
    ),
    remedy=(
        "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 "
        "net.bridge.bridge-nf-call-ip6tables=1",
        "Keep it so: echo br_netfilter > /etc/modules-load.d/k8s.conf; echo "
        "'net.bridge.bridge-nf-call-iptables = 1' > /etc/sysctl.d/90-kubernetes-bridge.conf",
    ),
    sight=Sight(
        bpf="a translation between two pods of this node, unanswered, and the setting",
        conntrack="the same",
        capture="the pod's answer in its own name, and the setting",
        state="the setting, and a bridge with an address of the pods' range (audit)",
    ),
    sources=(ISSUE + "21613", ISSUE + "87426", ISSUE + "38802"),
)

VXLAN_CHECKSUM = Cause(
    id="vxlan-checksum-offload",
    title="Tunnel packets arrive with a wrong checksum and are dropped",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Services take 1, 3 or 63 s, or hang, for endpoints on other nodes only.",
    summary=(
        "A kernel or a network card computes the outer UDP checksum of tunnelled packets wrongly "
        "(masqueraded ones above all); the receiving node drops them."
    ),
    remedy=(
        "On the sending node: ethtool -K <tunnel device, e.g. flannel.1> "
        "tx-checksum-ip-generic off",
        "Keep it so with a udev or systemd unit; or upgrade: Linux 5.7 or 4.19.124, flannel and "
        "Calico that detect it",
        "nstat -az UdpInCsumErrors   # on the receiving node: rises",
    ),
    sight=Sight(bpf="drops with reason UDP_CSUM on a tunnel's port"),
    sources=(
        ISSUE + "88986",
        ISSUE + "91519",
        "https://github.com/projectcalico/calico/issues/3145",
    ),
)

MTU_BLACKHOLE = Cause(
    id="mtu-blackhole",
    title="Packets are too big for the way on, and their sender does not hear of it",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Connections open and small answers come; large ones hang.",
    summary=(
        "Somewhere the way is narrower than the sender's interface. The node answers with ICMP "
        "'fragmentation needed', which gets lost: the sender repeats the same packet for ever."
    ),
    remedy=(
        "tracepath -n {backend}   # where does the packet size fall?",
        "Lower the CNI plug-in's MTU below the narrowest link minus 50 (VXLAN), 20 (IPIP) or 80 "
        "(WireGuard) bytes",
        "Let ICMP 3/4 (ICMPv6 type 2) through every firewall on the way",
        "iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN "
        "-j TCPMSS --clamp-mss-to-pmtu   # first aid; on clients: net.ipv4.tcp_mtu_probing=1",
    ),
    sight=Sight(
        bpf="ICMP 'too big' for one flow, again after seconds",
        conntrack="the same on the wire",
        capture="the same",
    ),
    sources=(
        "https://github.com/cloudnativelabs/kube-router/issues/685",
        "https://github.com/projectcalico/calico/issues/8854",
    ),
)

INVALID_RST = Cause(
    id="conntrack-invalid-rst",
    title="An answer that conntrack could not place reached the client with the pod's address",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Long transfers end with 'connection reset by peer'.",
    summary=(
        "A segment outside the expected window is INVALID to conntrack and is not translated back. "
        "The client does not know its sender, resets it, and that reset ends the real connection."
    ),
    remedy=(
        "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
        "Keep it so: echo 'net.netfilter.nf_conntrack_tcp_be_liberal = 1' > "
        "/etc/sysctl.d/90-kubernetes-conntrack.conf",
        "Or drop such packets: iptables -I FORWARD -m conntrack --ctstate INVALID -j DROP",
    ),
    sight=Sight(
        bpf="the client's reset to the pod's own address, in a connection that worked",
        conntrack="the same on the wire",
        capture="the same, paired from packets",
    ),
    sources=(
        ISSUE + "74839",
        "https://kubernetes.io/blog/2019/03/29/kube-proxy-subtleties-debugging-an-intermittent-connection-reset/",
    ),
)

CLUSTER_IP_FROM_OUTSIDE = Cause(
    id="clusterip-from-outside",
    title="A client outside the cluster asks a ClusterIP, which exists only on its nodes",
    severity=Severity.INFO,
    modes=EVERY_MODE,
    symptom="A ClusterIP times out from a machine that is no node.",
    summary=(
        "ClusterIPs are translated on nodes and are never on the wire: elsewhere the request goes "
        "to the default gateway and dies there."
    ),
    remedy=(
        "Use a node port or a load balancer address: "
        "kubectl get service {name} -n {namespace} -o wide",
        "ip route add {prefix} via {node}   # or, on the client or its router: send it to a node",
    ),
    sight=Sight(
        bpf="an outside client's request to a ClusterIP that nothing here translated",
        conntrack="the same",
        capture="the same",
    ),
    sources=(
        ISSUE + "68194",
        "https://kubernetes.io/docs/tutorials/services/connect-applications-service/",
    ),
)
