import re

import pytest

from tracer.diagnosis.audit_catalogue import AUDIT_RULES
from tracer.diagnosis.catalogue import RULES
from tracer.diagnosis.causes import CAUSES, CAUSES_BY_ID, STATE_CAUSES

WORDS = {
    name: f"<{name}>"
    for name in [
        *("masters", "workers", "remove", "namespace", "name", "selector", "health", "field"),
        *("address", "where", "prefix", "larger", "client", "virtual", "interface", "setting"),
        *("backend", "pod", "wider", "ranges", "port", "node", "tool", "primary", "ports"),
        *("target", "pod_namespace", "set", "match", "option", "server", "rule", "clean"),
        *("serves", "protocol", "chain", "device", "forget", "taken", "single", "destination"),
    ]
}


def test_every_rule_has_its_cause_and_every_cause_its_rule():
    names = [rule.name for rule in (*RULES.state, *RULES.flow, *AUDIT_RULES)]
    assert set(names) == set(CAUSES_BY_ID)


def test_fallbacks_come_last():
    fallback = [CAUSES_BY_ID[rule.name].fallback for rule in RULES.flow]
    assert fallback == sorted(fallback)


def test_causes_stand_in_order_of_precedence():
    assert [cause.id for cause in CAUSES] == [rule.name for rule in RULES.flow]


def test_causes_without_a_flow_rule_are_the_states_alone():
    state_rules = (*RULES.state, *AUDIT_RULES)
    flow, state = ({rule.name for rule in rules} for rules in (RULES.flow, state_rules))
    assert {cause.id for cause in STATE_CAUSES} == state - flow


@pytest.mark.parametrize("cause", CAUSES_BY_ID.values(), ids=lambda cause: cause.id)
def test_a_cause_explains_itself(cause):
    assert cause.title
    assert cause.symptom
    assert any((cause.sight.bpf, cause.sight.conntrack, cause.sight.capture, cause.sight.state))
    assert cause.summary
    assert cause.remedy
    assert all(source.startswith("https://") for source in cause.sources)
    assert cause.sources or cause.fallback


@pytest.mark.parametrize("cause", CAUSES_BY_ID.values(), ids=lambda cause: cause.id)
def test_remedies_are_filled_in_completely(cause):
    for step in cause.steps(**WORDS):
        assert re.search(r"\{\w+\}|\{\{", step) is None


def test_words_filled_in_are_no_templates():
    cause = CAUSES_BY_ID["endpoint-removal-lag"]
    steps = cause.steps(namespace="{name}", name="{0.__class__}")
    assert "{name}" in steps[0]
    assert "{0.__class__}" in steps[0]
