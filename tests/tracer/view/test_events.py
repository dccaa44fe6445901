from __future__ import annotations

from dataclasses import replace

from tests.builders import at, batch, mapping, packet, record
from tests.tracer.shown import HOSTILE, VIP, WEB, blackhole, cluster, connect, traced
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Turn
from tracer.events import Flag, Hook
from tracer.node.model import InterfaceAddress, NodeState, VirtualServer
from tracer.pipeline import Pipeline
from tracer.view import Page, Sheet, Tone, View, ViewQuery
from tracer.view.timeline import Timeline

CLIENT = "10.244.3.8:40000"


def seen(view: View, pipeline: Pipeline, *records, until: float = 9.0, **more) -> None:
    view.observe(pipeline, pipeline.feed(batch(*records, until=until, **more)))


def shown(view: View, pipeline: Pipeline, **query) -> Sheet:
    return view.answer(pipeline, ViewQuery(page=Page.EVENTS, **query)).sheet


def column(sheet: Sheet, title: str) -> list[str]:
    place = [heading.title for heading in sheet.headings].index(title)
    return [row[place] for row in sheet.cells]


def started() -> tuple[View, Pipeline]:
    view, pipeline = View(), traced()
    view.observe(pipeline, pipeline.feed(batch(until=0.5)))
    return view, pipeline


def test_kernel_decisions_are_told_the_newest_on_top():
    view, pipeline = started()
    drop = record(Hook.DROP, 2.0, CLIENT, WEB, reason=1, detail=2)
    texts = {1: "NETFILTER_DROP", 2: "nf_hook_slow"}
    seen(view, pipeline, mapping(1.0, CLIENT, VIP, WEB), drop, texts=texts)
    sheet = shown(view, pipeline)
    assert column(sheet, "What")[:2] == ["dropped", "conntrack confirmed"]
    assert column(sheet, "Why, where")[0] == "NETFILTER_DROP at nf_hook_slow"
    assert column(sheet, "Translated to")[1] == f"→ {WEB}"
    assert sheet.tones[0] == Tone.BAD


def test_packets_and_what_existed_before_are_no_events():
    view, pipeline = started()
    old = mapping(1.0, CLIENT, VIP, WEB, flags=Flag.EXISTING)
    seen(view, pipeline, packet(1.0, CLIENT, VIP, "S"), old)
    assert "conntrack confirmed" not in column(shown(view, pipeline), "What")


def test_the_selected_flow_has_its_own_time_line():
    view, pipeline = started()
    view.observe(pipeline, connect(pipeline, 1.0, count=3))
    dropped = record(Hook.DROP, 2.0, CLIENT, WEB)
    seen(view, pipeline, dropped)
    shot = view.answer(pipeline, ViewQuery(page=Page.EVENTS, selected=1))
    assert column(shot.sheet, "What") == ["dropped", "conntrack confirmed"]
    assert shot.of_flow.startswith(f"tcp {CLIENT}")
    assert shown(view, pipeline, selected=1, all_traffic=True).count > 3


def test_old_events_give_way_and_are_counted():
    timeline, pipeline = Timeline(records_kept=8), traced()
    for turn in range(4):
        timeline.observe(pipeline, connect(pipeline, 1.0 + turn, count=5, port=1000 * turn + 1000))
    records, ids = timeline.records()
    assert (len(records), timeline.forgotten) == (8, 12)
    assert sorted(ids.tolist())[-1] == timeline.newest


def test_changes_of_the_node_are_told():
    view, pipeline = started()
    known = frozenset({"addresses", "virtual_servers", "sysctls"})
    before = NodeState(known=known, sysctls={"net.ipv4.ip_forward": "1"}, proxy_mode="ipvs")
    view.observe(pipeline, pipeline.set_node(before, at(1)))
    after = NodeState(
        addresses=(InterfaceAddress("kube-ipvs0", parse("10.96.0.10"), 32),),
        virtual_servers=(
            VirtualServer(6, parse("10.96.0.10"), 80, "rr", ((parse("10.244.1.5"), 8080, 1),)),
        ),
        sysctls={"net.ipv4.ip_forward": "0"},
        proxy_mode="iptables",
        known=known,
    )
    view.observe(pipeline, pipeline.set_node(after, at(2)))
    assert set(column(shown(view, pipeline), "Packet or connection")) >= {
        "address added: 10.96.0.10/32 on kube-ipvs0",
        "virtual server added: 10.96.0.10:80/tcp rr",
        "real server added: 10.244.1.5:8080 weight 1 of 10.96.0.10:80/tcp rr",
        "sysctl net.ipv4.ip_forward: 1 -> 0",
        "kube-proxy mode: ipvs -> iptables",
    }


