"""The walk against this kernel, in short; ``make test-differential`` takes as long as wanted."""

from __future__ import annotations

import random

import pytest

from lab.differential import nft_rules, xt_rules
from lab.differential.frames import ip_packet
from lab.differential.observe import Observation, lost, read, write
from lab.differential.program import NATIVE
from lab.differential.run import asked, run_differential
from lab.differential.universe import UNIVERSES, V4, V6, packets
from lab.differential.world import unique_prefix
from lab.shell import run
from tracer.node import nft_text
from tracer.node.iptables import parse
from tracer.node.lines import Unread

FAMILIES = pytest.mark.parametrize("universe", [V4, V6], ids=["ipv4", "ipv6"])


@pytest.mark.root
@pytest.mark.parametrize("family", UNIVERSES)
@pytest.mark.parametrize("engine", NATIVE)
def test_the_walk_ends_as_this_kernel_does(engine, family):
    report = run_differential(engine, family, seed=2, count=8)
    assert report.differences == [], report.text()
    assert report.packets >= 8 * 40
    assert report.undecided * 20 < report.packets
    assert {"delivered", "local", "drop", "reject"} <= set(report.verdicts)
    assert unique_prefix() not in run(["ip", "netns"])


@FAMILIES
def test_a_seed_says_it_all(universe):
    for ruleset in (xt_rules.ruleset, nft_rules.ruleset):
        assert ruleset(random.Random(5), universe) == ruleset(random.Random(5), universe)
    sent = packets(random.Random(5), universe, 9, 1000)
    assert sent == packets(random.Random(5), universe, 9, 1000)


@FAMILIES
@pytest.mark.parametrize("seed", range(20))
def test_every_rule_that_is_written_can_be_read(seed, universe):
    unread = Unread("rules")
    parse(xt_rules.ruleset(random.Random(seed), universe), unread, ipv6=universe.ipv6)
    ruleset = nft_text.parse(nft_rules.ruleset(random.Random(seed), universe), unread)
    assert unread.listed() == ()
    statements = [
        statement
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        for statement in rule.statements
    ]
    assert not [each for each in statements if isinstance(each, dict) and "unknown" in each]


@FAMILIES
def test_packets_on_the_wire_are_those_that_are_asked_about(universe):
    for sent in packets(random.Random(3), universe, 20, 2000):
        wire, packet = ip_packet(sent), asked(sent)
        src, dst, body = (8, 24, 40) if universe.ipv6 else (12, 16, 20)
        assert packet.src.endswith(wire[src:dst])
        assert packet.dst.endswith(wire[dst:body])
        assert int.from_bytes(wire[body : body + 2], "big") == packet.sport
        number = wire[2:4] if universe.ipv6 else wire[4:6]
        assert int.from_bytes(number, "big") == sent.number


def test_what_is_observed_can_be_walked_later(tmp_path):
    sent = packets(random.Random(3), V6, 3, 2000)
    results = tuple((each, lost("drop")) for each in sent)
    kept = [Observation(7, "rules", {"sets": "none"}, results)]
    write(kept, tmp_path / "kept")
    assert read(tmp_path / "kept") == kept
