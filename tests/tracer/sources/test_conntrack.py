import os
from collections import Counter

import numpy as np
import pytest

from tests.tracer.node.namespace import inside, run, talk, translate
from tests.tracer.node.rows import spoken
from tracer.errors import UnableError
from tracer.events import Hook, no_records
from tracer.node import conntrack as text
from tracer.node.lines import Unread
from tracer.settings import LiveSettings
from tracer.sources import conntrack
from tracer.sources.conntrack import ConntrackSource

PATIENCE = 100
"""Reads of a tenth of a second until something must have come."""


class Watch:
    """A source and all it has told so far."""

    def __init__(self):
        self.source = ConntrackSource(LiveSettings())
        self.source.open()
        self.records = no_records()
        self.lost = 0
        self.until = []

    def read(self, enough):
        """Read until ``enough(self)``, or give up."""
        for _ in range(PATIENCE):
            batch = self.source.read(0.1)
            self.records = np.concatenate((self.records, batch.records))
            self.lost += batch.lost.socket
            assert (batch.records["time_ns"] <= batch.until_ns).all()
            assert not self.until or (batch.records["time_ns"] >= self.until[-1]).all()
            self.until.append(batch.until_ns)
            if enough(self):
                return
        pytest.fail(f"not told: {self.counts()}")

    def of(self, hook):
        return self.records[self.records["hook"] == hook]

    def tuples(self, hook):
        return {spoken(row) for row in self.of(hook)}

    def counts(self):
        return Counter(Hook(int(hook)).name for hook in self.records["hook"])


def printed():
    table = text.parse(run("conntrack -L 2>/dev/null").encode(), Unread("conntrack"))
    return {spoken(row) for row in table}


def life_of_connections(rules):
    translate(rules)
    watch = Watch()
    watch.read(lambda w: True)
    kept = talk(tcp=7, udp=5)
    table = printed()
    watch.read(lambda w: w.tuples(Hook.CT_NEW) >= table)
    told = watch.tuples(Hook.CT_NEW)
    updated = watch.tuples(Hook.CT_UPDATE)
    run("conntrack -F 2>/dev/null")
    watch.read(lambda w: w.tuples(Hook.CT_END) >= table)
    ends = watch.of(Hook.CT_END)
    watch.source.close()
    for connection in kept:
        connection.close()
    return {
        "told": told == table,
        "updated": updated == table,
        "ended": watch.tuples(Hook.CT_END) == table,
        "connections": len(table),
        "example": sorted(table)[0],
        "counted": bool((ends["seq"] > 0).all() and (ends["ack"] > 0).all()),
        "lost": watch.lost,
        "after": watch.source.read(0.0),
    }


@pytest.mark.root
@pytest.mark.parametrize("rules", ["iptables", "nft"])
def test_every_connection_is_told_as_the_kernel_s_table_has_it(rules):
    facts = inside(life_of_connections, rules)
    example = facts.pop("example")
    assert example.startswith("tcp 10.1.0.1:")
    assert " > 10.96.0.10:80 => 10.1.0.9:" in example
    assert example.endswith(" > 10.1.0.2:8080")
    assert facts == {
        "told": True,
        "updated": True,
        "ended": True,
        "connections": 24,
        "counted": True,
        "lost": 0,
        "after": None,
    }


def older_connections():
    conntrack.RECHECK_S = 0.2
    conntrack.RECHECK_SHARE = 0
    translate("iptables")
    kept = talk(tcp=3, udp=0)
    table = printed()
    watch = Watch()
    watch.read(lambda w: w.tuples(Hook.CT_NEW) >= table)
    run("conntrack -F 2>/dev/null")
    watch.read(lambda w: w.tuples(Hook.CT_END) >= table)
    for connection in kept:
        connection.close()
    return watch.tuples(Hook.CT_END) == table


@pytest.mark.root
def test_the_end_of_an_older_connection_is_found_though_the_kernel_does_not_tell():
    assert inside(older_connections) is True


def flood():
    conntrack._BUFFER_BYTES = 1
    translate("iptables")
    watch = Watch()
    watch.read(lambda w: True)
    kept = talk(tcp=0, udp=150)
    table = printed()
    watch.read(lambda w: w.lost and w.tuples(Hook.CT_NEW) >= table)
    for connection in kept:
        connection.close()
    return watch.lost


@pytest.mark.root
def test_lost_events_are_counted_and_the_table_is_read_again():
    assert inside(flood) > 0


def without_privileges():
    os.setgid(65534)
    os.setuid(65534)
    try:
        ConntrackSource(LiveSettings()).open()
    except UnableError as error:
        return error.why
    return None


@pytest.mark.root
def test_without_the_capability_it_says_which_one_is_missing():
    assert "CAP_NET_ADMIN" in inside(without_privileges)


def test_what_this_node_keeps_from_view_is_said(tmp_path):
    settings = tmp_path / "sys/net/netfilter"
    settings.mkdir(parents=True)
    (settings / "nf_conntrack_acct").write_text("0\n")
    (settings / "nf_conntrack_events").write_text("0\n")
    source = ConntrackSource(LiveSettings(all_namespaces=True), tmp_path)
    assert [problem.what for problem in source.problems()] == [
        "drops and refusals are not seen",
        "new connections are not seen",
        "no packet counts",
        "other network namespaces are not seen",
    ]


def test_a_source_that_is_not_open_has_nothing_and_closes_twice():
    source = ConntrackSource(LiveSettings())
    assert source.read(0.0) is None
    source.close()
    source.close()
