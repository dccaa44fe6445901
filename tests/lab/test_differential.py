"""The walk against this kernel, in short; ``make test-differential`` takes as long as wanted."""

from __future__ import annotations

import random

import pytest

from lab.differential import nft_rules, xt_rules
from lab.differential.frames import ip_packet
from lab.differential.run import ENGINES, asked, run_differential
from lab.differential.universe import packets
from lab.differential.world import unique_prefix
from lab.shell import run
from tracer.node import nft_text
from tracer.node.iptables import parse
from tracer.node.lines import Unread


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES)
def test_the_walk_ends_as_this_kernel_does(engine):
    report = run_differential(engine, seed=1, count=12)
    assert report.differences == [], report.text()
    assert report.packets >= 12 * 40
    assert report.undecided * 20 < report.packets
    assert {"delivered", "local", "drop", "reject"} <= set(report.verdicts)
    assert unique_prefix() not in run(["ip", "netns"])


def test_a_seed_says_it_all():
    for write in (xt_rules.ruleset, nft_rules.ruleset):
        assert write(random.Random(5)) == write(random.Random(5))
    assert packets(random.Random(5), 9, 1000) == packets(random.Random(5), 9, 1000)


@pytest.mark.parametrize("seed", range(20))
def test_every_rule_that_is_written_can_be_read(seed):
    unread = Unread("rules")
    parse(xt_rules.ruleset(random.Random(seed)), unread, ipv6=False)
    ruleset = nft_text.parse(nft_rules.ruleset(random.Random(seed)), unread)
    assert unread.listed() == ()
    statements = [
        statement
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        for statement in rule.statements
    ]
    assert not [each for each in statements if isinstance(each, dict) and "unknown" in each]


def test_packets_on_the_wire_are_those_that_are_asked_about():
    for sent in packets(random.Random(3), 20, 2000):
        wire, packet = ip_packet(sent), asked(sent)
        assert wire[12:16] == packet.src[12:]
        assert wire[16:20] == packet.dst[12:]
        assert int.from_bytes(wire[20:22], "big") == packet.sport
        assert int.from_bytes(wire[4:6], "big") == sent.number
