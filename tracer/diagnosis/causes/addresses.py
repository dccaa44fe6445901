"""Addresses: who owns them, and which of their ports are served."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, Cause, Sight
from tracer.diagnosis.finding import Severity

_STOP_PROXY = (
    "crictl stop $(crictl ps -q --name kube-proxy)"
    "   # docker: docker stop $(docker ps | grep kube-proxy | head -n1 | awk '{{print $1}}')"
)

EXTERNAL_IP_IS_NODE_IP = Cause(
    id="ipvs-external-ip-is-node-ip",
    title="A Service claims a node's own address, and ipvs mode takes it away from the node",
    severity=Severity.CRITICAL,
    modes=("ipvs",),
    symptom="One node cannot reach another on any port; control-plane nodes lose each other.",
    summary=(
        "kube-proxy binds every external and load balancer address of a Service on kube-ipvs0 of "
        "every node but the one that owns it. For a node's address that makes all other nodes "
        "deliver packets for it to themselves, on every port: etcd peers, kubelets and the API "
        "server lose each other."
    ),
    remedy=(
        "On each control-plane node ({masters}), so that kube-proxy cannot come back: "
        "systemctl stop kubelet",
        "On each of them, stop kube-proxy: " + _STOP_PROXY,
        "On each of them, give the addresses back "
        "(a node's own is not there; that error is harmless): {remove}",
        "Once that is done on all of them, etcd reconnects and the API answers: "
        "kubectl delete service {name} -n {namespace}",
        "On each control-plane node: systemctl start kubelet",
        "Then on each worker ({workers}): systemctl stop kubelet; "
        + _STOP_PROXY.partition("   #")[0]
        + "; {remove}; systemctl start kubelet",
        "Prevent it: enable the admission plug-in DenyServiceExternalIPs in kube-apiserver "
        "(--enable-admission-plugins=...,DenyServiceExternalIPs), or a ValidatingAdmissionPolicy "
        "that rejects externalIPs and load balancer addresses inside the nodes' ranges; "
        "iptables and nftables modes only translate the Service's own ports",
    ),
    sources=(
        ISSUE + "127410",
        ISSUE + "93175",
        ISSUE + "75290",
        ISSUE + "104679",
        ISSUE + "66966",
    ),
    sight=Sight(
        bpf="packets for the other node delivered locally, or taken for spoofed",
        conntrack="packets to the other node on the loopback device, or unanswered",
        capture="the same, with the state directory or the Services of ipvs mode",
        state="a node address on kube-ipvs0, or in a Service that ipvs mode binds",
    ),
)

LOCAL_VIP_IS_SOURCE = Cause(
    id="local-vip-is-packet-source",
    title="Packets come from an address that this node holds itself",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A load balancer calls the nodes unhealthy; its requests are ignored without a word.",
    summary=(
        "The load balancer sends from its own address, and that address is bound on this node "
        "(kube-ipvs0, or an agent's doing): the kernel takes the packets for spoofed."
    ),
    remedy=(
        "ip addr show to {address}   # where it is bound",
        "Let the cloud controller publish status.loadBalancer.ingress[].ipMode: Proxy for {where}, "
        "or a hostname instead of the address",
        "First aid, until kube-proxy's next sync: ip addr del {prefix} dev kube-ipvs0",
    ),
    sight=Sight(bpf="drops of packets whose source is a Service's address bound here"),
    sources=(ISSUE + "79783", ISSUE + "66607", ISSUE + "59976"),
)

ROUTING_LOOP = Cause(
    id="unserved-vip-routing-loop",
    title="Packets to a port no Service serves go round between node and router",
    severity=Severity.WARNING,
    modes=("iptables", "nftables"),
    symptom="'Time to live exceeded', and a link busy with nothing.",
    summary=(
        "The router sends the Services' range to the node, no rule takes this port, and the "
        "node's default route leads back to the router, until the packet's time to live is over."
    ),
    remedy=(
        "kubectl get services -A | grep {address}   # which ports are served?",
        "ip route get {address}   # leads back to where it came from",
        "{tool} -I FORWARD -d {prefix} -j REJECT"
        "   # on the nodes: what a Service's rules take has another destination by then",
        "Advertise single addresses (/32, /128) only; Calico: serviceLoopPrevention",
    ),
    sight=Sight(
        bpf="packets: one request many times on one interface",
        conntrack="one request many times on one interface",
        capture="one request many times on one interface",
    ),
    sources=(
        "https://github.com/projectcalico/felix/pull/2690",
        "https://github.com/cilium/cilium/issues/20436",
    ),
)

VIP_PORT_NOT_SERVED = Cause(
    id="vip-port-not-served",
    title="The address is a Service's, but no Service serves that port",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="An address that answers on one port refuses, or swallows, another one.",
    summary=(
        "Rules exist for a Service's own ports only. Others are refused with ICMP (nftables, "
        "ipvs since 1.26), delivered to the node itself (ipvs before), or routed away (iptables)."
    ),
    remedy=(
        "kubectl get service {name} -n {namespace}   # served: {ports}",
        "Use one of these ports, or add {port} to spec.ports: "
        "kubectl edit service {name} -n {namespace}",
    ),
    sight=Sight(
        bpf="a request to a Service's address and none of its ports, refused or lost",
        conntrack="the same",
        capture="the same",
    ),
    sources=(ISSUE + "72236", ISSUE + "108460"),
)

PING_VIP = Cause(
    id="ping-vip",
    title="A ping to a Service's address says nothing about the Service",
    severity=Severity.INFO,
    modes=EVERY_MODE,
    symptom="'Ping does not work, so the Service is down.'",
    summary=(
        "Services translate their own ports only. An echo request is answered by the node itself "
        "(ipvs before 1.26), refused (ipvs since, nftables) or routed away (iptables)."
    ),
    remedy=("Test a port of the Service instead: nc -vz {address} {port}   # it serves {ports}",),
    sight=Sight(
        bpf="an echo request to a Service's address, refused or unanswered",
        conntrack="the same",
        capture="the same",
    ),
    sources=("https://github.com/kubernetes/website/issues/41002", ISSUE + "108460"),
)

NODE_PORT_ON_LOOPBACK = Cause(
    id="nodeport-localhost",
    title="A node port was asked for on the loopback address",
    severity=Severity.INFO,
    modes=EVERY_MODE,
    symptom="curl 127.0.0.1:<nodePort> hangs or is refused on the node itself.",
    summary=(
        "nftables and ipvs modes serve no node ports on 127.0.0.1, and no mode does on ::1. "
        "iptables mode does only while route_localnet is 1."
    ),
    remedy=(
        "Use an address of the node: curl {address}:{port}",
        "In iptables mode only: sysctl -w net.ipv4.conf.all.route_localnet=1, and keep "
        "kube-proxy's iptables.localhostNodePorts: true   # mind CVE-2020-8558",
    ),
    sight=Sight(
        conntrack="a request on the loopback device to a node port, refused or unanswered",
        bpf="a request on the loopback device to a node port, refused or unanswered",
        capture="a request on the loopback device to a node port, refused or unanswered",
    ),
    sources=(ISSUE + "67730", ISSUE + "96879", ISSUE + "111840", ISSUE + "90259"),
)

NODE_PORT_ADDRESS = Cause(
    id="nodeport-address-not-selected",
    title="The node port is not served on this address of the node",
    severity=Severity.WARNING,
    modes=("nftables",),
    symptom="A node port works on one address of the node and is refused on another.",
    summary=(
        "kube-proxy serves node ports on selected addresses; nftables mode by default on the "
        "node's primary address only."
    ),
    remedy=(
        "Use the node's primary address: {primary}",
        'Or let kube-proxy serve all of them: nodePortAddresses: ["0.0.0.0/0", "::/0"] in its '
        "configuration: kubectl -n kube-system edit configmap kube-proxy; "
        "kubectl -n kube-system rollout restart daemonset kube-proxy",
    ),
    sight=Sight(
        bpf="a reset by this node for a node port, on an address that is not its primary one",
        conntrack="the same reset on the wire",
        capture="the same reset on the wire, with the node's state",
    ),
    sources=(
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/3866-nftables-proxy",
        ISSUE + "75443",
    ),
)
