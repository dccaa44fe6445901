"""Connection tracking and translation of addresses."""

from __future__ import annotations

from tracer.diagnosis.causes.cause import EVERY_MODE, ISSUE, SOURCE_IP, TABLES_ANEW, Cause, Sight
from tracer.diagnosis.finding import Severity

_RACE = "https://github.com/weaveworks/weave/issues/3287"

CONNTRACK_TABLE_FULL = Cause(
    id="conntrack-table-full",
    title="The table of connections is full",
    severity=Severity.CRITICAL,
    modes=EVERY_MODE,
    symptom="New connections time out at random; established ones live.",
    summary=(
        "Every connection through netfilter needs an entry; when the table holds "
        "nf_conntrack_max of them, the first packets of new connections are dropped."
    ),
    remedy=(
        "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max",
        "sysctl -w net.netfilter.nf_conntrack_max={larger}"
        "   # some 320 bytes each; kube-proxy sets it: conntrack.maxPerCore, conntrack.min",
        "conntrack -L | awk '{{print $1, $4}}' | sort | uniq -c | sort -rn | head"
        "   # who fills it: protocols and states",
        "Shorten what lingers: sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=30 "
        "net.netfilter.nf_conntrack_tcp_timeout_established=86400",
    ),
    sight=Sight(
        bpf="an entry that could not be had",
        conntrack="the count beside the limit",
        state="the count beside the limit",
    ),
    sources=("https://www.kernel.org/doc/html/latest/networking/nf_conntrack-sysctl.html",),
)

SNAT_PORT_EXHAUSTION = Cause(
    id="snat-port-exhaustion",
    title="No free source port is left for another masqueraded connection",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="Timeouts from many clients to one destination; other destinations are reached.",
    summary=(
        "Masqueraded connections to one address and port share the node's source ports. When "
        "those are taken, conntrack cannot insert the next mapping and its packets are dropped, "
        "the repeated ones too."
    ),
    remedy=(
        "conntrack -S   # insert_failed and drop rise together with every attempt",
        "conntrack -L {destination} 2>/dev/null | wc -l   # connections to one destination",
        "iptables-save -t nat | grep -- --to-ports   # a range that is too narrow?",
        "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=30   # frees ports sooner",
        "Reuse connections; give the node more addresses; avoid masquerading "
        "(externalTrafficPolicy: Local)",
    ),
    sight=Sight(
        bpf="a mapping that cannot be inserted, for another has its tuple, or at every try"
    ),
    sources=("https://github.com/containernetworking/plugins/issues/163", _RACE),
)

CONNTRACK_INSERT_RACE = Cause(
    id="conntrack-insert-race",
    title="Two packets of one socket raced for the same mapping, and one was dropped",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="DNS look-ups that take 5 seconds now and then.",
    summary=(
        "Two first packets from one socket (DNS asks for A and AAAA at once) were translated at "
        "the same time; conntrack can insert only one of the two and drops the other packet."
    ),
    remedy=(
        "conntrack -S   # insert_failed rises",
        "Run NodeLocal DNSCache, so that queries are not translated",
        "In pods with glibc: dnsConfig.options single-request-reopen, or use-vc",
        "Run a kernel of 5.8 or later: it resolves most of these clashes",
    ),
    sight=Sight(bpf="a mapping of a datagram that could not be inserted"),
    sources=(ISSUE + "56903", _RACE),
)

HAIRPIN_NO_MASQUERADE = Cause(
    id="hairpin-no-masquerade",
    title="A pod that reaches itself through its own Service gets its own address as source",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A pod cannot reach its own Service, one time in as many as there are endpoints.",
    summary=(
        "The Service chose the asking pod itself, and the source was not rewritten: the pod takes "
        "a packet from its own address for spoofed and drops it."
    ),
    remedy=(
        "iptables-save -t nat | grep -- '-s {pod}'"
        "   # iptables mode: must jump to KUBE-MARK-MASQ; ipvs: ipset list KUBE-LOOP-BACK; "
        "nftables: nft list table ip kube-proxy | grep 'saddr {pod} '",
        "kubectl get pod -A -o wide --field-selector status.podIP={pod}"
        "   # is it on the node that kube-proxy takes itself for? else set hostnameOverride",
        TABLES_ANEW,
        "kubectl -n kube-system rollout restart daemonset kube-proxy   # writes all rules again",
    ),
    sight=Sight(
        bpf="a translation to the asking pod with unchanged source, dropped or unanswered",
        conntrack="the same in conntrack's table, unanswered",
        capture="the same, paired from packets",
        state="a local endpoint without the rule for asking itself (audit)",
    ),
    sources=(ISSUE + "53775", ISSUE + "20475"),
)

