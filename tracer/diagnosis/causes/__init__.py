"""What the rules can find: every cause with title, symptom, weight, sight, remedy and sources.

Literal tables by area, from which the documentation is generated as well; ``CAUSES``
has them in order of precedence. Braces in a remedy are filled in by :meth:`Cause.steps`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracer.diagnosis.causes.addresses import EXTERNAL_IP_IS_NODE_IP
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.causes.endpoints import (
    ENDPOINT_REMOVAL_LAG,
    LOCAL_POLICY_WRONG_SOURCE,
    NO_ENDPOINTS,
    NO_LOCAL_ENDPOINT,
)
from tracer.diagnosis.causes.fallbacks import (
    DROPPED_UNEXPLAINED,
    REFUSED_BY_BACKEND,
    UNANSWERED_UNEXPLAINED,
)

CAUSES: tuple[Cause, ...] = (
    EXTERNAL_IP_IS_NODE_IP,
    LOCAL_POLICY_WRONG_SOURCE,
    NO_LOCAL_ENDPOINT,
    NO_ENDPOINTS,
    ENDPOINT_REMOVAL_LAG,
    REFUSED_BY_BACKEND,
    DROPPED_UNEXPLAINED,
    UNANSWERED_UNEXPLAINED,
)

CAUSES_BY_ID: Mapping[str, Cause] = {cause.id: cause for cause in CAUSES}
