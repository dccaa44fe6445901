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
from tracer.diagnosis.causes.cause import Cause
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

CAUSES: tuple[Cause, ...] = (
    EXTERNAL_IP_IS_NODE_IP,
    LOCAL_VIP_IS_SOURCE,
    CONNTRACK_TABLE_FULL,
    RP_FILTER_DROP,
    IP_FORWARD_OFF,
    SNAT_PORT_EXHAUSTION,
    CONNTRACK_INSERT_RACE,
    HAIRPIN_NO_MASQUERADE,
    LOCAL_POLICY_WRONG_SOURCE,
    IPVS_CONNTRACK_OFF,
    IPVS_NODEST_SILENT_DROP,
    MASQUERADE_MISSING,
    ROUTING_LOOP,
    SOURCE_RANGES_DROP,
    NODE_PORT_ON_LOOPBACK,
    NO_LOCAL_ENDPOINT,
    NO_ENDPOINTS,
    STALE_UDP_CONNTRACK,
    SESSION_AFFINITY_DEAD_POD,
    ENDPOINT_REMOVAL_LAG,
    ENDPOINT_UNREACHABLE,
    FORWARD_POLICY_DROP,
    NODE_PORT_ADDRESS,
    VIP_PORT_NOT_SERVED,
    PING_VIP,
    WRONG_TARGET_PORT,
    REFUSED_BY_BACKEND,
    DROPPED_UNEXPLAINED,
    UNANSWERED_UNEXPLAINED,
)
"""Those that flows show, in order of precedence."""

STATE_CAUSES: tuple[Cause, ...] = (NO_DEFAULT_ROUTE,)
"""Those that only the node's state shows."""

CAUSES_BY_ID: Mapping[str, Cause] = {cause.id: cause for cause in (*CAUSES, *STATE_CAUSES)}
