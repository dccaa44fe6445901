"""What the rules can find: every cause with title, symptom, weight, sight, remedy and sources.

Literal tables by area, from which the documentation is generated as well; ``CAUSES``
has them in order of precedence. Braces in a remedy are filled in by :meth:`Cause.steps`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracer.diagnosis.causes.addresses import (
    EXTERNAL_IP_IS_NODE_IP,
    LOCAL_VIP_IS_SOURCE,
    NODE_PORT_ADDRESS,
    NODE_PORT_ON_LOOPBACK,
    PING_VIP,
    ROUTING_LOOP,
    VIP_PORT_NOT_SERVED,
)
from tracer.diagnosis.causes.audited import HIDDEN_LISTENER, RULES_NOT_SYNCED
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.causes.claims import (
    ARP_FLUX,
    BLACKHOLE_ANY_IP,
    EXTERNAL_IP_HIJACK,
    FILTER_REJECTS_LEGIT,
    LB_SHORT_CIRCUIT,
    VIP_AS_NODE_ADDRESS,
)
from tracer.diagnosis.causes.drift import (
    BACKEND_MIX,
    CIDR_OVERLAP,
    DISCOVERY,
    HOST_PORT_INTERCEPTS,
    IP_FAMILY_MISMATCH,
    NODELOCALDNS,
    STALE_MODE,
)
from tracer.diagnosis.causes.endpoints import (
    ENDPOINT_REMOVAL_LAG,
    LOCAL_POLICY_WRONG_SOURCE,
    NO_ENDPOINTS,
    NO_LOCAL_ENDPOINT,
    SESSION_AFFINITY_DEAD_POD,
    SOURCE_RANGES_DROP,
    WRONG_TARGET_PORT,
)
from tracer.diagnosis.causes.fallbacks import (
    DROPPED_UNEXPLAINED,
    REFUSED_BY_BACKEND,
    UNANSWERED_UNEXPLAINED,
)
from tracer.diagnosis.causes.host import (
    ENDPOINT_UNREACHABLE,
    FORWARD_POLICY_DROP,
    IP_FORWARD_OFF,
    NO_DEFAULT_ROUTE,
    RP_FILTER_DROP,
)
from tracer.diagnosis.causes.nat import (
    CONNTRACK_INSERT_RACE,
    CONNTRACK_TABLE_FULL,
    HAIRPIN_NO_MASQUERADE,
    IPVS_CONNTRACK_OFF,
    IPVS_NODEST_SILENT_DROP,
    MASQUERADE_MISSING,
    SNAT_PORT_EXHAUSTION,
    STALE_UDP_CONNTRACK,
)
from tracer.diagnosis.causes.policies import (
    NFT_LOCAL_POD_DROP,
    NODE_NAME_MISMATCH,
    ROLLOUT_GAP,
    SOURCE_RANGES_NODE,
    TOPOLOGY_HINTS,
)
from tracer.diagnosis.causes.servers import (
    CONN_REUSE_DELAY,
    DEFENSE,
    FOREIGN_SERVER,
    IDLE_TIMEOUT_RST,
    REUSE_TO_DRAINING,
    WEIGHT_ZERO,
)
from tracer.diagnosis.causes.tracking import (
    BRIDGE_NF_CALL,
    CLUSTER_IP_FROM_OUTSIDE,
    FOREIGN_FIREWALL,
    HAIRPIN_MODE_OFF,
    INVALID_DROP,
    INVALID_RST,
    MTU_BLACKHOLE,
    OVER_MASQUERADE,
    STALE_TCP_SCTP,
    VXLAN_CHECKSUM,
)

CAUSES: tuple[Cause, ...] = (
    EXTERNAL_IP_IS_NODE_IP,
    LOCAL_VIP_IS_SOURCE,
    BLACKHOLE_ANY_IP,
    CONNTRACK_TABLE_FULL,
    RP_FILTER_DROP,
    IP_FORWARD_OFF,
    SNAT_PORT_EXHAUSTION,
    CONNTRACK_INSERT_RACE,
    VXLAN_CHECKSUM,
    MTU_BLACKHOLE,
    HAIRPIN_NO_MASQUERADE,
    HAIRPIN_MODE_OFF,
    BRIDGE_NF_CALL,
    LOCAL_POLICY_WRONG_SOURCE,
    IPVS_CONNTRACK_OFF,
    IPVS_NODEST_SILENT_DROP,
    IDLE_TIMEOUT_RST,
    VIP_AS_NODE_ADDRESS,
    MASQUERADE_MISSING,
    ROUTING_LOOP,
    SOURCE_RANGES_NODE,
    SOURCE_RANGES_DROP,
    NODE_PORT_ON_LOOPBACK,
    NODE_NAME_MISMATCH,
    ROLLOUT_GAP,
    NFT_LOCAL_POD_DROP,
    NO_LOCAL_ENDPOINT,
    IP_FAMILY_MISMATCH,
    NO_ENDPOINTS,
    STALE_UDP_CONNTRACK,
    STALE_TCP_SCTP,
    SESSION_AFFINITY_DEAD_POD,
    REUSE_TO_DRAINING,
    ENDPOINT_REMOVAL_LAG,
    ENDPOINT_UNREACHABLE,
    INVALID_DROP,
    FORWARD_POLICY_DROP,
    OVER_MASQUERADE,
    FOREIGN_FIREWALL,
    FILTER_REJECTS_LEGIT,
    NODE_PORT_ADDRESS,
    CLUSTER_IP_FROM_OUTSIDE,
    VIP_PORT_NOT_SERVED,
    PING_VIP,
    INVALID_RST,
    LB_SHORT_CIRCUIT,
    WRONG_TARGET_PORT,
    REFUSED_BY_BACKEND,
    DROPPED_UNEXPLAINED,
    UNANSWERED_UNEXPLAINED,
)
"""Those that flows show, in order of precedence."""

STATE_CAUSES: tuple[Cause, ...] = (
    EXTERNAL_IP_HIJACK,
    NO_DEFAULT_ROUTE,
    WEIGHT_ZERO,
    FOREIGN_SERVER,
    HOST_PORT_INTERCEPTS,
    NODELOCALDNS,
    STALE_MODE,
    BACKEND_MIX,
    CIDR_OVERLAP,
    DEFENSE,
    CONN_REUSE_DELAY,
    ARP_FLUX,
    TOPOLOGY_HINTS,
    DISCOVERY,
    RULES_NOT_SYNCED,
    HIDDEN_LISTENER,
)
"""Those that only the node's or the cluster's state shows."""

CAUSES_BY_ID: Mapping[str, Cause] = {cause.id: cause for cause in (*CAUSES, *STATE_CAUSES)}
