"""The rules that only an audit asks, beside the state rules that live runs ask as well.

They read every rule of the node, which a live run has no time for, or speak of what has
not hurt anybody yet.
"""

from __future__ import annotations

from tracer.diagnosis.dangerous_service import DangerousService
from tracer.diagnosis.hidden_listener import HiddenListener
from tracer.diagnosis.rule import StateRule
from tracer.diagnosis.rules_in_state import (
    HairpinUnmarked,
    MasqueradeGone,
    PodsNotForwarded,
)
from tracer.diagnosis.rules_not_synced import RulesNotSynced
from tracer.diagnosis.settings_in_state import (
    CONNTRACK_OFF,
    NODEST_KEPT,
    BridgeNotFiltered,
    QuiescentTemplateKept,
)
from tracer.diagnosis.unserved_service import WithoutEndpoints, WithoutLocalEndpoint

AUDIT_RULES: tuple[StateRule, ...] = (
    DangerousService(),
    RulesNotSynced(),
    PodsNotForwarded(),
    MasqueradeGone(),
    HairpinUnmarked(),
    CONNTRACK_OFF,
    BridgeNotFiltered(),
    WithoutEndpoints(),
    WithoutLocalEndpoint(),
    NODEST_KEPT,
    QuiescentTemplateKept(),
    HiddenListener(),
)
