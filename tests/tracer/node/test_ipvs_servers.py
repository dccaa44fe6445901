import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracer.node.rows import TABLES
from tracer.address import endpoint, parse
from tracer.events import PROTOCOL_NAMES
from tracer.node.ipvs_servers import parse as parse_all
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread
from tracer.node.model import UNTOLD_S, MarkServer

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
    assert unread.count == 0


@pytest.mark.parametrize("form", ["ipvsadm-save.txt", "ipvsadm-list.txt", "ip_vs"])
def test_servers_of_firewall_marks_stand_apart(form):
    _, marked = parse_all((TABLES / form).read_text(), Unread("ipvs"))
    assert marked == (MarkServer(7, False, "rr", ((parse("10.2.0.2"), 0, 1),), ("route",)),)


@pytest.mark.parametrize(
    "text",
    [
        "-A -f 16 -6 -s sh -p 60\n-a -f 16 -6 -r [fd02::2]:0 -m -w 2\n",
        "FWM  16 IPv6 sh persistent 60\n  -> [fd02::2]:0   Masq    2      0          0\n",
    ],
)
def test_a_mark_has_a_family(text):
    unread = Unread("ipvs")
    assert parse_all(text, unread) == (
        (),
        (MarkServer(16, True, "sh", ((parse("fd02::2"), 0, 2),), ("masq",), 60),),
    )
    assert unread.count == 0


PROC = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A60000A:0050 rr ops persistent 2700000 FFFFFFFF
  -> 0A020002:1F90      Masq    1      0          0
FWM  00000007 rr persistent 90000 FFFFFFFF
"""
"""With 250 ticks a second: kube-proxy's three hours, and six minutes."""


@pytest.mark.parametrize(
    ("ticks_per_s", "seconds", "words"),
    [
        (250, (10800, 360), "persistent 10800 s"),
        (300, (9000, 300), "persistent 9000 s"),
        # Of a file it is not known which kernel has written it.
        (0, (UNTOLD_S, UNTOLD_S), "persistent"),
    ],
)
def test_the_kernel_tells_persistence_in_ticks(ticks_per_s, seconds, words):
    (server,), (marked,) = parse_all(PROC, Unread("ipvs"), ticks_per_s)
    assert (server.persistent_s, marked.persistent_s) == seconds
    assert server.persistence == words


def test_the_tool_tells_persistence_in_seconds():
    (listed,) = parse_servers("TCP  10.0.0.1:80 rr persistent 10800\n", Unread("ipvs"))
    (saved,) = parse_servers("-A -t 10.0.0.1:80 -s rr -p 10800\n", Unread("ipvs"))
    assert listed.persistent_s == saved.persistent_s == 10800
    assert parse_servers("-A -t 10.0.0.1:80 -s rr\n", Unread("ipvs"))[0].persistence == ""


@pytest.mark.parametrize("mark", ["0", "-1", "4294967296", "ten"])
def test_what_is_no_mark_is_listed(mark):
    unread = Unread("ipvs")
    assert parse_all(f"-A -f {mark} -s rr\n", unread) == ((), ())
    assert unread.count == 1


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
