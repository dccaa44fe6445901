"""Whatever a listing holds, comparing it raises nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.rules import iptables, nftables
from lab.rules.plan import node_plan, port_plans
from tests.tracer.drift.test_compare import HERE, MODES, shop, state
from tracer.diagnosis.audit import audit
from tracer.drift.compare import compared
from tracer.events import EventBatch, Origin, no_records
from tracer.node import iptables as xt
from tracer.node import nft_text
from tracer.node.lines import Unread

PLAN = node_plan(shop(), HERE, False), port_plans(shop(), HERE, False)
TEXTS = {"iptables": iptables.generate(*PLAN), "nftables": nftables.generate(*PLAN)}
WORDS = st.sampled_from(
    ["-j", "-d", "--dport", "--probability", "1.2.3", "99999999", "\u00b2", "KUBE-SVC-", "goto",
     "-A KUBE-SERVICES", "numgen random mod 0 vmap { 0 : goto x }", "dnat to [", "}", "\x00", "!"]
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 40), WORDS), max_size=12)


def damaged(text: str, edits: list[tuple[int, int, str]]) -> str:
    for place, length, word in edits:
        at = place % (len(text) + 1)
        text = f"{text[:at]} {word} {text[at + length :]}"
    return text


@pytest.mark.parametrize("mode", MODES[:2])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS)
def test_damaged_rules_are_compared_all_the_same(mode, edits):
    text, unread = damaged(TEXTS[mode], edits), Unread("rules")
    node = state(mode, shop())
    if mode == "iptables":
        node = replace(node, xtables=xt.parse(text, unread, ipv6=False))
    else:
        node = replace(node, nft=nft_text.parse(text, unread))
    compared(node, shop(), HERE)
    audit(replace(node, node_name=HERE), shop(), EventBatch(no_records(), Origin.CONNTRACK, 0))


def test_map_keys_of_another_shape_are_no_places():
    node = state("nftables", shop())
    places = node.nft.tables["ip", "kube-proxy"].sets["service-ips"].exact
    places[("10.96.0.10",)] = places[("a", "tcp", "x")] = places[("a", "b", "c", "1")] = None
    assert compared(node, shop(), HERE) == ()
