"""The rules, in order of precedence: what an earlier one explains, later ones do not see."""

from __future__ import annotations

from tracer.diagnosis.bridge_hairpin_mode_off import HairpinModeOff
from tracer.diagnosis.bridge_nf_call_off import BridgeNfCallOff
from tracer.diagnosis.cidr_overlap import CidrOverlap
from tracer.diagnosis.clusterip_from_outside import ClusterIpFromOutside
from tracer.diagnosis.conntrack_insert_race import ConntrackInsertRace
from tracer.diagnosis.conntrack_invalid_drop import InvalidDrop
from tracer.diagnosis.conntrack_invalid_rst import InvalidRst
from tracer.diagnosis.conntrack_table_full import NoEntryLeft, TableFull
from tracer.diagnosis.discovery_not_datapath import Discovery
from tracer.diagnosis.dropped_unexplained import DroppedUnexplained
from tracer.diagnosis.endpoint_removal_lag import EndpointRemovalLag
from tracer.diagnosis.endpoint_unreachable_underlay import EndpointUnreachable
from tracer.diagnosis.etp_local_ipvs_wrong_source import WrongSource
from tracer.diagnosis.etp_local_nodename_mismatch import EndpointDenied, NodeNameMismatch
from tracer.diagnosis.etp_local_rollout_gap import RolloutGap
from tracer.diagnosis.external_ip_hijack import ExternalIpHijack
from tracer.diagnosis.foreign_firewall_order import ForeignFirewall
from tracer.diagnosis.forward_policy_drop import ForwardPolicyDrop
from tracer.diagnosis.hairpin_no_masquerade import HairpinNoMasquerade
from tracer.diagnosis.hostport_intercepts_service import HostPortIntercepts
from tracer.diagnosis.ip_family_mismatch import FamilyRefused, FamilyWithoutEndpoints
from tracer.diagnosis.ip_forward_off import ForwardingRefused, ForwardingSwitchedOff
from tracer.diagnosis.iptables_backend_mix import BackendMix
from tracer.diagnosis.ipvs_arp_flux import ArpFlux
from tracer.diagnosis.ipvs_conn_reuse_delay import ConnReuseDelay
from tracer.diagnosis.ipvs_conntrack_off import IpvsConntrackOff
from tracer.diagnosis.ipvs_defense_or_ftp_special_case import Defense
from tracer.diagnosis.ipvs_external_ip_blackhole_any_ip import (
    ForeignAddressClaimed,
    ForeignAddressSwallowed,
)
from tracer.diagnosis.ipvs_external_ip_is_node_ip import DeliveredToItself, NodeAddressClaimed
from tracer.diagnosis.ipvs_filter_rejects_legit import FilterRefused, FilterRejectsLegit
from tracer.diagnosis.ipvs_foreign_virtual_server import ForeignServer
from tracer.diagnosis.ipvs_idle_timeout_rst import IdleTimeoutRst
from tracer.diagnosis.ipvs_nodest_silent_drop import IpvsNodestSilentDrop
from tracer.diagnosis.ipvs_reuse_to_draining_server import ReuseToDraining
from tracer.diagnosis.ipvs_weight_zero_after_restart import WeightZero
from tracer.diagnosis.lb_ip_short_circuit import LbShortCircuit
from tracer.diagnosis.lb_source_ranges_drop import SourceRangesDrop
from tracer.diagnosis.lb_source_ranges_node import SourceRangesNode
from tracer.diagnosis.local_vip_is_packet_source import LocalVipIsSource
from tracer.diagnosis.masquerade_missing import MasqueradeMissing
from tracer.diagnosis.mtu_blackhole import MtuBlackhole
from tracer.diagnosis.nft_etp_local_pod_drop import NftLocalPodDrop
from tracer.diagnosis.no_default_route import NoDefaultRoute
from tracer.diagnosis.no_local_endpoint_drop import NoLocalEndpoint
from tracer.diagnosis.nodelocaldns_conflict import NodeLocalDns
from tracer.diagnosis.nodeport_address_not_selected import NodePortAddress
from tracer.diagnosis.nodeport_localhost import NodePortOnLoopback
from tracer.diagnosis.over_masquerade_networkpolicy import OverMasquerade
from tracer.diagnosis.ping_vip import PingVip
from tracer.diagnosis.refused_by_backend import RefusedByBackend
from tracer.diagnosis.rp_filter_drop import RpFilterDrop
from tracer.diagnosis.rule import Rules
from tracer.diagnosis.session_affinity_dead_pod import SessionAffinityDeadPod
from tracer.diagnosis.snat_port_exhaustion import SnatPortExhaustion
from tracer.diagnosis.stale_rules_mode_switch import StaleMode
from tracer.diagnosis.stale_tcp_sctp_conntrack import StaleTcpSctp
from tracer.diagnosis.stale_udp_conntrack import StaleUdpConntrack
from tracer.diagnosis.svc_no_endpoints import NoEndpoints
from tracer.diagnosis.topology_hints_mismatch import TopologyHints
from tracer.diagnosis.unanswered_unexplained import UnansweredUnexplained
from tracer.diagnosis.unserved_vip_routing_loop import RoutingLoop
from tracer.diagnosis.vip_chosen_as_node_address import VipIsNodeAddress, VipIsSource
from tracer.diagnosis.vip_port_not_served import VipPortNotServed
from tracer.diagnosis.vxlan_checksum_offload import VxlanChecksum
from tracer.diagnosis.wrong_target_port import WrongTargetPort

