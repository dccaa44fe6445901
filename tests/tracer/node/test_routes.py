import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.address import text
from tracer.node.lines import Unread
from tracer.node.routes import parse_neighbours, parse_routes, parse_rules

ROUTES = (
    '[{"dst":"default","gateway":"10.1.0.9","dev":"eth0","flags":[]},'
    '{"type":"blackhole","dst":"10.9.0.0/16","flags":[]},'
    '{"dst":"10.5.0.0/16","flags":[],"nexthops":[{"gateway":"10.1.0.2","dev":"eth0","weight":1,'
    '"flags":[]},{"gateway":"10.1.0.3","dev":"eth0","weight":2,"flags":[]}]},'
    '{"type":"local","dst":"127.0.0.1","dev":"lo","table":"local","prefsrc":"127.0.0.1","flags":[]},'
    '{"dst":"10.7.0.0/16","dev":"eth1","flags":["linkdown"]},'
    '{"type":"local","dst":"::1","dev":"lo","table":"local","metric":0,"flags":[],"pref":"medium"},'
    '{"dst":"default","gateway":"fe80::1","dev":"eth0","metric":1024,"flags":[],"pref":"medium"}]'
)
RULES = (
    '[{"priority":0,"src":"all","table":"local"},'
    '{"priority":48,"not":null,"src":"all","dst":"10.3.0.0","dstlen":16,"table":"main",'
    '"suppress_prefixlen":0},'
    '{"priority":49,"src":"10.2.0.0","srclen":16,"iif":"d0","action":"blackhole"},'
    '{"priority":50,"src":"all","fwmark":"0x1","fwmask":"0xff","table":"100"},'
    '{"priority":51,"src":"all","uid_start":1,"uid_end":2,"table":"main"}]'
    '\n[{"priority":0,"src":"all","table":"local"}]'
)


def routes(listing):
    unread = Unread("route.json")
    return parse_routes(listing, unread), unread


def test_every_kind_of_route():
    found, unread = routes(ROUTES)
    assert unread.count == 0
    shown = [f"{r.kind} {text(r.network)}/{r.prefix} {r.table} {len(r.hops)}" for r in found]
    assert shown == [
        "unicast 0.0.0.0/96 main 1",
        "blackhole 10.9.0.0/112 main 0",
        "unicast 10.5.0.0/112 main 2",
        "local 127.0.0.1/128 local 1",
        "unicast 10.7.0.0/112 main 1",
        "local ::1/128 local 1",
        "unicast ::/0 main 1",
    ]
    assert [route.ipv6 for route in found] == [False] * 5 + [True] * 2
    assert [route.usable for route in found].index(False) == 4


def test_a_damaged_listing_gives_the_routes_before_and_after():
    found, unread = routes(ROUTES.replace('"gateway":"10.1.0.9"', '"gateway":10.1.0.9'))
    assert len(found) == 6
    assert "cut off" in unread.listed()[0]
    assert len(routes(ROUTES[:-40])[0]) == 6


def test_a_route_with_a_wrong_address_is_named_with_its_line():
    found, unread = routes('[{"dst":"10.0.0.0/8","dev":"a"},\n{"dst":"nowhere","dev":"a"}]')
    assert len(found) == 1
    assert unread.listed()[0].startswith("route.json:2: not a route")


def test_policy_rules_of_both_families():
    unread = Unread("rule.json")
    found = parse_rules(RULES, unread)
    assert [rule.ipv6 for rule in found] == [False] * 5 + [True]
    assert (found[1].inverted, found[1].destination, found[1].suppress_prefix) == (
        True,
        "10.3.0.0/16",
        0,
    )
    assert (found[2].action, found[2].source, found[2].incoming) == (
        "blackhole",
        "10.2.0.0/16",
        "d0",
    )
    assert (found[3].mark, found[3].mask) == (1, 0xFF)
    assert found[4].unknown == ("uid_end", "uid_start")


def test_a_policy_rule_of_no_network_is_named_with_its_line():
    unread = Unread("rule.json")
    found = parse_rules(
        '[{"priority":1,"src":"n","table":"main"},\n'
        '{"priority":2,"dst":"10.0.0.0","dstlen":33},\n{"priority":3,"src":"10.1"}]',
        unread,
    )
    assert [rule.source for rule in found] == ["10.1.0.0/32"]
    assert [place[:11] for place in unread.listed()] == ["rule.json:1", "rule.json:2"]


def test_neighbours():
    unread = Unread("neigh.json")
    listing = '[{"dst":"10.1.0.9","dev":"eth0","lladdr":"0:0","state":["FAILED"]},{"dst":"x"}]'
    (found,) = parse_neighbours(listing, unread)
    assert (text(found.ip), found.device, found.states) == ("10.1.0.9", "eth0", ("FAILED",))
    assert unread.count == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["dst", "gateway", "dev", "type", "nexthops", "via", "metric", "prefsrc",
                         "flags", "priority", "src", "srclen", "fwmark", "state", "table"])  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), max_size=3), st.integers(0, 99))
def test_any_objects_are_read(objects, cut):
    listing = json.dumps(objects)
    for parse in (parse_routes, parse_rules, parse_neighbours):
        parse(listing, Unread("x"))
        parse(listing[:cut] + ROUTES, Unread("x"))
