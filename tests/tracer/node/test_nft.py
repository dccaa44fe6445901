"""Both forms of an nftables listing, against each other."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.node import nft_json, nft_text
from tracer.node.lines import Unread

TEXT = """\
table inet t {
	comment "mine"
	set s {
		type ipv4_addr
		flags interval
		elements = { 1.1.1.1-1.1.1.9, 2.2.2.2,
			10.0.0.0/8 }
	}

	map m {
		type mark : verdict
		elements = { 0x00000001 comment "one" : drop, 0x00000002 : goto a-b/c }
	}

	chain f {
		type filter hook forward priority filter + 5; policy drop;
		iifname "eth*" oifname { "a", "b" } accept
		meta mark & 0x000000ff == 0x00000001 counter packets 0 bytes 0 accept
		tcp dport { 80, 443, 1000-2000 } ct state established,related accept
		ip saddr @s log prefix "x y" reject with tcp reset
		tcp flags syn / fin,syn,rst,ack accept
		ip daddr . tcp dport { 1.1.1.1 . 80 } accept comment "why"
		meta mark set meta mark | 0x00004000
		limit rate 5/second accept
	}

	chain a-b/c {
		fib daddr type local numgen random mod 2 vmap { 0 : accept, 1 : drop }
		dnat ip to tcp dport map { 80 : 1.1.1.1, 81 : 2.2.2.2 }
		meta l4proto tcp dnat ip6 to [fd00::1]:80
		meta mark vmap @m
	}
}
"""
RULES = {
    "f": [
        [
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth*"}},
            {
                "match": {
                    "op": "==",
                    "left": {"meta": {"key": "oifname"}},
                    "right": {"set": ["a", "b"]},
                }
            },
            {"accept": None},
        ],
        [
            {
                "match": {
                    "op": "==",
                    "left": {"&": [{"meta": {"key": "mark"}}, 255]},
                    "right": 1,
                }
            },
            {"accept": None},
        ],
        [
            {
                "match": {
                    "op": "==",
                    "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                    "right": {"set": [80, 443, {"range": [1000, 2000]}]},
                }
            },
            {
                "match": {
                    "op": "in",
                    "left": {"ct": {"key": "state"}},
                    "right": ["established", "related"],
                }
            },
            {"accept": None},
        ],
        [
            {
                "match": {
                    "op": "==",
                    "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                    "right": "@s",
                }
            },
            {"reject": {"type": "tcp reset"}},
        ],
        [
            {
                "match": {
                    "op": "==",
                    "left": {
                        "&": [
                            {"payload": {"protocol": "tcp", "field": "flags"}},
                            ["fin", "syn", "rst", "ack"],
                        ]
                    },
                    "right": "syn",
                }
            },
            {"accept": None},
        ],
    ],
    "a-b/c": [
        [
            {
                "match": {
                    "op": "==",
                    "left": {"fib": {"result": "type", "flags": ["daddr"]}},
                    "right": "local",
                }
            },
            {
                "vmap": {
                    "key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}},
                    "data": {"set": [[0, {"accept": None}], [1, {"drop": None}]]},
                }
            },
        ],
        [
            {
                "dnat": {
                    "family": "ip",
                    "addr": {
                        "map": {
                            "key": {"payload": {"protocol": "tcp", "field": "dport"}},
                            "data": {"set": [[80, "1.1.1.1"], [81, "2.2.2.2"]]},
                        }
                    },
                }
            }
        ],
    ],
}
"""The first rules of each chain as ``nft -j`` 1.0.6 prints them."""


def read(text, parser=nft_text):
    unread = Unread("nft.txt")
    return parser.parse(text, unread), unread


def test_text_gives_what_json_says():
    ruleset, unread = read(TEXT)
    table = ruleset.tables["inet", "t"]
    assert unread.count == 0
    for name, expected in RULES.items():
        found = [rule.statements for rule in table.chains[name].rules]
        assert found[: len(expected)] == expected
    chain = table.chains["f"]
    assert (chain.kind, chain.hook, chain.priority, chain.policy) == (
        "filter",
        "forward",
        5,
        "drop",
    )
    assert chain.rules[5].comment == "why"
    assert chain.rules[7].statements == [{"unknown": "limit rate 5/second accept"}]


def test_sets_and_maps():
    table = read(TEXT)[0].tables["inet", "t"]
    assert set(table.sets["s"].exact) == {("2.2.2.2",)}
    assert [key for key, _ in table.sets["s"].ranges] == [
        ({"range": ["1.1.1.1", "1.1.1.9"]},),
        ({"prefix": {"addr": "10.0.0.0", "len": 8}},),
    ]
    assert table.sets["m"].exact == {("1",): {"drop": None}, ("2",): {"goto": {"target": "a-b/c"}}}
    assert table.sets["m"].comments == {("1",): "one"}


def test_json_of_the_same():
    document = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "ip", "name": "t"}},
            {
                "map": {
                    "family": "ip",
                    "name": "m",
                    "table": "t",
                    "map": "verdict",
                    "elem": [
                        [{"elem": {"val": {"concat": ["1.1.1.1", "tcp", 80]}, "comment": "c"}},
                         {"drop": None}]
                    ],
                }
            },
            {"chain": {"family": "ip", "table": "t", "name": "c", "hook": "input", "prio": -100,
                       "type": "nat", "policy": "accept"}},
            {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [{"accept": None}],
                      "comment": "yes"}},
            {"element": {"family": "ip", "table": "t", "name": "m", "elem": [[5, {"accept": None}]]}},
            {"weird": {}},
        ]
    }  # fmt: skip
    ruleset, unread = read(json.dumps(document), nft_json)
    table = ruleset.tables["ip", "t"]
    assert table.sets["m"].exact == {
        ("1.1.1.1", "tcp", "80"): {"drop": None},
        ("5",): {"accept": None},
    }
    assert table.chains["c"].priority == -100
    assert table.chains["c"].rules[0].comment == "yes"
    assert unread.count == 1
    cut = json.dumps(document)[:-60]
    assert read(cut, nft_json)[0].tables["ip", "t"].chains["c"].rules


def test_commands_are_read_as_well():
    ruleset, unread = read(
        "add table ip t\ndelete table ip t\n"
        "add chain ip t pre { type nat hook prerouting priority -100 ; }\n"
        "add map ip t m { type ipv4_addr . inet_proto . inet_service : verdict ; }\n"
        "add rule ip t pre ip daddr . meta l4proto . th dport vmap @m\n"
        'add element ip t m { 1.2.3.4 . tcp . 80 comment "x" : goto service-AB-ns/s }\n'
        "add element ip t nothing { }\n"
    )
    table = ruleset.tables["ip", "t"]
    assert unread.count == 0
    assert len(table.chains["pre"].rules) == 1
    assert table.sets["m"].exact == {
        ("1.2.3.4", "tcp", "80"): {"goto": {"target": "service-AB-ns/s"}}
    }


def test_garbage_is_named_with_its_line():
    ruleset, unread = read("hello\n" + TEXT + "table\n")
    assert ruleset.tables["inet", "t"].chains
    assert [line.split(": ")[0] for line in unread.listed()] == ["nft.txt:1", "nft.txt:35"]


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet='{}();:,."@ \nacdeilmnoprstux/0159-', max_size=60), st.integers(0, len(TEXT))
)
def test_any_text_is_read(text, cut):
    read(TEXT[:cut] + text + TEXT[cut:])
    read(TEXT[:cut])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.integers(0, 400))
def test_any_json_is_read(text, cut):
    document = json.dumps({"nftables": [{"table": {"family": "ip", "name": text}}, {text: text}]})
    read(document, nft_json)
    read(document[:cut] + text, nft_json)
