"""The rules, in order of precedence: what an earlier one explains, later ones do not see."""

from __future__ import annotations

from tracer.diagnosis.dropped_unexplained import DroppedUnexplained
from tracer.diagnosis.endpoint_removal_lag import EndpointRemovalLag
from tracer.diagnosis.etp_local_ipvs_wrong_source import WrongSource
from tracer.diagnosis.ipvs_external_ip_is_node_ip import DeliveredToItself, NodeAddressClaimed
from tracer.diagnosis.no_local_endpoint_drop import NoLocalEndpoint
from tracer.diagnosis.refused_by_backend import RefusedByBackend
from tracer.diagnosis.rule import Rules
from tracer.diagnosis.svc_no_endpoints import NoEndpoints
from tracer.diagnosis.unanswered_unexplained import UnansweredUnexplained

RULES = Rules(
    state=(NodeAddressClaimed(),),
    flow=(
        DeliveredToItself(),
        WrongSource(),
        NoLocalEndpoint(),
        NoEndpoints(),
        EndpointRemovalLag(),
        RefusedByBackend(),
        DroppedUnexplained(),
        UnansweredUnexplained(),
    ),
)
