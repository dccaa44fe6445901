from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import at, batch, mapping, packet, record
from tests.tracer.path.node import programmed
from tests.tracer.path.test_services import (
    ADDRESSES,
    HERE,
    NEIGHBOUR,
    OTHER_POD,
    POD,
    ROUTES,
    cluster,
)
from tracer.detail import Step, Way
from tracer.events import Flag, Hook
from tracer.node.model import NodeState
from tracer.path.walk import Walker
from tracer.pipeline import Pipeline
from tracer.tui.widgets.detail_pane import describe
from tracer.view import View, ViewQuery

WEB = ("http", "tcp", 80, 8080)
CLIENT, VIP = f"{NEIGHBOUR}:40000", "10.96.0.41:80"
MADE = cluster(WEB, pods=(POD, OTHER_POD))
CONFIRMED = mapping(1.1, CLIENT, VIP, f"{OTHER_POD}:8080", flags=Flag.DST_NAT)


def node(mode: str, made=MADE, **changes: object) -> NodeState:
    return replace(programmed(made, HERE, mode, ADDRESSES, ROUTES), proxy_mode=mode, **changes)


def shown(state: NodeState, *records, made=MADE, view: View | None = None) -> tuple[Step, ...]:
    """The way of the first flow that these records tell of, on this node."""
    pipeline, view = Pipeline(), view or View()
    pipeline.set_node(state, at(0))
    pipeline.set_cluster(made, at(0))
    view.observe(pipeline, pipeline.feed(batch(*records, until=2.0)))
    detail = view.answer(pipeline, ViewQuery(selected=1, all_flows=True)).detail
    assert detail is not None
    return detail.path


def rules(path: tuple[Step, ...]) -> list[tuple[Way, tuple[str, ...]]]:
    return [(step.way, step.rules) for step in path if step.rules]


def test_iptables_chains_are_named_down_to_the_backend_that_was_chosen():
    ((way, lines),) = rules(shown(node("iptables"), CONFIRMED))
    assert way is Way.DECIDED
    (line,) = lines
    assert line.startswith("PREROUTING nat: KUBE-SERVICES → KUBE-SVC-")
    assert "(endpoints of shop/web:http) → KUBE-SEP-" in line
    assert line.endswith(f": translated to {OTHER_POD}:8080")


def test_nftables_chains_say_themselves_what_they_are_for():
    ((_, (line,)),) = rules(shown(node("nftables"), CONFIRMED))
    assert " → services → service-" in line
    assert f"__{OTHER_POD}/8080: translated to {OTHER_POD}:8080" in line


def test_ipvs_is_told_by_its_virtual_server():
    ((_, (line,)),) = rules(shown(node("ipvs"), CONFIRMED))
    assert line == f"INPUT ipvs: sent to {OTHER_POD}:8080 (masq) by tcp {VIP} rr"


def test_a_changed_source_has_its_rule_too():
    hairpin = mapping(
        1.1, f"{POD}:4000", VIP, f"{POD}:8080", source="10.244.1.1:4000", flags=Flag.DST_NAT
    )
    ((_, lines),) = rules(shown(node("iptables"), hairpin))
    assert lines[-1] == ("POSTROUTING nat: KUBE-POSTROUTING: masqueraded as 10.244.1.1")


def test_a_refusal_has_its_rule_at_the_failure():
    nobody = cluster(WEB, pods=())
    refused = record(Hook.ICMP_SENT, 1.2, CLIENT, VIP, reason=3 << 8 | 3)
    path = shown(node("iptables", nobody), packet(1.0, CLIENT, VIP, "S"), refused, made=nobody)
    ((way, (line,)),) = rules(path)
    assert way is Way.FAILED
    assert "KUBE-SERVICES: rejected with icmp-port-unreachable by " in line
    assert "-j REJECT" in line


@pytest.mark.parametrize(
    "state",
    [
        NodeState(proxy_mode="iptables"),
        node("iptables", cluster(WEB, pods=(POD,))),
        node("iptables", netns=99),
    ],
    ids=["rules not read", "rules lead elsewhere by now", "rules of another namespace"],
)
def test_nothing_is_said_of_rules_that_do_not_explain_the_flow(state: NodeState):
    confirmed = mapping(1.1, CLIENT, VIP, f"{OTHER_POD}:8080", flags=Flag.DST_NAT, netns=7)
    assert rules(shown(state, confirmed)) == []


def test_a_flow_with_an_answer_was_not_dropped():
    nobody = cluster(WEB, pods=())
    asked, told = packet(1.0, CLIENT, VIP, "S"), packet(1.1, VIP, CLIENT, "SA")
    assert rules(shown(node("iptables", nobody), asked, told, made=nobody)) == []


def test_one_walk_serves_until_the_node_changes(monkeypatch: pytest.MonkeyPatch):
    walks: list[object] = []
    walk = Walker.walk
    monkeypatch.setattr(Walker, "walk", lambda *given: walks.append(1) or walk(*given))
    pipeline, view, state = Pipeline(), View(), node("iptables")
    pipeline.set_node(state, at(0))
    pipeline.set_cluster(MADE, at(0))
    pipeline.feed(batch(CONFIRMED, until=2.0))
    for _ in range(3):
        view.answer(pipeline, ViewQuery(selected=1))
    before = len(walks)
    pipeline.set_cluster(replace(MADE, generation=2), at(3))
    view.answer(pipeline, ViewQuery(selected=1))
    assert len(walks) == before
    pipeline.set_node(replace(state), at(4))
    judged = len(walks)
    view.answer(pipeline, ViewQuery(selected=1))
    assert len(walks) > judged


def test_hostile_rule_text_is_shown_harmlessly():
    nobody = cluster(WEB, pods=())
    state = node("iptables", nobody)
    refused = record(Hook.ICMP_SENT, 1.2, CLIENT, VIP, reason=3 << 8 | 3)
    for chain in state.xtables[0].tables["filter"].values():
        chain.lines[:] = [
            line.replace('comment "', 'comment "\x1b[2J[red]') for line in chain.lines
        ]
    path = shown(state, packet(1.0, CLIENT, VIP, "S"), refused, made=nobody)
    ((_, (line,)),) = rules(path)
    assert "\x1b" not in line
    assert "[red]" in line


def test_the_pane_shows_the_rules_under_their_step():
    pipeline, view = Pipeline(), View()
    pipeline.set_node(node("iptables"), at(0))
    pipeline.set_cluster(MADE, at(0))
    pipeline.feed(batch(CONFIRMED, until=2.0))
    text = describe(view.answer(pipeline, ViewQuery(selected=1)).detail).plain
    assert "│   PREROUTING nat: KUBE-SERVICES → KUBE-SVC-" in text
