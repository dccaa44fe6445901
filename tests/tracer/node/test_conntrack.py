import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.node.rows import TABLES, flags, spoken
from tracer.events import Flag, Hook
from tracer.node import conntrack
from tracer.node.lines import LISTED, Unread

SAMPLE = (TABLES / "kinds.conntrack.txt").read_bytes() + (TABLES / "conntrack.txt").read_bytes()
LINE = (
    b"tcp 6 431999 ESTABLISHED src=10.1.0.2 dst=10.96.0.10 sport=4000 dport=80 "
    b"src=10.2.0.2 dst=10.2.0.1 sport=8080 dport=5000 [ASSURED] mark=0 use=1\n"
)


def parse(data):
    unread = Unread("conntrack.txt")
    return conntrack.parse(data, unread, at_ns=7), unread


def test_each_form_of_one_table_reads_the_same():
    forms = ("conntrack.txt", "conntrack-extended-id.txt", "nf_conntrack")
    tables = [parse((TABLES / form).read_bytes()) for form in forms]
    assert all(unread.listed() == () for _, unread in tables)
    stories = [sorted(spoken(row) for row in records) for records, _ in tables]
    assert stories[0] == stories[1] == stories[2]
    assert len(stories[0]) == 12
    assert (
        "tcp [fd01::2]:56602 > [fd00:96::10]:80 => [fd02::1]:56602 > [fd02::2]:8080" in stories[0]
    )
    assert "udp 10.1.0.2:44551 > 10.96.0.10:53 => 10.2.0.1:44551 > 10.2.0.2:8053" in stories[0]


def test_an_entry_has_its_status_counters_and_time():
    (row,), _ = parse((TABLES / "conntrack.txt").read_bytes().splitlines(keepends=True)[1])
    assert row["hook"] == Hook.CT_NEW
    assert flags(row) == (
        Flag.AFTER | Flag.EXISTING | Flag.REPLIED | Flag.ASSURED | Flag.SRC_NAT | Flag.DST_NAT
    )
    assert (row["family"], row["seq"], row["ack"], row["time_ns"], row["cookie"]) == (
        10,
        3,
        2,
        7,
        0,
    )


def test_the_id_is_the_entry_s_own_not_that_of_icmp():
    with_id = b"ipv4 2 icmp 1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=4660 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=4660 mark=0 use=1 id=476460538\n"
    (row,), _ = parse(with_id)
    assert (row["cookie"], row["src_port"], row["nat_dst_port"]) == (476460538, 4660, 4660)


def test_every_protocol_has_what_it_has_for_ports():
    records, unread = parse((TABLES / "kinds.conntrack.txt").read_bytes())
    assert unread.listed() == ()
    assert [spoken(row) for row in records] == [
        "icmpv6 [::1]:17185 > [::1]:17185 => [::1]:17185 > [::1]:17185",
        "sctp 127.0.0.1:40000 > 127.0.0.1:9999 => 127.0.0.1:40000 > 127.0.0.1:9999",
        "icmp 127.0.0.1:4660 > 127.0.0.9:4660 => 127.0.0.1:4660 > 127.0.0.1:4660",
        "89 127.0.0.1:0 > 127.0.0.1:0 => 127.0.0.1:0 > 127.0.0.1:0",
        "47 127.0.0.1:0 > 127.0.0.1:0 => 127.0.0.1:0 > 127.0.0.1:0",
    ]
    assert [Flag.REPLIED in flags(row) for row in records] == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b"tcp 6 431999 ESTABLISHED src=10.1.0.2 dst=10.96.0.10 spo\n", "not a conntrack entry"),
        (b"\x1b[31mhostile\n", "not a conntrack entry: '\\x1b[31mhostile'"),
        (LINE.replace(b"10.96.0.10", b"10.96.0.300"), "no such address or port"),
        (LINE.replace(b"sport=4000", b"sport=70000"), "no such address or port"),
        (LINE.replace(b"dst=10.96.0.10", b"dst=fd00::1"), "no such address or port"),
        (LINE.replace(b"tcp 6 ", b"tcp 600 "), "no such address or port"),
    ],
)
def test_a_bad_line_is_named_and_its_neighbours_are_read(bad, what):
    records, unread = parse(LINE + bad + LINE)
    assert len(records) == 2
    assert unread.count == 1
    assert unread.listed()[0].startswith(f"conntrack.txt:2: {what}")


def test_unknown_columns_and_the_tool_s_own_words_are_no_damage():
    zoned = LINE.replace(b" dport=80 ", b" dport=80 zone-orig=3 packets=5 bytes=6 ")
    labelled = zoned.replace(b" use=1", b" secctx=a:b [OFFLOAD] use=1 labels=x delta-time=3")
    talk = b"conntrack v1.4.7 (conntrack-tools): 12 flow entries have been shown.\n\n"
    records, unread = parse(talk + labelled + talk)
    assert (unread.listed(), len(records), records["seq"][0]) == ((), 1, 5)


def test_a_file_cut_in_mid_number_loses_that_line_only():
    cut = LINE + LINE[: LINE.index(b"dport=5000") + len(b"dport=50")]
    records, unread = parse(cut)
    assert (len(records), unread.listed()[0][:24]) == (1, "conntrack.txt:2: cut off")
    assert len(parse(LINE + LINE[:-1])[0]) == 2


def test_blocks_meet_without_a_seam(monkeypatch):
    whole, _ = parse(SAMPLE)
    monkeypatch.setattr(conntrack, "_BLOCK", 300)
    assert np.array_equal(parse(SAMPLE)[0], whole)
    records, unread = parse(SAMPLE + b"junk\n" + SAMPLE)
    assert len(records) == 2 * len(whole)
    assert unread.listed()[0].startswith(f"conntrack.txt:{len(whole) + 1}: ")


def test_the_list_of_bad_lines_is_bounded_and_counted():
    _, unread = parse(b"what?\n" * (LISTED + 10))
    assert unread.count == LISTED + 10
    assert unread.listed()[-1] == "conntrack.txt: and 10 more"


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_read_or_listed(data):
    parse(data)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_table_still_gives_its_sound_lines(data):
    start = data.draw(st.integers(0, len(SAMPLE)))
    length = data.draw(st.integers(0, 200))
    damaged = SAMPLE[:start] + data.draw(st.binary(max_size=50)) + SAMPLE[start + length :]
    records, unread = parse(damaged)
    lines = [line for line in re.split(rb"\n", damaged) if line.strip()]
    sound = sum(line in SAMPLE.split(b"\n") for line in lines)
    assert len(records) >= sound - 1  # the last may lack its line end
    assert len(records) + unread.count <= len(lines)
