import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.node.rows import TABLES
from tracer.address import endpoint, parse
from tracer.events import PROTOCOL_NAMES
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread

EXPECTED = {
    "tcp 10.96.0.10:80 rr": ["10.2.0.2:8080 1"],
    "tcp 10.96.0.11:80 wrr": ["10.2.0.2:8080 0"],
    "udp 10.96.0.10:53 rr": ["10.2.0.2:8053 1"],
    "sctp 10.96.0.10:9999 sh": ["10.2.0.2:9999 1"],
    "tcp [fd00:96::10]:80 rr": ["[fd02::2]:8080 1"],
    "udp [fd00:96::10]:53 rr": ["[fd02::2]:8053 1"],
}


def read(text):
    unread = Unread("ipvs")
    servers = parse_servers(text, unread)
    return {
        f"{PROTOCOL_NAMES[s.protocol]} {endpoint(s.ip, s.port)} {s.scheduler}": [
            f"{endpoint(ip, port)} {weight}" for ip, port, weight in s.backends
        ]
        for s in servers
    }, unread


@pytest.mark.parametrize("form", ["ipvsadm-save.txt", "ipvsadm-list.txt", "ip_vs"])
def test_each_form_reads_the_same(form):
    servers, unread = read((TABLES / form).read_text())
    assert servers == EXPECTED
    # The firewall-mark service and its backend, which have no address.
    assert unread.count == 2


def test_long_options_are_understood():
    servers, unread = read(
        "--add-service --tcp-service 10.0.0.1:80 --scheduler lc\n"
        "--add-server --tcp-service 10.0.0.1:80 --real-server 10.1.1.1:8080 --masquerading --weight 3\n"
    )
    assert servers == {"tcp 10.0.0.1:80 lc": ["10.1.1.1:8080 3"]}
    assert unread.count == 0


def test_a_listing_without_weights_does_not_pass_for_servers_without_backends():
    servers, unread = read((TABLES / "ipvsadm-stats.txt").read_text())
    assert servers == {}
    assert unread.count > 0


def test_names_instead_of_numbers_are_listed():
    servers, unread = read("-A -t kubernetes.default:https -s rr\n")
    assert servers == {}
    assert "numeric" in unread.listed()[0]


def test_a_backend_without_its_server_is_listed_not_given_to_another():
    servers, unread = read(
        "TCP  10.0.0.1:80 rr\nTCP  garbage rr\n  -> 10.1.1.1:80    Masq    1      0   0\n"
    )
    assert servers == {"tcp 10.0.0.1:80 rr": []}
    assert [line.split(": ")[0] for line in unread.listed()] == ["ipvs:2", "ipvs:3"]


def test_a_server_without_backends_is_known_as_such():
    assert read("TCP  10.0.0.1:80 rr\n")[0] == {"tcp 10.0.0.1:80 rr": []}
    assert parse("10.0.0.1")


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_listed(text):
    read(text)


@settings(deadline=None)
@given(st.integers(0, 500), st.text(max_size=20), st.sampled_from(["ip_vs", "ipvsadm-save.txt"]))
def test_damage_is_listed(at, junk, form):
    whole = (TABLES / form).read_text()
    read(whole[:at] + junk + whole[at:])
