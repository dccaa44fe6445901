"""How the lab makes each cause happen: written by ``make docs``."""

from __future__ import annotations

from collections.abc import Mapping

# fmt: off
REPRODUCED: Mapping[str, tuple[str, ...]] = {
    "ipvs-external-ip-is-node-ip": (
        "The same Service in ipvs mode: the control plane's nodes swallow their peers "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-external-ip-is-node-ip -o /tmp",
    ),
    "local-vip-is-packet-source": (
        "A load balancer that probes from the address that every node holds itself "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record local-vip-is-packet-source -o /tmp",
    ),
    "ipvs-external-ip-blackhole-any-ip": (
        "A Service claims the nodes' gateway: all ports of it end on the node "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-external-ip-blackhole-any-ip -o /tmp",
    ),
    "conntrack-table-full": (
        "A table of connections with room for one "
        "(iptables mode): "
        "python -m lab vm -- python -m lab record conntrack-table-full -o /tmp",
    ),
    "rp-filter-drop": (
        "Strict rp_filter, and a route back by another interface "
        "(iptables mode): "
        "python -m lab vm -- python -m lab record rp-filter-drop -o /tmp",
    ),
    "ip-forward-off": (
        "IP forwarding off: the node's pods reach nothing "
        "(iptables mode): "
        "python -m lab record ip-forward-off -o /tmp",
    ),
    "snat-port-exhaustion": (
        "Masquerading with two source ports, and a third connection "
        "(iptables mode): "
        "python -m lab vm -- python -m lab record snat-port-exhaustion -o /tmp",
    ),
    "mtu-blackhole": (
        "A way too narrow for large packets, and ICMP that never arrives "
        "(iptables mode): "
        "python -m lab record mtu-blackhole -o /tmp",
        "A way too narrow for large packets, and ICMP that never arrives "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record mtu-blackhole-ipvs -o /tmp",
    ),
    "hairpin-no-masquerade": (
        "A pod that is its own Service's only endpoint, without the rule for that "
        "(iptables mode): "
        "python -m lab record hairpin-no-masquerade -o /tmp",
        "A pod that is its own Service's only endpoint, without the rule for that "
        "(nftables mode): "
        "python -m lab record hairpin-no-masquerade-nftables -o /tmp",
        "A pod that is its own Service's only endpoint, without the rule for that "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record hairpin-no-masquerade-ipvs -o /tmp",
    ),
    "bridge-hairpin-mode-off": (
        "Pods on a bridge without hairpin mode: a pod does not reach itself "
        "(iptables mode): "
        "python -m lab record bridge-hairpin-mode-off -o /tmp",
    ),
    "bridge-nf-call-off": (
        "Pods on a bridge, answers past netfilter: the client hears the pod itself "
        "(iptables mode): "
        "python -m lab record bridge-nf-call-off -o /tmp",
        "Pods on a bridge, answers past netfilter: the client hears the pod itself "
        "(nftables mode): "
        "python -m lab record bridge-nf-call-off-nftables -o /tmp",
    ),
    "etp-local-ipvs-wrong-source": (
        "externalTrafficPolicy Local in ipvs mode, no backend here: the pod answers itself "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record etp-local-ipvs-wrong-source -o /tmp",
        "Six kinds of Service in ipvs mode: three answer, three do not "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record six-services-ipvs -o /tmp",
    ),
    "ipvs-conntrack-off": (
        "ipvs mode without conntrack: remote pods answer outside clients directly "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-conntrack-off -o /tmp",
    ),
    "ipvs-nodest-silent-drop": (
        "A real server is removed, and its open connections hang "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-nodest-silent-drop -o /tmp",
    ),
    "ipvs-idle-timeout-rst": (
        "IPVS forgets a connection that is idle for longer than its timeout "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-idle-timeout-rst -o /tmp",
    ),
    "vip-chosen-as-node-address": (
        "The node's own request keeps the Service's address as its source "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record vip-chosen-as-node-address -o /tmp",
    ),
    "masquerade-missing": (
        "KUBE-POSTROUTING without its MASQUERADE: remote pods answer clients directly "
        "(iptables mode): "
        "python -m lab record masquerade-missing -o /tmp",
        "The table without its masquerade: remote pods answer clients directly "
        "(nftables mode): "
        "python -m lab record masquerade-missing-nftables -o /tmp",
        "KUBE-POSTROUTING without its MASQUERADE: remote pods answer clients directly "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record masquerade-missing-ipvs -o /tmp",
    ),
    "unserved-vip-routing-loop": (
        "The same where the router sends the Services' range back to the node "
        "(iptables mode): "
        "python -m lab record unserved-vip-routing-loop -o /tmp",
        "A port that an external address does not serve, and a router that sends it back "
        "(nftables mode): "
        "python -m lab record unserved-vip-routing-loop-nftables -o /tmp",
    ),
    "lb-source-ranges-node": (
        "The node itself outside loadBalancerSourceRanges "
        "(iptables mode): "
        "python -m lab vm -- python -m lab record lb-source-ranges-node -o /tmp",
        "The node itself outside loadBalancerSourceRanges "
        "(nftables mode): "
        "python -m lab vm -- python -m lab record lb-source-ranges-node-nftables -o /tmp",
        "The node itself outside loadBalancerSourceRanges "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record lb-source-ranges-node-ipvs -o /tmp",
    ),
    "lb-source-ranges-drop": (
        "A client outside loadBalancerSourceRanges "
        "(iptables mode): "
        "python -m lab record lb-source-ranges-drop -o /tmp",
        "Six kinds of Service in ipvs mode: three answer, three do not "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record six-services-ipvs -o /tmp",
        "Six kinds of Service in iptables mode: three answer, three do not "
        "(iptables mode): "
        "python -m lab record six-services-iptables -o /tmp",
        "Six kinds of Service in nftables mode: three answer, three do not "
        "(nftables mode): "
        "python -m lab record six-services-nftables -o /tmp",
    ),
    "nodeport-localhost": (
        "A node port on 127.0.0.1 in nftables mode: nothing serves it there "
        "(nftables mode): "
        "python -m lab record nodeport-localhost -o /tmp",
        "A node port on ::1: no mode serves it there "
        "(iptables mode): "
        "python -m lab record nodeport-localhost-iptables -o /tmp",
        "A node port on 127.0.0.1 in nftables mode: nothing serves it there "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record nodeport-localhost-ipvs -o /tmp",
    ),
    "etp-local-nodename-mismatch": (
        "kube-proxy under another name: its own endpoints look remote "
        "(iptables mode): "
        "python -m lab record etp-local-nodename-mismatch -o /tmp",
        "kube-proxy under another name: its own endpoints look remote "
        "(nftables mode): "
        "python -m lab record etp-local-nodename-mismatch-nftables -o /tmp",
    ),
    "etp-local-rollout-gap": (
        "Policy Local, and the node's only endpoint is going "
        "(iptables mode): "
        "python -m lab record etp-local-rollout-gap -o /tmp",
        "Policy Local, and the node's only endpoint is going "
        "(nftables mode): "
        "python -m lab record etp-local-rollout-gap-nftables -o /tmp",
    ),
    "nft-etp-local-pod-drop": (
        "nftables mode without a cluster range: a pod is taken for an outside client "
        "(nftables mode): "
        "python -m lab record nft-etp-local-pod-drop -o /tmp",
    ),
    "no-local-endpoint-drop": (
        "externalTrafficPolicy Local: a node without a backend drops, by policy "
        "(iptables mode): "
        "python -m lab record no-local-endpoint-drop -o /tmp",
        "Six kinds of Service in iptables mode: three answer, three do not "
        "(iptables mode): "
        "python -m lab record six-services-iptables -o /tmp",
        "Six kinds of Service in nftables mode: three answer, three do not "
        "(nftables mode): "
        "python -m lab record six-services-nftables -o /tmp",
    ),
    "ip-family-mismatch": (
        "A dual-stack Service with IPv4 endpoints only: refused over IPv6 "
        "(iptables mode): "
        "python -m lab record ip-family-mismatch -o /tmp",
        "A dual-stack Service with IPv4 endpoints only: refused over IPv6 "
        "(nftables mode): "
        "python -m lab record ip-family-mismatch-nftables -o /tmp",
        "A dual-stack Service with IPv4 endpoints only: refused over IPv6 "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ip-family-mismatch-ipvs -o /tmp",
    ),
    "svc-no-endpoints": (
        "A Service without endpoints, ipvs mode: the kernel itself refuses "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record svc-no-endpoints -o /tmp",
        "A Service without endpoints, iptables mode: a REJECT rule "
        "(iptables mode): "
        "python -m lab record svc-no-endpoints-iptables -o /tmp",
        "A Service without endpoints, nftables mode: reject-chain "
        "(nftables mode): "
        "python -m lab record svc-no-endpoints-nftables -o /tmp",
        "The DNS Service has no endpoint "
        "(iptables mode): "
        "python -m lab record discovery-not-datapath -o /tmp",
        "Six kinds of Service in ipvs mode: three answer, three do not "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record six-services-ipvs -o /tmp",
        "Six kinds of Service in iptables mode: three answer, three do not "
        "(iptables mode): "
        "python -m lab record six-services-iptables -o /tmp",
        "Six kinds of Service in nftables mode: three answer, three do not "
        "(nftables mode): "
        "python -m lab record six-services-nftables -o /tmp",
    ),
    "stale-udp-conntrack": (
        "A UDP client whose mapping is older than the Service's rules "
        "(iptables mode): "
        "python -m lab record stale-udp-conntrack -o /tmp",
        "A UDP client whose mapping leads to a pod that is gone "
        "(nftables mode): "
        "python -m lab record stale-udp-conntrack-nftables -o /tmp",
    ),
    "stale-tcp-sctp-conntrack": (
        "A TCP client with a fixed port whose mapping leads to a pod that is gone "
        "(iptables mode): "
        "python -m lab record stale-tcp-sctp-conntrack -o /tmp",
        "A TCP client with a fixed port whose mapping leads to a pod that is gone "
        "(nftables mode): "
        "python -m lab record stale-tcp-sctp-conntrack-nftables -o /tmp",
    ),
    "session-affinity-dead-pod": (
        "ClientIP affinity keeps one client on a pod that is gone "
        "(iptables mode): "
        "python -m lab record session-affinity-dead-pod -o /tmp",
        "ClientIP affinity keeps one client on a pod that is gone "
        "(nftables mode): "
        "python -m lab record session-affinity-dead-pod-nftables -o /tmp",
        "ClientIP affinity keeps one client on a pod that is gone "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record session-affinity-dead-pod-ipvs -o /tmp",
    ),
    "ipvs-reuse-to-draining-server": (
        "A reused port keeps its client on a server that is being drained "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-reuse-to-draining-server -o /tmp",
    ),
    "endpoint-removal-lag": (
        "A deleted pod that the rules still choose: one connection in three is refused "
        "(iptables mode): "
        "python -m lab record endpoint-removal-lag -o /tmp",
        "A deleted pod that the rules still choose: one connection in three is refused "
        "(nftables mode): "
        "python -m lab record endpoint-removal-lag-nftables -o /tmp",
        "A deleted pod that the rules still choose: one connection in three is refused "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record endpoint-removal-lag-ipvs -o /tmp",
    ),
    "endpoint-unreachable-underlay": (
        "The endpoints' node is off the network: its address does not resolve "
        "(iptables mode): "
        "python -m lab record endpoint-unreachable-underlay -o /tmp",
        "The endpoints' node is off the network: its address does not resolve "
        "(nftables mode): "
        "python -m lab record endpoint-unreachable-underlay-nftables -o /tmp",
        "The endpoints' node is off the network: its address does not resolve "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record endpoint-unreachable-underlay-ipvs -o /tmp",
    ),
    "conntrack-invalid-drop": (
        "Answers that pass a node their requests did not: dropped as INVALID "
        "(iptables mode): "
        "python -m lab vm -- python -m lab record conntrack-invalid-drop -o /tmp",
    ),
    "forward-policy-drop": (
        "Policy DROP in the FORWARD chain, as Docker leaves it "
        "(iptables mode): "
        "python -m lab record forward-policy-drop -o /tmp",
        "Policy DROP in the FORWARD chain, as Docker leaves it "
        "(nftables mode): "
        "python -m lab record forward-policy-drop-nftables -o /tmp",
    ),
    "over-masquerade-networkpolicy": (
        "A policy for pods only, and a client that another node masqueraded "
        "(iptables mode): "
        "python -m lab record over-masquerade-networkpolicy -o /tmp",
        "A policy for pods only, and a client that another node masqueraded "
        "(nftables mode): "
        "python -m lab record over-masquerade-networkpolicy-nftables -o /tmp",
    ),
    "foreign-firewall-order": (
        "A firewall's REJECT before kube-proxy's rules: host prohibited "
        "(iptables mode): "
        "python -m lab record foreign-firewall-order -o /tmp",
        "A firewall's DROP before kube-proxy's rules: silence "
        "(iptables mode): "
        "python -m lab record foreign-firewall-order-silent -o /tmp",
        "A firewall's REJECT before kube-proxy's rules: host prohibited "
        "(nftables mode): "
        "python -m lab record foreign-firewall-order-nftables -o /tmp",
        "A firewall's REJECT before kube-proxy's rules: host prohibited "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record foreign-firewall-order-ipvs -o /tmp",
    ),
    "ipvs-filter-rejects-legit": (
        "kube-proxy's filter of ipvs mode without the exception for health checks "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-filter-rejects-legit -o /tmp",
    ),
    "nodeport-address-not-selected": (
        "A node port on the node's second address in nftables mode: refused "
        "(nftables mode): "
        "python -m lab record nodeport-address-not-selected -o /tmp",
    ),
    "clusterip-from-outside": (
        "A client that is no node asks a ClusterIP by way of its own router "
        "(iptables mode): "
        "python -m lab record clusterip-from-outside -o /tmp",
    ),
    "vip-port-not-served": (
        "A port that the Service does not have, nftables mode: refused "
        "(nftables mode): "
        "python -m lab record vip-port-not-served -o /tmp",
        "A port that the Service does not have, iptables mode: routed away "
        "(iptables mode): "
        "python -m lab record vip-port-not-served-iptables -o /tmp",
        "A port that the Service does not have, nftables mode: refused "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record vip-port-not-served-ipvs -o /tmp",
    ),
    "ping-vip": (
        "A ping to a ClusterIP: nobody answers, and the Service is well "
        "(iptables mode): "
        "python -m lab record ping-vip -o /tmp",
        "A ping to a ClusterIP: nobody answers, and the Service is well "
        "(nftables mode): "
        "python -m lab record ping-vip-nftables -o /tmp",
        "A ping to a ClusterIP: nobody answers, and the Service is well "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ping-vip-ipvs -o /tmp",
    ),
    "conntrack-invalid-rst": (
        "A pod answers outside the window: the client resets a stranger, and its connection "
        "(nftables mode): "
        "python -m lab record conntrack-invalid-rst -o /tmp",
        "The same with kube-proxy's rules of before 1.15, which drop nothing as invalid "
        "(iptables mode): "
        "python -m lab record conntrack-invalid-rst-iptables -o /tmp",
    ),
    "lb-ip-short-circuit": (
        "Pods that reset what comes past the load balancer, and a pod that asks its address "
        "(iptables mode): "
        "python -m lab record lb-ip-short-circuit -o /tmp",
        "Pods that reset what comes past the load balancer, and a pod that asks its address "
        "(nftables mode): "
        "python -m lab record lb-ip-short-circuit-nftables -o /tmp",
        "Pods that reset what comes past the load balancer, and a pod that asks its address "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record lb-ip-short-circuit-ipvs -o /tmp",
    ),
    "wrong-target-port": (
        "A targetPort that no pod listens on: every endpoint refuses "
        "(iptables mode): "
        "python -m lab record wrong-target-port -o /tmp",
        "A targetPort that no pod listens on: every endpoint refuses "
        "(nftables mode): "
        "python -m lab record wrong-target-port-nftables -o /tmp",
        "A targetPort that no pod listens on: every endpoint refuses "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record wrong-target-port-ipvs -o /tmp",
    ),
    "refused-by-backend": (
        "A pod whose process is gone but whose endpoint is ready: it refuses by itself "
        "(iptables mode): "
        "python -m lab record refused-by-backend -o /tmp",
        "A pod dies in mid-flow while its endpoint is listed: what it refuses, and no more "
        "(iptables mode): "
        "python -m lab record pod-killed-in-mid-flow -o /tmp",
    ),
    "dropped-unexplained": (
        "A filter of traffic control that no rule of viptrace knows "
        "(iptables mode): "
        "python -m lab vm -- python -m lab record dropped-unexplained -o /tmp",
    ),
    "unanswered-unexplained": (
        "Something between the nodes throws packets away, out of this node's sight "
        "(iptables mode): "
        "python -m lab record unanswered-unexplained -o /tmp",
    ),
    "external-ip-hijack": (
        "A Service claims a public address: pods that ask it get the Service's pods "
        "(iptables mode): "
        "python -m lab record external-ip-hijack -o /tmp",
        "A Service claims a public address: pods that ask it get the Service's pods "
        "(nftables mode): "
        "python -m lab record external-ip-hijack-nftables -o /tmp",
    ),
    "no-default-route": (
        "A node without a default route: its own processes cannot use ClusterIPs "
        "(iptables mode): "
        "python -m lab record no-default-route -o /tmp",
        "A node without a default route: its own processes cannot use ClusterIPs "
        "(nftables mode): "
        "python -m lab record no-default-route-nftables -o /tmp",
    ),
    "ipvs-weight-zero-after-restart": (
        "A ready endpoint whose real server was left with weight 0 "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-weight-zero-after-restart -o /tmp",
    ),
    "ipvs-foreign-virtual-server": (
        "A virtual server that no Service has "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-foreign-virtual-server -o /tmp",
    ),
    "hostport-intercepts-service": (
        "A host port's rule for local addresses takes the Services' connections "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record hostport-intercepts-service -o /tmp",
    ),
    "nodelocaldns-conflict": (
        "NodeLocal DNSCache's exception for a ClusterIP in ipvs mode "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record nodelocaldns-conflict -o /tmp",
    ),
    "stale-rules-mode-switch": (
        "nftables mode, and the rules of iptables mode still lead to a pod that is gone "
        "(nftables mode): "
        "python -m lab record stale-rules-mode-switch -o /tmp",
        "iptables mode, and the table of nftables mode is still there "
        "(iptables mode): "
        "python -m lab record stale-rules-mode-switch-iptables -o /tmp",
        "ipvs mode, and the rules of iptables mode still come first "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record stale-rules-mode-switch-ipvs -o /tmp",
    ),
    "iptables-backend-mix": (
        "kube-proxy's rules in iptables-nft and in iptables-legacy "
        "(iptables mode): "
        "python -m lab record iptables-backend-mix -o /tmp",
        "kube-proxy's rules in iptables-nft and in iptables-legacy "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record iptables-backend-mix-ipvs -o /tmp",
    ),
    "cidr-overlap": (
        "An interface of the node in the range of Services "
        "(iptables mode): "
        "python -m lab record cidr-overlap -o /tmp",
        "An interface of the node in the range of Services "
        "(nftables mode): "
        "python -m lab record cidr-overlap-nftables -o /tmp",
        "An interface of the node in the range of Services "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record cidr-overlap-ipvs -o /tmp",
    ),
    "ipvs-defense-or-ftp-special-case": (
        "IPVS's defence drop_packet is on "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-defense-or-ftp-special-case -o /tmp",
    ),
    "ipvs-arp-flux": (
        "strictARP off: every node answers ARP for the load balancer's address "
        "(ipvs mode): "
        "python -m lab vm -- python -m lab record ipvs-arp-flux -o /tmp",
    ),
    "topology-hints-mismatch": (
        "Endpoints kept for a zone that no node is in "
        "(iptables mode): "
        "python -m lab record topology-hints-mismatch -o /tmp",
    ),
    "discovery-not-datapath": (
        "The DNS Service has no endpoint "
        "(iptables mode): "
        "python -m lab record discovery-not-datapath -o /tmp",
    ),
}
