"""Whatever a rule says, the walk ends: with a verdict, or with the words that it does not know."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.path.node import packet, walked
from tests.tracer.path.test_walk import POD, rules, state
from tracer.node import ipset, nft_json, nft_text
from tracer.node.iptables import parse
from tracer.node.lines import Unread
from tracer.path.xt_rule import parse_rule

SOME_WORDS = """
    -s -d -i -o -p -m -j -g ! --dport --sport --dports
    --mark --ctstate --dst-type --match-set --probability --every --to-destination --to-source --to-ports --set-xmark --reject-with --or-mark
    --ctorigdst --dst-range --rcheck --notrack --restore-mark --vaddr --tcp-flags tcp udp mark connmark conntrack
    state addrtype set statistic multiport iprange recent ipvs ACCEPT DROP RETURN REJECT
    MARK CONNMARK DNAT SNAT MASQUERADE REDIRECT NOTRACK CT LOG X KUBE-SEP-X 10.0.0.0/8
    10.0.0.1 1.2.3.4:80 1.2.3.4-1.2.3.9 fd00::/8 0x1/0x1 80 1:2 LOCAL NEW dst,dst s random
    0.5 "a b" /99 10.0.0.0/x -1 0x
"""
WORDS = st.sampled_from(SOME_WORDS.split())
TABLES = st.sampled_from([("raw", "PREROUTING"), ("mangle", "FORWARD"), ("nat", "PREROUTING"),
                          ("nat", "POSTROUTING"), ("filter", "FORWARD")])  # fmt: skip
VERDICTS = {"delivered", "local", "dropped", "rejected", "unknown"}
SENT = packet(POD, "192.0.2.1:80", "cni0")
SETS = ipset.parse("create s hash:ip,port family inet\nadd s 192.0.2.1,tcp:80\n", Unread("s"))


def judged(made) -> None:
    path = walked(made, SENT)
    assert path.verdict in VERDICTS
    assert bool(path.unknown) == (path.verdict == "unknown")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=9), max_size=4), TABLES)
def test_any_rule_of_iptables(lines, place):
    table, chain = place
    text = rules(*(f"-A {chain} {' '.join(words)}" for words in lines), table=table, chains=("X",))
    (tables,) = parse(text, Unread("x"), ipv6=False)
    judged(replace(state(), xtables=(tables,), address_sets=SETS))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_rule(text):
    parse_rule(f"-A X {text}")


LEAVES = st.none() | st.integers(-1, 99) | st.sampled_from(
    ["10.0.0.0", "tcp", "@s", "mark", "saddr", "ip", "new", "fd00::1", "x", "type", "daddr"]
)  # fmt: skip
SOME_KEYS = """
    match op left right payload protocol field meta key ct vmap data set concat
    prefix addr len range map jump target goto drop accept reject type expr mangle
    value dnat snat masquerade redirect port numgen mode mod offset fib result flags &
    | notrack elem xt unknown log
"""
KEYS = st.sampled_from(SOME_KEYS.split())
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
SAMPLE = nft_text.parse(
    "table ip t {\n chain c {\n ip daddr . meta l4proto . th dport vmap { 192.0.2.1 . tcp . 80 :"
    " drop }\n meta mark set meta mark | 4\n dnat to numgen random mod 2 map { 0 : 1.1.1.1, 1 :"
    " 2.2.2.2 }\n ct state new reject with tcp reset\n ip saddr @s masquerade to :1-5\n }\n}\n",
    Unread("x"),
)
STATEMENTS = [s for r in SAMPLE.tables["ip", "t"].chains["c"].rules for s in r.statements]


def in_chain(hook: str, statements: list[object]):
    chain = {"family": "ip", "table": "t", "name": "c", "type": "nat", "hook": hook, "prio": -100}
    rule = {"family": "ip", "table": "t", "chain": "c", "expr": statements}
    document = json.dumps({"nftables": [{"chain": chain}, {"rule": rule}]})
    return replace(state(), nft=nft_json.parse(document, Unread("x")))


@settings(max_examples=400, deadline=None)
@given(st.lists(JSON | st.sampled_from(STATEMENTS), max_size=4),
       st.sampled_from(["prerouting", "forward", "postrouting"]))  # fmt: skip
def test_any_statement_of_nftables(statements, hook):
    judged(in_chain(hook, statements))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_statement_with_one_part_changed(data):
    statement = json.loads(json.dumps(data.draw(st.sampled_from(STATEMENTS))))
    holder = statement
    while isinstance(holder, dict | list) and holder:
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = data.draw(st.sampled_from(list(keys)))
        if data.draw(st.booleans()) or not isinstance(holder[key], dict | list):
            holder[key] = data.draw(JSON)
            break
        holder = holder[key]
    judged(in_chain("prerouting", [statement]))
