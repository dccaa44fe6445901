"""Whatever records come, in whatever order, diagnosis holds its promises."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import record
from tests.tracer.diagnosis.story import (
    CLIENT,
    CLIENT_POD,
    HERE,
    MASTER_1,
    MASTER_2,
    POD_HERE,
    POD_THERE,
    THERE,
    VIP,
    Story,
    cluster,
    node_state,
    service,
    with_sysctls,
)
from tracer.address import parse
from tracer.events import Hook, Origin
from tracer.node.xtables import XtChain, XtTables

BALANCER = "203.0.113.10"
ENDS = [
    f"{ip}:{port}"
    for ip in (
        CLIENT,
        CLIENT_POD,
        VIP,
        POD_HERE,
        POD_THERE,
        MASTER_1,
        MASTER_2,
        "127.0.0.1",
        BALANCER,
    )
    for port in (80, 8080, 30080, 40000)
]
CLUSTERS = [
    cluster(),
    cluster(service(), endpoints=[HERE, THERE]),
    cluster(service(external_policy="Local", internal_policy="Local"), endpoints=[THERE]),
    cluster(service(external_ips=(parse(MASTER_2),))),
    cluster(
        service(load_balancer_ips=(parse(BALANCER),), source_ranges=("10.0.0.0/8", "none")),
        endpoints=[THERE],
    ),
    cluster(service(affinity_seconds=10800), endpoints=[THERE]),
]
SETTINGS = {
    "net__ipv4__ip_forward": "0",
    "net__ipv4__vs__conntrack": "0",
    "net__ipv4__vs__expire_nodest_conn": "0",
    "net__ipv4__conf__all__rp_filter": "1",
    "net__netfilter__nf_conntrack_count": "9",
    "net__netfilter__nf_conntrack_max": "9",
}
FORWARD = XtTables(False, "nft", "", {"filter": {"FORWARD": XtChain("FORWARD", "DROP")}})
NODE_STATES = [
    node_state(),
    node_state(MASTER_2, VIP, mode="ipvs"),
    with_sysctls(node_state(BALANCER, mode="ipvs"), **SETTINGS),
    replace(node_state(mode="nftables"), xtables=(FORWARD,)),
]


@st.composite
def records(draw):
    end = st.sampled_from(ENDS)
    return record(
        draw(st.sampled_from(list(Hook))),
        draw(st.integers(0, 20)),
        draw(end),
        draw(end),
        nat=(draw(end), draw(end)) if draw(st.booleans()) else None,
        protocol=draw(st.sampled_from([1, 6, 17, 58, 132])),
        tcp_flags=draw(st.integers(0, 31)),
        flags=draw(st.integers(0, 0x3FFF)),
        reason=draw(st.integers(0, 14)),
        detail=draw(
            st.sampled_from(
                [
                    0,
                    3,
                    7,
                    8,
                    13,
                    14,
                    3 << 8 | 1,
                    11 << 8,
                    3 << 8 | 3,
                    3 << 8 | 13,
                    5 << 8,
                    1 << 8 | 4,
                ]
            )
        ),
        seq=draw(st.integers(0, 3)),
    )


steps = st.one_of(
    st.tuples(st.just("tell"), st.lists(records(), min_size=1, max_size=8)),
    st.tuples(st.just("wait"), st.integers(0, 40)),
    st.tuples(st.just("cluster"), st.sampled_from(CLUSTERS)),
    st.tuples(st.just("node"), st.sampled_from(NODE_STATES)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=8), st.sampled_from(list(Origin)))
def test_findings_are_unique_bounded_and_accounted_for(story_steps, origin):
    story = Story()
    opened, closed = {}, 0
    for what, argument in story_steps:
        if what == "tell":
            update = story.tell(*argument, origin=origin)
        else:
            update = getattr(story, what)(argument)
        for finding in (*update.opened, *update.updated):
            opened[finding.cause, finding.subject.key] = finding
        for finding in update.closed:
            opened.pop((finding.cause, finding.subject.key), None)
            closed += 1
        assert all(0 <= finding.confidence <= 1 for finding in story.found)
        assert sorted(opened.values(), key=repr) == sorted(story.found, key=repr)
    assert len(story.pipeline.findings.closed()) <= closed