IPVS_CONNTRACK_OFF = Cause(
    id="ipvs-conntrack-off",
    title="IPVS keeps its connections out of conntrack, so nothing can be masqueraded",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="Clients outside reach a Service only where an endpoint is on the node they asked.",
    summary=(
        "With net.ipv4.vs.conntrack=0 the MASQUERADE rule never sees IPVS's packets: a pod on "
        "another node answers the client with its own address, which the client rejects."
    ),
    remedy=(
        "sysctl -w net.ipv4.vs.conntrack=1",
        "grep -rs 'vs.conntrack' /etc/sysctl.d /etc/sysctl.conf"
        "   # who turned it off? it also returns to 0 when ip_vs is loaded anew",
    ),
    sight=Sight(
        bpf="an IPVS connection of an outside client, source unchanged, and the setting",
        conntrack="the same from IPVS's table, and the setting",
        capture="the same, paired from packets, with the state directory",
        state="the setting in ipvs mode (audit)",
    ),
    sources=("https://www.kernel.org/doc/html/latest/networking/ipvs-sysctl.html",),
)

MASQUERADE_MISSING = Cause(
    id="masquerade-missing",
    title="An outside client's source is kept where it must be rewritten",
    severity=Severity.WARNING,
    modes=EVERY_MODE,
    symptom="A NodePort works only when it happens to choose an endpoint on the same node.",
    summary=(
        "The policy is Cluster and the endpoint is on another node, but the node did not put "
        "its own address as source: the pod answers the client directly, which rejects that."
    ),
    remedy=(
        "iptables-save -t nat | grep -E 'POSTROUTING|KUBE-MARK-MASQ'"
        "   # does POSTROUTING jump to KUBE-POSTROUTING first? nftables: "
        "nft list chain ip kube-proxy masquerading",
        "Look for a rule before it that accepts or returns, or that uses mark 0x4000 as well",
        "Check kube-proxy's clusterCIDR: wider than the pods' range, it takes clients for pods",
        "kubectl -n kube-system rollout restart daemonset kube-proxy   # writes all rules again",
    ),
    sight=Sight(
        bpf="a mapping of an outside client to a remote endpoint with unchanged source, unanswered",
        conntrack="the same",
        capture="the same, paired from packets, with the node's addresses",
        state="no MASQUERADE in KUBE-POSTROUTING or masquerading (audit)",
    ),
    sources=(SOURCE_IP, ISSUE + "66062", ISSUE + "85572"),
)

STALE_UDP_CONNTRACK = Cause(
    id="stale-udp-conntrack",
    title="An old mapping keeps a UDP client away from the Service's endpoints",
    severity=Severity.WARNING,
    modes=("iptables", "nftables"),
    symptom="One UDP client with a fixed port gets no answers while new clients do.",
    summary=(
        "Translation is decided once per mapping, and every packet keeps the mapping alive. This "
        "one is older than the endpoints: it leads to one that is gone, or nowhere."
    ),
    remedy=(
        "conntrack -L -p udp --orig-dst {virtual}   # [UNREPLIED], and whose address answers",
        "conntrack -D -p udp --orig-dst {virtual} --orig-port-dst {port}"
        "   # the next packet is translated anew",
        "Upgrade kube-proxy: it removes such mappings when endpoints change",
    ),
    sight=Sight(
        bpf="an old mapping of UDP that is in use and does not lead to an endpoint",
        conntrack="the same",
    ),
    sources=(ISSUE + "48370", ISSUE + "125467", ISSUE + "126130"),
)

IPVS_NODEST_SILENT_DROP = Cause(
    id="ipvs-nodest-silent-drop",
    title="Established connections to a removed endpoint hang, for IPVS drops their packets",
    severity=Severity.WARNING,
    modes=("ipvs",),
    symptom="Connections that worked stand still for minutes after a pod has gone.",
    summary=(
        "With expire_nodest_conn=0 IPVS keeps the entry of a connection whose real server was "
        "removed and drops every packet of it silently, until the client gives up."
    ),
    remedy=(
        "sysctl -w net.ipv4.vs.expire_nodest_conn=1   # clients get a reset at once",
        "grep -rs expire_nodest_conn /etc/sysctl.d /etc/sysctl.conf   # who turned it off?",
        "In clients: time-outs of their own, or net.ipv4.tcp_retries2=8",
    ),
    sight=Sight(
        bpf="drops of an IPVS connection that had been answered, its real server gone",
        state="the setting in ipvs mode (audit)",
    ),
    sources=(
        "https://www.kernel.org/doc/html/latest/networking/ipvs-sysctl.html",
        ISSUE + "71358",
        ISSUE + "71894",
        ISSUE + "77903",
    ),
)
