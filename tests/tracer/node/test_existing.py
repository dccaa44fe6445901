import os

import pytest

from tests.tracer.node.namespace import inside, run, talk, translate
from tests.tracer.node.rows import flags, spoken
from tracer.errors import UnableError
from tracer.events import Flag, Hook
from tracer.node import conntrack
from tracer.node.existing import LOOKUPS, ConntrackTable, existing, own_netns, unable
from tracer.node.lines import Unread

pytestmark = pytest.mark.root


def printed():
    return conntrack.parse(run("conntrack -L 2>/dev/null").encode(), Unread("conntrack"))


def listing_and_lookups():
    translate("iptables")
    kept = talk(tcp=5, udp=3)
    batch = existing()
    with ConntrackTable() as table:
        found = table.lookup(batch.records)
        nowhere = batch.records.copy()
        nowhere["src_port"] = 1
        missing = table.lookup(nowhere)
    facts = {
        "listed": sorted(map(spoken, batch.records)),
        "printed": sorted(map(spoken, printed())),
        "packets": {bool(row["seq"] and row["ack"]) for row in batch.records},
        "netns": set(batch.records["netns"].tolist()) == {own_netns()},
        "found": sorted(map(spoken, found)),
        "hooks": {Hook(int(hook)).name for hook in found["hook"]},
        "replied": all(Flag.REPLIED in flags(row) for row in found),
        "missing": len(missing),
    }
    for connection in kept:
        connection.close()
    return facts


def test_the_table_is_what_conntrack_prints_and_each_entry_can_be_asked_for():
    facts = inside(listing_and_lookups)
    assert facts["listed"] == facts["printed"] == facts["found"]
    assert len(facts["listed"]) == 16 < LOOKUPS
    assert facts["packets"] == {True}
    assert facts["hooks"] == {"CT_UPDATE"}
    assert (facts["netns"], facts["replied"], facts["missing"]) == (True, True, 0)


def without_privileges():
    os.setgid(65534)
    os.setuid(65534)
    try:
        existing()
    except UnableError as error:
        return error.why, error.remedy
    return None


def test_without_the_capability_it_says_which_one_is_missing():
    why, remedy = inside(without_privileges)
    assert "CAP_NET_ADMIN" in why
    assert remedy


def test_a_kernel_without_conntrack_says_what_to_load():
    assert "modprobe" in unable(OSError(22, "Invalid argument")).remedy
