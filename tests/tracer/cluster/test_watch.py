"""Stories with an API server that is really asked, over HTTP on loopback."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api_server import ApiServer
from tests.tracer.cluster.api.made import (
    kubeconfig,
    node,
    pod,
    service,
    slice_of,
    small_cluster,
)
from tracer import address
from tracer.cluster import watch
from tracer.cluster.model import Turn
from tracer.cluster.watch import Choice, ClusterWatch
from tracer.errors import InputError, UnableError

PATIENCE = 600
"""Polls of a tenth of a second until something must have been told."""


class Story:
    """A server, a watch of it, and what the watch said last."""

    def __init__(self, folder, state, node_name="one", **choice):
        self.state, self.folder = state, folder
        self.server = ApiServer(state)
        path = kubeconfig(folder, self.server.port, state.token)
        self.watch = ClusterWatch(Choice(path, **choice), lambda _: node_name, first_delay_s=0.02)
        self.cluster = None

    def until(self, wanted):
        """Poll until a snapshot fits."""
        for _ in range(PATIENCE):
            self.cluster = self.watch.poll(0.1) or self.cluster
            if self.cluster is not None and wanted(self.cluster):
                return self.cluster
        raise AssertionError(f"never seen; problems: {self.degraded()}, last: {self.cluster}")

    def degraded(self):
        return [str(problem) for problem in self.watch.problems()]

    def until_degraded(self, text):
        for _ in range(PATIENCE):
            self.cluster = self.watch.poll(0.1) or self.cluster
            if any(text in line for line in self.degraded()):
                return self.degraded()
        raise AssertionError(f"{text!r} never in {self.degraded()}")

    def until_well(self):
        for _ in range(PATIENCE):
            self.cluster = self.watch.poll(0.1) or self.cluster
            if not self.degraded():
                return
        raise AssertionError(self.degraded())


@pytest.fixture
def told(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "FIRST_SNAPSHOT_S", 60.0)  # a busy machine hands out no parts
    stories = []

    def begin(state=None, **options):
        story = Story(tmp_path, state or small_cluster(), **options)
        stories.append(story)
        story.watch.open()
        return story

    yield begin
    for story in stories:
        story.watch.close()
        story.server.close()


def names(things):
    return sorted(thing.name for thing in things)


def test_the_first_snapshot_holds_all_four_kinds(told):
    cluster = told().until(lambda _: True)
    assert cluster.known == {"nodes", "services", "endpoints", "pods"}
    assert names(cluster.nodes) == ["one", "two"]
    assert [(s.key, s.ports[0].port) for s in cluster.services] == [("shop/web", 80)]
    assert [e.pod for e in cluster.endpoints] == ["shop/web-5", "shop/web-6"]
    assert cluster.at_ns > 0
    assert cluster.changes == ()


def test_a_server_that_answers_is_heard_out(told):
    state = small_cluster()
    state.slow_s = 0.1
    story = told(state)
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(story.until, lambda _: True)
        assert story.watch.first(0.0) is whole.result()


def test_a_server_in_trouble_is_not_waited_for(told):
    state = small_cluster()
    state.spoilt["services"] = [b"<html>"] * 1000
    story = told(state)
    story.until_degraded("services")
    assert not story.watch.first(0.0).known


def test_only_this_nodes_pods_are_asked_for(told):
    story = told()
    cluster = story.until(lambda _: True)
    assert (names(cluster.pods), cluster.pods_of) == (["client"], "one")
    assert story.state.asked("pods", lambda q: "fieldSelector" not in q and "limit" in q) == 1


def test_all_pods_on_request_and_where_the_node_is_not_known(told):
    assert names(told(all_pods=True).until(lambda _: True).pods) == ["client", "web-5"]
    cluster = told(node_name="").until(lambda _: True)
    assert (names(cluster.pods), cluster.pods_of) == (["client", "web-5"], "")


def test_a_change_makes_a_later_snapshot(told):
    story = told()
    first = story.until(lambda _: True)
    story.state.put("services", service("new", "10.96.0.11"))
    second = story.until(lambda c: len(c.services) == 2)
    assert second.generation > first.generation
    assert second.endpoints is first.endpoints
    assert [(c.turn, c.service) for c in second.changes] == [(Turn.ADDED, "shop/new")]
    story.state.drop("services", "new", "shop")
    third = story.until(lambda c: len(c.services) == 1)
    assert third.changes[-1].turn is Turn.REMOVED


def test_endpoints_that_join_and_leave_are_dated(told):
    story = told()
    began = story.until(lambda _: True).at_ns
    story.state.put("endpointslices", slice_of("web", "10.244.2.6", "10.244.2.7"))
    cluster = story.until(lambda c: c.changes)
    turns = {(c.turn, address.text(c.endpoint.ip)) for c in cluster.changes}
    assert turns == {(Turn.JOINED, "10.244.2.7"), (Turn.LEFT, "10.244.2.5")}
    gone = ("shop/web", 6, address.parse("10.244.2.5"), 8080)
    assert began < cluster.departures[gone] <= cluster.at_ns


def test_long_lists_come_in_pages(told):
    state = small_cluster()
    for number in range(1200):
        state.put("services", service(f"s{number}", f"10.97.{number // 250}.{number % 250 + 1}"))
    story = told(state)
    assert len(story.until(lambda _: True).services) == 1201
    assert state.asked("services", lambda q: "continue" in q) == 2


def test_a_cut_watch_goes_on_where_it_was(told):
    story = told()
    story.until(lambda _: True)
    lists = story.state.asked("services", lambda q: "watch" not in q)
    story.state.cuts += 1
    story.state.put("services", service("new", "10.96.0.11"))
    story.until(lambda c: len(c.services) == 2)
    assert story.state.asked("services", lambda q: "watch" not in q) == lists
    story.until_well()


def test_a_forgotten_version_means_listing_again(told):
    story = told()
    story.until(lambda _: True)
    story.state.objects["services"].clear()  # an event that nobody will ever be told
    story.state.put("services", service("other", "10.96.0.12"))
    story.state.log.clear()
    story.state.forget()
    story.state.cuts += 1
    cluster = story.until(lambda c: names(c.services) == ["other"])
    assert [(c.turn, c.service) for c in cluster.changes] == [
        (Turn.REMOVED, "shop/web"),
        (Turn.ADDED, "shop/other"),
    ]


def test_bookmarks_carry_the_version_forward(told):
    story = told()
    story.until(lambda _: True)
    story.state.bookmark("services")
    version = story.state.version
    began = story.state.asked("services", lambda q: q.get("resourceVersion") == str(version))
    for _ in range(PATIENCE):
        story.watch.poll(0.02)
        story.state.cuts += 1
        if story.state.asked("services", lambda q: q.get("resourceVersion") == str(version)):
            break
    assert began == 0
    assert story.state.asked("services", lambda q: q.get("resourceVersion") == str(version))


def test_names_outlive_the_server_and_their_age_is_told(told):
    story = told()
    before = story.until(lambda _: True)
    story.server.close()
    (line,) = story.until_degraded("Connection refused")
    assert "nodes, services, endpointslices, pods not heard of from http://127.0.0.1" in line
    assert "s old" in line
    assert story.watch.latest.services == before.services
    story.state.put("services", service("new", "10.96.0.11"))
    story.server = ApiServer(story.state, story.server.port)
    story.until(lambda c: len(c.services) == 2)
    story.until_well()


def test_a_missing_right_costs_its_kind_only(told):
    state = small_cluster()
    state.forbidden.add("endpointslices")
    story = told(state)
    cluster = story.until(lambda _: True)
    assert cluster.known == {"nodes", "services", "pods"}
    (line,) = story.degraded()
    assert line.startswith("may not read endpointslices: 403 endpointslices is forbidden")
    assert "every judgement about them" in line


def test_a_kubelet_sees_its_own_node_and_pods(told):
    state = small_cluster()
    state.narrow = {"nodes", "pods"}
    state.forbidden.add("endpointslices")
    cluster = told(state, called="one").until(lambda _: True)
    assert (names(cluster.nodes), names(cluster.pods)) == (["one"], ["client"])
    assert cluster.known == {"services", "pods"}


def test_who_may_not_watch_lists_now_and_then(told):
    state = small_cluster()
    state.unwatchable.add("pods")
    story = told(state)
    assert names(story.until(lambda _: True).pods) == ["client"]
    story.until_degraded("may not read pods")


@pytest.mark.parametrize(
    "line",
    [b"\x00\xff garbage", b'{"type":"ADDED"}', b'{"type":"ADDED","object":{"metadata":[]}}', b"[]"],
)
def test_garbage_in_a_watch_means_listing_again(told, line):
    story = told()
    story.until(lambda _: True)
    lists = story.state.asked("services", lambda q: "watch" not in q)
    story.state.raw["services"] = [line]
    story.state.put("services", service("new", "10.96.0.11"))
    story.until(lambda c: len(c.services) == 2)
    for _ in range(PATIENCE):
        story.watch.poll(0.02)
        if story.state.asked("services", lambda q: "watch" not in q) > lists:
            return
    raise AssertionError("never listed again")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b'{"items":[]}', b"{" * 5000],
    ids=["nothing", "a page", "an array", "no version", "too deep"],
)
def test_garbage_instead_of_a_list_is_asked_for_again(told, body):
    state = small_cluster()
    state.spoilt["services"] = [body, body]
    story = told(state)
    assert names(story.until(lambda c: "services" in c.known).services) == ["web"]


def test_an_object_of_the_wrong_shape_is_noted_and_the_rest_is_read(told):
    state = small_cluster()
    broken = service("broken")
    broken["spec"] = "text"
    state.put("services", broken)
    half = service("half", "10.96.0.20")
    half["spec"]["ports"] = [{"name": "http", "port": "eighty"}]
    state.put("services", half)
    cluster = told(state).until(lambda _: True)
    assert names(cluster.services) == ["broken", "half", "web"]
    assert any("shop/broken: spec: 'text' is not a mapping" in one for one in cluster.unparsed)
    assert any("shop/half: spec.ports[0].port: 'eighty'" in one for one in cluster.unparsed)


def test_a_mended_object_takes_its_note_along(told):
    state = small_cluster()
    broken = service("broken")
    broken["spec"] = []
    state.put("services", broken)
    story = told(state)
    assert story.until(lambda _: True).unparsed
    state.put("services", service("broken", "10.96.0.30"))
    story.until(lambda c: not c.unparsed)


def test_an_object_of_a_megabyte_is_read(told):
    story = told()
    story.until(lambda _: True)
    large = service("large", "10.96.0.40")
    large["metadata"]["annotations"] = {"note": "x" * (1 << 20)}
    story.state.put("services", large)
    story.until(lambda c: "large" in names(c.services))


def test_hostile_names_stay_text(told):
    state = small_cluster()
    evil = "\x1b[31m[bold]../../etc\u202e"
    state.put("services", service(evil, "10.96.0.50"))
    bad = service(evil + "2", "not-an-address")
    state.put("services", bad)
    story = told(state)
    cluster = story.until(lambda _: True)
    assert evil in names(cluster.services)
    assert all("\x1b" not in note and "\u202e" not in note for note in cluster.unparsed)
    state.forbidden.add("services")
    state.token = "now wanted"
    state.cuts += 1
    assert all("\x1b" not in line for line in story.until_degraded("401"))


def test_a_slow_server_is_waited_for(told):
    state = small_cluster()
    state.slow_s = 0.15
    assert told(state).until(lambda _: True).services


def test_an_address_names_the_pod_that_had_it_then(told):
    story = told()
    story.until(lambda _: True)
    story.state.drop("pods", "client", "shop")
    story.state.put("pods", pod("heir", "10.244.1.9"))
    cluster = story.until(lambda c: names(c.pods) == ["heir"])
    (handover,) = cluster.handovers
    assert (handover.before, handover.after) == ("shop/client", "shop/heir")
    assert cluster.pod_by_address[address.parse("10.244.1.9")].name == "heir"


def test_a_token_is_sent(told):
    state = small_cluster()
    state.token = "secret"
    assert told(state).until(lambda _: True).services


def test_a_kubeconfig_that_was_asked_for_must_work(tmp_path):
    with pytest.raises(InputError, match="Cannot use the kubeconfig"):
        ClusterWatch(Choice(tmp_path / "none"), lambda _: "").open()
    (tmp_path / "bad").write_text("clusters: 7")
    with pytest.raises(InputError):
        ClusterWatch(Choice(tmp_path / "bad"), lambda _: "").open()
    server = ApiServer(small_cluster())
    server.close()
    with pytest.raises(UnableError, match="gives nothing"):
        ClusterWatch(Choice(kubeconfig(tmp_path, server.port)), lambda _: "").open()


def test_a_node_that_appears_is_an_addition(told):
    story = told()
    story.until(lambda _: True)
    story.state.put("nodes", node("three", "192.168.1.3"))
    story.until(lambda c: len(c.nodes) == 3)
