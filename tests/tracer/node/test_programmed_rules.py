"""Rules as the host's own tools list them, when and how often."""

from __future__ import annotations

import pytest

from tests.tracer.node.namespace import inside, run
from tracer.node import collect, programmed_rules
from tracer.node.collect import Collector
from tracer.node.model import NodeState
from tracer.node.programmed import Traces
from tracer.node.programmed_rules import ProgrammedRules
from tracer.node.reader import NodeReader
from tracer.node.state_files import Absent

SAVED = (
    b"# at noon\n*filter\n:INPUT ACCEPT [%d:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
)


class Host:
    """A host whose tools print what the test says, on a clock that the test moves."""

    def __init__(self, monkeypatch, tmp_path):
        self.now = 100.0
        self.texts: dict[str, bytes | str] = {}
        self.generation = b"1"
        self.runs = 0
        monkeypatch.setattr(programmed_rules, "output_of", self.output)
        monkeypatch.setattr(programmed_rules.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(ProgrammedRules, "_current_generation", lambda rules: self.generation)
        self.rules = ProgrammedRules(tmp_path)

    def output(self, part, enter, patience_s):
        self.runs += part.file == "route.json"
        known = part.tools[0].startswith("iptables-nft") or part.file != "iptables-save.txt"
        return self.texts.get(part.file, Absent("none")) if known else Absent("none")

    def state(self) -> NodeState:
        self.rules.refresh()
        return self.rules.on(NodeState(known=frozenset({"sysctls"})))


@pytest.fixture
def host(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path)


def test_what_is_listed_is_in_the_state(host):
    host.texts = {"iptables-save.txt": SAVED % 1, "route.json": b"[]", "nft.json": "nft failed: x"}
    state = host.state()
    assert state.xtables[0].tables["filter"]["FORWARD"].policy == "DROP"
    assert state.known == {"sysctls", "xtables", "xtables.ip", "routes"}
    assert state.unparsed == ("nft.json: nft failed: x",)


def test_tools_run_when_due_or_after_a_change(host):
    host.state()
    host.now += programmed_rules.EVERY_S / 2
    host.state()
    assert host.runs == 1
    host.generation = b"2"
    host.state()
    assert host.runs == 2
    host.now += programmed_rules.EVERY_S + 1
    host.state()
    assert host.runs == 3


def test_counters_do_not_make_another_state(host):
    host.texts = {"iptables-save.txt": SAVED % 1}
    first = host.state()
    host.now += 60
    host.texts = {"iptables-save.txt": SAVED % 99}
    assert host.state().xtables is first.xtables
    host.now += 60
    host.texts = {"iptables-save.txt": (SAVED % 99).replace(b"DROP", b"ACCEPT")}
    assert host.state().xtables != first.xtables


def test_a_listing_too_large_to_follow_is_said_and_left_alone(host, monkeypatch):
    monkeypatch.setattr(programmed_rules, "LARGEST_BYTES", 50)
    host.texts = {"iptables-save.txt": SAVED % 1}
    state = host.state()
    assert "xtables" not in state.known
    assert "are not followed live" in state.unparsed[0]
    host.now += 60
    host.generation = b"2"
    host.state()
    assert host.runs == 1


def drop_what_is_forwarded():
    collect.told_mode = lambda: ""
    collect.traces = lambda unread: Traces(False, False)
    run("ip link set lo up; iptables-nft -A INPUT -j ACCEPT; ip route add 192.0.2.0/24 dev lo")
    reader = NodeReader(Collector())
    states = []
    for script in ("true", "iptables-nft -P FORWARD DROP"):
        run(script)
        states += [state for _ in range(40) if (state := reader.poll(0.1))]
    reader.close()
    policies = [
        tables.tables["filter"]["FORWARD"].policy
        for state in states for tables in state.xtables if "filter" in tables.tables
    ]  # fmt: skip
    return policies[0], policies[-1], len(states[-1].routes) > 0


@pytest.mark.root
def test_a_policy_that_changes_is_seen_live():
    assert inside(drop_what_is_forwarded) == ("ACCEPT", "DROP", True)


def test_only_processor_time_puts_the_next_listing_off(host):
    listing = programmed_rules.output_of

    def slow(part, enter, patience_s):
        host.now += 5  # a busy machine: the tools wait for their turn
        return listing(part, enter, patience_s)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(programmed_rules, "output_of", slow)
        host.state()
        host.now += programmed_rules.EVERY_S
        host.state()
    assert host.runs == 2