def test_what_was_not_read_before_did_not_change():
    view, pipeline = started()
    state = NodeState((InterfaceAddress("eth0", parse("10.0.0.1"), 24),), proxy_mode="ipvs")
    view.observe(pipeline, pipeline.set_node(replace(state, known=frozenset({"addresses"})), at(1)))
    assert "node" not in column(shown(view, pipeline), "What")


def test_changes_of_the_cluster_are_told_by_their_own_time():
    view, pipeline = started()
    endpoint = cluster().endpoints[0]
    change = ClusterChange(at(3), Turn.LEFT, "shop/web", endpoint)
    later = cluster().successor(endpoints=(), changes=(change,))
    view.observe(pipeline, pipeline.set_cluster(later, at(4)))
    texts = column(shown(view, pipeline), "Packet or connection")
    assert any(text.startswith("Service shop/web left: shop/web 10.244.1.5:8080") for text in texts)


def test_two_readings_of_a_cluster_are_compared():
    view, pipeline = started()
    view.observe(pipeline, pipeline.set_cluster(cluster().successor(endpoints=()), at(4)))
    texts = column(shown(view, pipeline), "Packet or connection")
    assert "endpoint removed: shop/web 10.244.1.5:8080 shop/web-1 ready" in texts


def test_findings_are_told_when_they_open_and_close():
    view, pipeline = started()
    update = replace(pipeline.feed(batch(until=2.0)), opened=(blackhole(),), closed=(blackhole(),))
    view.observe(pipeline, update)
    sheet = shown(view, pipeline)
    assert column(sheet, "What")[:2] == ["finding closed", "finding opened"]
    assert sheet.tones[:2] == (Tone.GOOD, Tone.BAD)


def test_a_frozen_time_line_stands_still():
    view, pipeline = started()
    view.observe(pipeline, connect(pipeline, 1.0))
    newest = shown(view, pipeline).newest
    view.observe(pipeline, connect(pipeline, 2.0, port=5))
    assert shown(view, pipeline, until=newest).newest == newest
    assert shown(view, pipeline, mark=newest).fresh >= 1


def test_all_about_the_selected_event():
    view, pipeline = started()
    view.observe(pipeline, connect(pipeline, 1.0, netns=77))
    row = shown(view, pipeline).ids[0]
    shot = view.answer(pipeline, ViewQuery(page=Page.EVENTS, row=row))
    assert shot.detail is not None
    assert (shot.sheet.selected_at, shot.detail.id) == (0, row)
    assert dict(shot.detail.facts)["Netns"] == "77"


def test_hostile_names_are_only_text():
    view, pipeline = started()
    for number, name in enumerate(HOSTILE.values()):
        later = cluster(pod=name).successor()
        view.observe(pipeline, pipeline.set_cluster(later, at(number)))
        drop = record(Hook.DROP, 2.0, CLIENT, WEB, reason=1)
        seen(view, pipeline, drop, texts={1: name}, interfaces={0: name})
    sheet = shown(view, pipeline)
    assert all(cell.isprintable() for row in sheet.cells for cell in row)


def test_a_filter_of_flows_leaves_their_events_frozen_or_not():
    view, pipeline = started()
    view.observe(pipeline, connect(pipeline, 1.0, count=3, port=7001))
    for query in ({}, {"frozen": True}, {"at_ns": at(5)}):
        one = shown(view, pipeline, filter="port=7002", **query)
        assert [cells for cells in column(one, "Packet or connection") if ":7002" in cells]
        assert one.count == 1
        assert shown(view, pipeline, **query).count >= 3
    nothing = view.answer(pipeline, ViewQuery(page=Page.EVENTS, filter="port=9"))
    assert (nothing.sheet.count, nothing.missing) == (0, "No event passes the filter.")
    assert "column" in view.answer(pipeline, ViewQuery(page=Page.EVENTS, filter="port=")).error
