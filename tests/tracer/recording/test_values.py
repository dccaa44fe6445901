"""Every value of a node's state comes back; what is none is damage, and never an exception."""

from __future__ import annotations

import json
import zlib
from array import array
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_project import ROOT
from tracer.address import parse
from tracer.node import model
from tracer.node.health import HealthAnswer
from tracer.node.model import NodeState, VirtualServer
from tracer.node.routing import NextHop, Route
from tracer.node.state_dir import load
from tracer.node.xtables import XtChain, XtTables
from tracer.recording import ContentReader
from tracer.recording.envelope import Kind, wrapped
from tracer.recording.states import decode_node, encode_node
from tracer.recording.values import KINDS

STATES = sorted((ROOT / "pcaps").glob("*/state"))


@pytest.mark.parametrize("folder", STATES, ids=lambda folder: folder.parent.name)
def test_the_states_of_real_nodes_come_back(folder):
    state, _ = load(folder, 7)
    assert decode_node(encode_node(state, 9, None), NodeState()).state == state


def test_every_kind_of_value_comes_back():
    chain = XtChain("KUBE-SERVICES", "", ["-A KUBE-SERVICES -j X"], array("L", [3]))
    state = NodeState(
        interfaces={2: "eth0"},
        virtual_servers=(
            VirtualServer(6, parse("fd00::1"), 80, "rr", ((parse("10.0.0.1"), 1, 2),)),
        ),
        xtables=(XtTables(False, "nft", "x", {"nat": {"KUBE-SERVICES": chain}}),),
        routes=(Route("main", "unicast", parse("10.0.0.0"), 104, False, hops=(NextHop("eth0"),)),),
        health_answers=(HealthAnswer("shop/web", 32000, parse("10.0.0.1"), 200, 1),),
        known=frozenset({"routes", "xtables"}),
    )
    assert decode_node(encode_node(state, 9, None), NodeState()).state == state


def test_only_what_has_changed_is_stored():
    before = NodeState(sysctls={"a": "1"}, node_name="w1")
    after = NodeState(sysctls={"a": "2"}, node_name="w1")
    payload = encode_node(after, 9, before)
    assert list(json.loads(zlib.decompress(payload))["fields"]) == ["sysctls"]
    assert decode_node(payload, before).state == after


def test_all_kinds_of_the_model_are_known():
    made = {name for name, kind in vars(model).items() if is_dataclass(kind)}
    names = made - {"NodeState"}
    used = {word for field in fields(NodeState) for word in names if word in str(field.type)}
    assert used <= set(KINDS)


nested = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["tuple", "map", "bytes", "set", "array", *KINDS, "ip", "name"]),
            inner,
            max_size=2,
        ),
    ),
    max_leaves=8,
)
names = st.sampled_from([field.name for field in fields(NodeState)])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([Kind.NODE, Kind.CLUSTER, Kind.BATCH, Kind.TICKS, 99]),
    st.one_of(
        st.binary(max_size=80),
        st.fixed_dictionaries(
            {
                "now_ns": st.one_of(st.just(1), nested),
                "fields": st.one_of(nested, st.dictionaries(names, nested, max_size=2)),
                "objects": nested,
            }
        ).map(lambda said: zlib.compress(json.dumps(said).encode())),
    ),
)
def test_what_is_no_payload_is_damage(kind, payload):
    reader = ContentReader("x")
    for body in wrapped(kind, payload):
        for item in reader.take(body):
            state = getattr(item, "state", None)
            if isinstance(state, NodeState):
                assert isinstance(state.local_addresses, frozenset)
    assert reader.damaged <= 1
