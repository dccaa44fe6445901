"""IPVS: its connections, its real servers, and settings that lose packets."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import ISSUE, Cause, Sight
from tracer.diagnosis.finding import Severity

_IPVS = ("ipvs",)
_SYSCTL = "https://www.kernel.org/doc/html/latest/networking/ipvs-sysctl.html"

IDLE_TIMEOUT_RST = Cause(
    id="ipvs-idle-timeout-rst",
    title="IPVS had forgotten the connection, and the node reset it",
    severity=Severity.WARNING,
    modes=_IPVS,
    symptom="Connections that were idle for some 15 minutes are reset by their next packet.",
    summary=(
        "IPVS forgets a TCP connection after 900 s without packets. The next segment is delivered "
        "to the node itself, which holds the Service's address and resets what it does not know; "
        "the pod never hears of it."
    ),
    remedy=(
        "ipvsadm --set 7200 120 300   # seconds: TCP, after FIN, UDP",
        "Keep it so in kube-proxy's configuration: ipvs: {{tcpTimeout: 7200s}}",
        "Or let clients send keepalives sooner: net.ipv4.tcp_keepalive_time=600",
    ),
    sight=Sight(
        bpf="a reset by this node of an IPVS connection that had been answered",
        conntrack="the same reset on the wire",
    ),
    sources=(
        "https://github.com/cloudnativelabs/kube-router/issues/521",
        ISSUE + "71358",
        ISSUE + "80298",
    ),
)

CONN_REUSE_DELAY = Cause(
    id="ipvs-conn-reuse-delay",
    title="This kernel drops the first packet of connections that reuse a port",
    severity=Severity.WARNING,
    modes=_IPVS,
    symptom="Connections take a second longer now and then, under many connections of one client.",
    summary=(
        "Before Linux 5.9, with conn_reuse_mode=1 and vs.conntrack=1, IPVS drops a SYN that reuses "
        "the ports of a connection it still remembers; the client repeats it after a second."
    ),
    remedy=(
        "uname -r   # 5.9 and later, and many stable kernels of distributions, are cured",
        "sysctl -w net.ipv4.vs.conn_reuse_mode=0   # then old connections keep their server",
    ),
    sight=Sight(state="the kernel's version and the two settings"),
    sources=(ISSUE + "70747", ISSUE + "93297", _SYSCTL),
)

REUSE_TO_DRAINING = Cause(
    id="ipvs-reuse-to-draining-server",
    title="Reused ports keep clients on a real server that is being drained",
    severity=Severity.WARNING,
    modes=_IPVS,
    symptom="After a roll-out a busy client keeps being sent to an old pod, for minutes.",
    summary=(
        "With conn_reuse_mode=0 a new connection on remembered ports goes where the last one "
        "went, also to a server of weight 0; reuse keeps that server from ever being removed."
    ),
    remedy=(
        "sysctl -w net.ipv4.vs.conn_reuse_mode=1 net.ipv4.vs.expire_nodest_conn=1"
        "   # from Linux 5.9 on without a delay",
        "ipvsadm -d {option} {virtual} -r {server}   # at once",
    ),
    sight=Sight(
        bpf="a failed connection to a real server of weight 0, and the setting",
        conntrack="the same",
        capture="the same, with the state directory",
    ),
    sources=(ISSUE + "81775", ISSUE + "99162", ISSUE + "84322"),
)

WEIGHT_ZERO = Cause(
    id="ipvs-weight-zero-after-restart",
    title="A ready endpoint has weight 0 in IPVS and gets no traffic",
    severity=Severity.WARNING,
    modes=_IPVS,
    symptom="A healthy pod gets no connections, or the Service refuses although pods are ready.",
    summary=(
        "kube-proxy drains a server by weight 0 and remembers it in memory only: restarted in "
        "between, it leaves the weight at 0 when the endpoint is ready again."
    ),
    remedy=(
        "ipvsadm -e {option} {virtual} -r {server} -m -w 1",
        "Upgrade kube-proxy: later ones set the weights on their first sync",
    ),
    sight=Sight(state="a real server of weight 0 that is a ready endpoint"),
    sources=(ISSUE + "92019", ISSUE + "111903"),
)

DEFENSE = Cause(
    id="ipvs-defense-or-ftp-special-case",
    title="IPVS drops packets on purpose, or treats a Service specially",
    severity=Severity.WARNING,
    modes=_IPVS,
    symptom="Random requests are lost and repeated; or port 21 behaves unlike all others.",
    summary=(
        "The defences drop_packet, drop_entry and secure_tcp make IPVS drop new connections; a "
        "virtual server on port 21 takes other ports of its address along."
    ),
    remedy=(
        "sysctl -w net.ipv4.vs.drop_packet=0 net.ipv4.vs.drop_entry=0 net.ipv4.vs.secure_tcp=0",
        "grep -rs 'net.ipv4.vs' /etc/sysctl.d /etc/sysctl.conf   # who set them?",
        "ipvsadm -Sn | grep ':21 '   # a Service on port 21 should get another port",
    ),
    sight=Sight(state="the settings, and virtual servers on port 21"),
    sources=(_SYSCTL,),
)

FOREIGN_SERVER = Cause(
    id="ipvs-foreign-virtual-server",
    title="IPVS holds a virtual server that is no Service's",
    severity=Severity.WARNING,
    modes=_IPVS,
    symptom="Traffic is captured by a Service of the past, or keepalived's servers vanish.",
    summary=(
        "kube-proxy removes virtual servers it does not know, but for those inside "
        "ipvs.excludeCIDRs, which nobody removes: an old one lives on and takes the traffic."
    ),
    remedy=(
        "ipvsadm -Sn | grep -F '{virtual}'   # whose is it? keepalived, kube-vip?",
        "ipvsadm -D {option} {virtual}",
        'If it is meant to be there: ipvs: {{excludeCIDRs: ["{prefix}"]}} in kube-proxy\'s '
        "configuration; other balancers are better off on hosts of their own",
    ),
    sight=Sight(state="a virtual server whose address and port no Service has"),
    sources=(ISSUE + "55857", "https://github.com/kube-vip/kube-vip/issues/895"),
)
