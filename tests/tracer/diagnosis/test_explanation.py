import re

import pytest

from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.explanation import explain


@pytest.mark.parametrize("name", CAUSES_BY_ID)
def test_every_rule_says_what_it_claims_from_what_and_what_it_cannot_know(name):
    told = explain(name)
    assert all((told.claims, told.evidence, told.limits))
    assert "\n" not in told.claims + told.evidence + told.limits


@pytest.mark.parametrize("name", CAUSES_BY_ID)
def test_a_remedy_without_a_finding_has_words_for_what_is_not_known(name):
    assert all(
        re.search(r"\{\w*\}(?!\})", step) is None or "{spec" in step or "{." in step
        for step in explain(name).remedy
    )


def test_placeholders_are_readable():
    assert "kubectl exec -n <pod namespace> <pod>" in "\n".join(explain("wrong-target-port").remedy)


def test_every_kind_of_input_is_spoken_of():
    sights = dict(explain("rp-filter-drop").sights)
    assert sights["live, with probes in the kernel"] == "drops with reason IP_RPFILTER"
    assert sights["from packets alone"] == ""