RULES = Rules(
    state=(
        NodeAddressClaimed(),
        ForeignAddressClaimed(),
        ExternalIpHijack(),
        VipIsNodeAddress(),
        ForwardingSwitchedOff(),
        TableFull(),
        NoDefaultRoute(),
        NodeNameMismatch(),
        FilterRejectsLegit(),
        WeightZero(),
        ForeignServer(),
        HostPortIntercepts(),
        NodeLocalDns(),
        StaleMode(),
        BackendMix(),
        CidrOverlap(),
        Defense(),
        ConnReuseDelay(),
        ArpFlux(),
        TopologyHints(),
        FamilyWithoutEndpoints(),
        Discovery(),
    ),
    flow=(
        DeliveredToItself(),
        LocalVipIsSource(),
        ForeignAddressSwallowed(),
        NoEntryLeft(),
        RpFilterDrop(),
        ForwardingRefused(),
        SnatPortExhaustion(),
        ConntrackInsertRace(),
        VxlanChecksum(),
        MtuBlackhole(),
        HairpinNoMasquerade(),
        HairpinModeOff(),
        BridgeNfCallOff(),
        WrongSource(),
        IpvsConntrackOff(),
        IpvsNodestSilentDrop(),
        IdleTimeoutRst(),
        VipIsSource(),
        MasqueradeMissing(),
        RoutingLoop(),
        SourceRangesNode(),
        SourceRangesDrop(),
        NodePortOnLoopback(),
        EndpointDenied(),
        RolloutGap(),
        NftLocalPodDrop(),
        NoLocalEndpoint(),
        FamilyRefused(),
        NoEndpoints(),
        StaleUdpConntrack(),
        StaleTcpSctp(),
        SessionAffinityDeadPod(),
        ReuseToDraining(),
        EndpointRemovalLag(),
        EndpointUnreachable(),
        InvalidDrop(),
        ForwardPolicyDrop(),
        OverMasquerade(),
        ForeignFirewall(),
        FilterRefused(),
        NodePortAddress(),
        ClusterIpFromOutside(),
        VipPortNotServed(),
        PingVip(),
        InvalidRst(),
        LbShortCircuit(),
        WrongTargetPort(),
        RefusedByBackend(),
        DroppedUnexplained(),
        UnansweredUnexplained(),
    ),
)
