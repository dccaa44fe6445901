"""Addresses: who owns them, and which of their ports are served."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import ISSUE, Cause, Sight
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
