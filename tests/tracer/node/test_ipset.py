from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.node.ipset import parse
from tracer.node.lines import Unread

SAVED = """\
create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12
add KUBE-CLUSTER-IP 10.96.0.10,tcp:80
add KUBE-CLUSTER-IP 10.96.0.10,udp:53 timeout 29
create KUBE-6-LOOP-BACK hash:ip,port,ip family inet6 hashsize 1024
create ports bitmap:port range 0-65535
add ports 30080
create ranges hash:net,iface family inet
add ranges 10.0.0.0/8,eth0 nomatch
"""
LISTED = """\
Name: KUBE-CLUSTER-IP
Type: hash:ip,port
Revision: 7
Header: family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x9ae42d2f
Size in memory: 280
References: 1
Number of entries: 2
Members:
10.96.0.10,tcp:80
10.96.0.10,udp:53 comment "x y"

Name: KUBE-6-LOOP-BACK
Type: hash:ip,port,ip
Header: family inet6
Members:
"""


def read(text):
    unread = Unread("ipset-save.txt")
    return {found.name: found for found in parse(text, unread)}, unread


def test_saved_sets():
    sets, unread = read(SAVED)
    assert unread.count == 0
    assert sets["KUBE-CLUSTER-IP"].members == ("10.96.0.10,tcp:80", "10.96.0.10,udp:53")
    assert (sets["KUBE-6-LOOP-BACK"].ipv6, sets["KUBE-6-LOOP-BACK"].members) == (True, ())
    assert sets["ranges"].excluded == {"10.0.0.0/8,eth0"}


def test_listed_sets_read_the_same():
    saved, listed = read(SAVED)[0], read(LISTED)[0]
    for name in ("KUBE-CLUSTER-IP", "KUBE-6-LOOP-BACK"):
        assert listed[name] == saved[name]


def test_what_fits_neither_form_is_named():
    sets, unread = read("create\nadd nowhere 1.2.3.4\nadd\n" + SAVED + "Type: hash:ip\nhello\n")
    assert set(sets) == {"KUBE-CLUSTER-IP", "KUBE-6-LOOP-BACK", "ports", "ranges"}
    places = [line.split(": ")[0] for line in unread.listed()]
    assert places == [f"ipset-save.txt:{number}" for number in (1, 2, 3, 12, 13)]


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers(0, len(LISTED)))
def test_any_text_is_read(text, cut):
    read(LISTED[:cut] + text + LISTED[cut:])
    read(SAVED + text)
