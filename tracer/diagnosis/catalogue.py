"""The rules, in order of precedence: what an earlier one explains, later ones do not see."""

from __future__ import annotations

from tracer.diagnosis.conntrack_insert_race import ConntrackInsertRace
from tracer.diagnosis.conntrack_table_full import NoEntryLeft, TableFull
from tracer.diagnosis.dropped_unexplained import DroppedUnexplained
from tracer.diagnosis.endpoint_removal_lag import EndpointRemovalLag
from tracer.diagnosis.endpoint_unreachable_underlay import EndpointUnreachable
from tracer.diagnosis.etp_local_ipvs_wrong_source import WrongSource
from tracer.diagnosis.forward_policy_drop import ForwardPolicyDrop
from tracer.diagnosis.hairpin_no_masquerade import HairpinNoMasquerade
from tracer.diagnosis.ip_forward_off import ForwardingRefused, ForwardingSwitchedOff
from tracer.diagnosis.ipvs_conntrack_off import IpvsConntrackOff
from tracer.diagnosis.ipvs_external_ip_is_node_ip import DeliveredToItself, NodeAddressClaimed
from tracer.diagnosis.ipvs_nodest_silent_drop import IpvsNodestSilentDrop
from tracer.diagnosis.lb_source_ranges_drop import SourceRangesDrop
from tracer.diagnosis.local_vip_is_packet_source import LocalVipIsSource
from tracer.diagnosis.masquerade_missing import MasqueradeMissing
from tracer.diagnosis.no_default_route import NoDefaultRoute
from tracer.diagnosis.no_local_endpoint_drop import NoLocalEndpoint
from tracer.diagnosis.nodeport_address_not_selected import NodePortAddress
from tracer.diagnosis.nodeport_localhost import NodePortOnLoopback
from tracer.diagnosis.ping_vip import PingVip
from tracer.diagnosis.refused_by_backend import RefusedByBackend
from tracer.diagnosis.rp_filter_drop import RpFilterDrop
from tracer.diagnosis.rule import Rules
from tracer.diagnosis.session_affinity_dead_pod import SessionAffinityDeadPod
from tracer.diagnosis.snat_port_exhaustion import SnatPortExhaustion
from tracer.diagnosis.stale_udp_conntrack import StaleUdpConntrack
from tracer.diagnosis.svc_no_endpoints import NoEndpoints
from tracer.diagnosis.unanswered_unexplained import UnansweredUnexplained
from tracer.diagnosis.unserved_vip_routing_loop import RoutingLoop
from tracer.diagnosis.vip_port_not_served import VipPortNotServed
from tracer.diagnosis.wrong_target_port import WrongTargetPort

RULES = Rules(
    state=(NodeAddressClaimed(), ForwardingSwitchedOff(), TableFull(), NoDefaultRoute()),
    flow=(
        DeliveredToItself(),
        LocalVipIsSource(),
        NoEntryLeft(),
        RpFilterDrop(),
        ForwardingRefused(),
        SnatPortExhaustion(),
        ConntrackInsertRace(),
        HairpinNoMasquerade(),
        WrongSource(),
        IpvsConntrackOff(),
        IpvsNodestSilentDrop(),
        MasqueradeMissing(),
        RoutingLoop(),
        SourceRangesDrop(),
        NodePortOnLoopback(),
        NoLocalEndpoint(),
        NoEndpoints(),
        StaleUdpConntrack(),
        SessionAffinityDeadPod(),
        EndpointRemovalLag(),
        EndpointUnreachable(),
        ForwardPolicyDrop(),
        NodePortAddress(),
        VipPortNotServed(),
        PingVip(),
        WrongTargetPort(),
        RefusedByBackend(),
        DroppedUnexplained(),
        UnansweredUnexplained(),
    ),
)
