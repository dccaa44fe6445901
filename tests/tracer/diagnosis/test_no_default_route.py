from dataclasses import replace

import pytest

from tests.tracer.diagnosis.story import VIP, Story, cluster, node_state, service, words
from tracer.address import parse
from tracer.node.lines import Unread
from tracer.node.model import InterfaceAddress
from tracer.node.routes import parse_routes

CAUSE = "no-default-route"
ON_LINK = '{"dst":"172.18.0.0/24","dev":"eth0"}'
DEFAULT = '{"dst":"default","gateway":"172.18.0.1","dev":"eth0"}'
SERVICES = '{"dst":"10.200.0.0/16","dev":"eth0"}'


def node(*lines, mode="iptables"):
    unread = Unread("route.json")
    routes = parse_routes(f"[{','.join(lines)}]", unread)
    assert unread.count == 0
    state = node_state(mode=mode)
    return replace(state, routes=routes, known=state.known | {"routes"})


def test_a_node_without_a_way_to_services_is_told_from_its_state():
    story = Story(cluster(service()), node(ON_LINK))
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(VIP))
    assert f"ip route get {VIP}" in words(story.only)


@pytest.mark.parametrize(
    "state",
    [
        node(ON_LINK, DEFAULT),
        node(ON_LINK, SERVICES),
        node(ON_LINK, mode="ipvs"),
        node(),
        node_state(),
    ],
    ids=["default", "own route", "ipvs", "no routes read", "routes unknown"],
)
def test_otherwise_nothing_is_claimed(state):
    assert Story(cluster(service()), state).found == []


def test_a_blackhole_is_no_way():
    blackhole = '{"type":"blackhole","dst":"default","dev":"lo"}'
    assert Story(cluster(service()), node(ON_LINK, blackhole)).causes == [CAUSE]


def test_a_family_the_node_has_not_needs_no_route():
    dual = service(cluster_ips=(parse(VIP), parse("fd00:10:96::a")))
    assert Story(cluster(dual), node(ON_LINK, DEFAULT)).found == []


def test_a_family_that_is_not_listed_says_nothing():
    dual = service(cluster_ips=(parse(VIP), parse("fd00:10:96::a")))
    state = node(ON_LINK, DEFAULT)
    addresses = (*state.addresses, InterfaceAddress("eth0", parse("fc00:172:18::3"), 64))
    state = replace(state, addresses=addresses)
    assert Story(cluster(dual), state).found == []
    on_link = '{"dst":"fc00:172:18::/64","dev":"eth0"}'
    listed = replace(node(ON_LINK, DEFAULT, on_link), addresses=addresses)
    assert Story(cluster(dual), listed).causes == [CAUSE]


def test_it_closes_with_the_route():
    story = Story(cluster(service()), node(ON_LINK))
    story.node(node(ON_LINK, DEFAULT))
    assert story.closed == [CAUSE]
