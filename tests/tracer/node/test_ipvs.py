import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.node.rows import TABLES, flags, spoken
from tracer.events import Flag, Hook
from tracer.node.ipvs import parse_connections
from tracer.node.lines import Unread

LISTED = (TABLES / "ipvsadm-conn.txt").read_bytes()
PROC = (TABLES / "ip_vs_conn").read_bytes()


def parse(data):
    unread = Unread("conn")
    return parse_connections(data, unread, 9), unread


def test_the_tool_and_the_kernel_say_the_same():
    (listed, bad), (raw, raw_bad) = parse(LISTED), parse(PROC)
    assert bad.listed() == raw_bad.listed() == ()
    assert sorted(map(spoken, listed)) == sorted(map(spoken, raw))
    assert "tcp 10.1.0.2:37966 > 10.96.0.10:80 => 10.1.0.2:37966 > 10.2.0.2:8080" in map(
        spoken, raw
    )
    assert "udp [fd01::2]:45677 > [fd00:96::10]:53 => [fd01::2]:45677 > [fd02::2]:8053" in map(
        spoken, raw
    )


def test_a_connection_is_an_existing_one_of_ipvs():
    records, _ = parse(PROC)
    assert {int(hook) for hook in records["hook"]} == {Hook.IPVS_NEW}
    assert {flags(row) for row in records} == {Flag.AFTER | Flag.EXISTING | Flag.IPVS}
    assert set(records["time_ns"].tolist()) == {9}
    assert set(records["family"].tolist()) == {2, 10}


@pytest.mark.parametrize("data", [LISTED, PROC])
def test_templates_of_persistence_are_left_out(data):
    records, _ = parse(data)
    assert len(records) == data.count(b"\n") - (2 if data is LISTED else 1) - 1
    assert (records["src_port"] != 0).all()


def test_the_persistence_engine_s_columns_do_not_disturb():
    line = b"UDP 0A010002 13C4 0A60000A 13C4 0A020002 13C4 UDP             272 sip     a84b4c76e66710\n"
    (row,), unread = parse(PROC[: PROC.index(b"\n") + 1] + line)
    assert (int(row["src_port"]), unread.count) == (5060, 0)


def test_without_its_header_the_kernel_s_form_is_still_hexadecimal():
    line = b"TCP 0A010002 1000 0A60000A 0050 0A020002 1F90 ESTABLISHED     896\n"
    (row,), _ = parse(line)
    assert spoken(row) == "tcp 10.1.0.2:4096 > 10.96.0.10:80 => 10.1.0.2:4096 > 10.2.0.2:8080"


def test_a_bad_line_is_named_and_its_neighbours_are_read():
    good = b"TCP 14:56  ESTABLISHED 10.1.0.2:1 10.96.0.10:80 10.2.0.2:8080\n"
    bad = good.replace(b"10.2.0.2", b"10.2.0.999")
    records, unread = parse(good + bad + b"TCP 14:56 ESTAB\n" + good)
    assert len(records) == 2
    assert [line.split(": ")[:2] for line in unread.listed()] == [
        ["conn:3", "not an IPVS connection"],
        ["conn:2", "no such address or port"],
    ]


@settings(deadline=None)
@given(
    st.one_of(st.binary(), st.binary(max_size=30).map(lambda cut: PROC[:200] + cut + PROC[200:]))
)
def test_any_bytes_are_read_or_listed(data):
    parse(data)
