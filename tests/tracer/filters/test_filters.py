"""Filters as users type them, over a handful of flows."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer import address
from tracer.cluster.model import ServiceKind
from tracer.enrich import ServiceHit
from tracer.errors import InputError
from tracer.filters import TERMS, parse
from tracer.flow import FLOW, Engine, Seen, State

NAMES = ["", "shop/web-1", "shop/web-2", "worker1", "kube-system/coredns-x"]
HITS = [
    ServiceHit("shop", "web", "http", ServiceKind.CLUSTER_IP),
    ServiceHit("kube-system", "kube-dns", "dns", ServiceKind.NODE_PORT),
]
CONTEXT = SimpleNamespace(
    hit=lambda number: HITS[number] if number >= 0 else None,
    name=NAMES.__getitem__,
    text={0: "", 9: "NETFILTER_DROP"}.__getitem__,
)
CAUSES = {"svc-no-endpoints": np.array([12], np.uint64), "other": np.array([10, 11], np.uint64)}


def flow(**fields):
    row = np.zeros(1, dtype=FLOW)
    for side, text in fields.pop("ends").items():
        host, _, port = text.rpartition(":")
        row[side] = address.column([address.parse(host.strip("[]"))])
        row[f"{side}_port"] = int(port)
    for field, value in fields.items():
        row[field] = value
    return row


def ends(client, virtual, backend, source=None):
    return {"client": client, "virtual": virtual, "backend": backend, "source": source or client}


WEB = flow(
    id=10,
    ends=ends("10.244.1.9:40000", "10.96.0.10:80", "10.244.2.10:8080"),
    service=0,
    client_name=2,
    backend_name=1,
    protocol=6,
    family=2,
    engine=Engine.IPVS,
    state=State.ESTABLISHED,
    seen=Seen.TRANSLATED | Seen.REPLIED,
)
DNS = flow(
    id=11,
    ends=ends("[fd00::9]:5353", "[fd00:96::a]:53", "[fd00:2::5]:53", "[fd00::1]:61000"),
    service=1,
    client_name=3,
    backend_name=4,
    protocol=17,
    family=10,
    engine=Engine.NFTABLES,
    state=State.NEW,
    seen=Seen.TRANSLATED,
)
OTHER = flow(
    id=12,
    ends=ends("192.168.50.100:443", "192.168.50.1:2380", "192.168.50.1:2380"),
    service=-1,
    protocol=6,
    family=2,
    state=State.LOST,
    seen=Seen.DROPPED | Seen.LOCAL_IN,
    drop_reason=9,
)
FLOWS = np.concatenate([WEB, DNS, OTHER])
IDS = {10: "web", 11: "dns", 12: "other"}


def chosen(text):
    mask = parse(text).mask(FLOWS, CONTEXT, CAUSES)
    assert mask.dtype == np.bool_
    return " ".join(IDS[number] for number in FLOWS["id"][mask].tolist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "web dns other"),
        ("  ", "web dns other"),
        ("service=shop/web", "web"),
        ("service=web", "web"),
        ("service=web:http", "web"),
        ("service=web:https", ""),
        ("service=kube-*/*", "dns"),
        ("service=*", "web dns"),
        ("not service=*", "other"),
        ("pod=shop/web-1", "web"),
        ("pod=web-?", "web"),
        ("pod=worker1", ""),
        ("node=worker1", "dns"),
        ("node=*", "dns"),
        ("client=10.244.0.0/16", "web"),
        ("client=web-2", "web"),
        ("client=worker1", "dns"),
        ("client=10.244.2.10", ""),
        ("backend=shop/web-1", "web"),
        ("backend=fd00:2::/64", "dns"),
        ("vip=10.96.0.10", "web"),
        ("vip=10.96.0.10:80", "web"),
        ("vip=10.96.0.10:81", ""),
        ("vip=[fd00:96::a]:53", "dns"),
        ("10.244.2.10", "web"),
        ("fd00::1", "dns"),
        ("[fd00::1]", "dns"),
        ("host 192.168.50.1", "other"),
        ("10.0.0.0/8", "web"),
        ("0.0.0.0/0", "web other"),
        ("::/0", "web dns other"),
        ("192.168.50.1:2380", "other"),
        ("port 443", "other"),
        ("port=443", "other"),
        ("port = 8080", "web"),
        ("port 53,80", "web dns"),
        ("port=60000-65535", "dns"),
        ("proto=tcp", "web other"),
        ("UDP", "dns"),
        ("engine=ipvs", "web"),
        ("state=new,lost", "dns other"),
        ("state!=established", "dns other"),
        ("kind=NodePort", "dns"),
        ("cause=svc-no-endpoints", "other"),
        ("cause=*", "web dns other"),
        ("cause=unheard-of", ""),
        ("drop=netfilter_*", "other"),
        ("is=snat", "dns"),
        ("translated", "web dns"),
        ("dropped", "other"),
        ("local", "other"),
        ("unanswered", "dns other"),
        ("ipv6", "dns"),
    ],
)
def test_terms(text, expected):
    assert chosen(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp state!=established", "other"),
        ("tcp and port 80 or udp", "web dns"),
        ("tcp and (port 80 or udp)", "web"),
        ("tcp && !port 80", "other"),
        ("udp || port 2380", "dns other"),
        ("not tcp or ipv4", "web dns other"),
        ("not (tcp or udp)", ""),
        ("! ! tcp", "web other"),
        ("NOT not not udp", "web other"),
        ("((((udp))))", "dns"),
        ("service shop/web port 80", "web"),
        ("service='shop/web'", "web"),
        ('"tcp" != "x"', None),
        ("service == shop/web", "web"),
    ],
)
def test_joining_terms(text, expected):
    if expected is None:
        with pytest.raises(InputError):
            parse(text)
    else:
        assert chosen(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("servcie=default/web", 1, "Did you mean service?"),
        ("tcp and foo", 9, "Possible: an address, icmp, tcp"),
        ("state=gone", 7, "new, answered, established"),
        ("state=new,gone", 11, "new, answered"),
        ("state='new,gone'", 12, "new, answered"),
        ("port=", 6, "port 30000-32767"),
        ("port 70000", 6, "65535"),
        ("port 9-1", 6, "65535"),
        ("port 1²", 6, "65535"),
        ("10.0.0.300", 1, "10.0.0.0/8"),
        ("443", 1, "an address is such as"),
        ("client=10.0.0.0/99", 8, "an address is such as"),
        ("vip=1.2.3.4:", 5, "an address is such as"),
        ("(tcp", 1, "Add a )"),
        ("tcp)", 4, "another term"),
        ("tcp or", 7, "Possible"),
        ("()", 2, "Possible"),
        ("tcp = udp", 1, "Possible"),
        ("service 'a", 9, "Possible"),
        ("tcp & udp", 5, "Possible"),
        ("port=80,", 9, "a value is missing"),
        ("engine", 7, "ipvs"),
        ("engine and tcp", 8, "ipvs"),
        ("(" * 60, 51, "fewer"),
        ("\x1b[31m", 1, "Possible"),
    ],
)
def test_errors_point_at_the_column_and_list_what_is_possible(text, column, says):
    with pytest.raises(InputError) as caught:
        parse(text)
    assert f"column {column}:" in caught.value.what
    assert says in caught.value.remedy
    assert caught.value.what.isprintable()


def test_a_filter_has_its_limits():
    with pytest.raises(InputError, match="too long"):
        parse("not " * 2000 + "tcp")


def test_no_rows_are_no_special_case():
    for term in TERMS:
        assert parse(term.example).mask(FLOWS[:0], CONTEXT).tolist() == []


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)
def test_every_example_and_every_listed_value_works(term):
    parse(term.example).mask(FLOWS, CONTEXT)
    for value in term.values:
        with_name = parse(f"{term.name}={value}").mask(FLOWS, CONTEXT)
        if term.bare:
            assert (parse(value).mask(FLOWS, CONTEXT) == with_name).all()
    assert term.help


PIECES = st.sampled_from(
    [
        *(term.name for term in TERMS),
        *(value for term in TERMS for value in term.values[:3]),
        *[
            "=",
            "!=",
            "==",
            "(",
            ")",
            "!",
            "&&",
            "||",
            "and",
            "or",
            "not",
            ",",
            "*",
            "[",
            "]",
            ":",
            "/",
            "'",
            '"',
            "10.0.0.1",
            "::1",
            "443",
            "1-2",
            "a/b",
        ],
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(PIECES, max_size=12).map(" ".join)
    | st.lists(PIECES).map("".join)
)
def test_any_text_is_a_filter_or_an_input_error(text):
    try:
        compiled = parse(text)
    except InputError as error:
        assert error.remedy  # noqa: PT017 (either outcome is right)
    else:
        assert len(compiled.mask(FLOWS, CONTEXT, CAUSES)) == len(FLOWS)


def test_a_pattern_full_of_stars_is_quick():
    hit = ServiceHit("a" * 253, "a" * 253, "", ServiceKind.CLUSTER_IP)
    context = SimpleNamespace(hit=lambda number: hit, name=str, text=str)
    assert not parse("service=" + "*a" * 30 + "*/*b").mask(FLOWS, context).any()
