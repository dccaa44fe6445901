from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.node.rows import TABLES
from tracer import address
from tracer.node.iproute import parse
from tracer.node.lines import Unread

TEXT = (TABLES / "addr.json").read_text()


def read(text):
    unread = Unread("addr.json")
    found = parse(text, unread)
    return (
        [f"{a.interface} {address.text(a.ip)}/{a.prefix}" for a in found.addresses],
        found.names,
        unread,
    )


def test_addresses_and_names():
    addresses, names, unread = read(TEXT)
    assert names == {1: "lo", 2: "c0", 3: "b0", 4: "kube-ipvs0"}
    assert "c0 10.1.0.1/24" in addresses
    assert "kube-ipvs0 fd00:96::10/128" in addresses
    assert unread.count == 0


def test_a_cut_listing_gives_the_interfaces_before_the_cut():
    _, names, unread = read(TEXT[: TEXT.index("kube-ipvs0")])
    assert names == {1: "lo", 2: "c0", 3: "b0"}
    assert unread.listed()[0].startswith("addr.json:1: interface cut off or not JSON")


def test_messages_between_the_interfaces_do_not_matter():
    torn = TEXT.replace('},{"ifindex":3', '},\nDump was interrupted\n{"ifindex":3')
    assert read(torn)[:2] == read(TEXT)[:2]


def test_a_bad_address_is_named_with_its_interface():
    _, _, unread = read('[{"ifindex":9,"ifname":"x","addr_info":[{"local":"1.2.3"},{},7]}]')
    assert unread.listed() == ("addr.json:1: no such address on x: '1.2.3'",)


def test_another_command_s_output_is_said_to_be_one():
    assert "ip -j addr" in read("1: lo: <LOOPBACK> mtu 65536")[2].listed()[0]
    assert read("[]")[2].count == 0


@settings(deadline=None)
@given(st.integers(0, len(TEXT)), st.text(max_size=20), st.integers(0, 40))
def test_damage_is_listed(at, junk, lost):
    read(TEXT[:at] + junk + TEXT[at + lost :])
