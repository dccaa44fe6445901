from __future__ import annotations

from dataclasses import replace

from tests.builders import at
from tests.tracer.shown import HOSTILE, cluster, traced
from tracer.address import parse
from tracer.node.model import InterfaceAddress, NodeState, VirtualServer
from tracer.node.sets import AddressSet
from tracer.pipeline import Pipeline
from tracer.view import Page, Sheet, Tone, View, ViewQuery

KNOWN = frozenset({"addresses", "virtual_servers", "sysctls"})


def held(*addresses: tuple[str, str], **more) -> NodeState:
    """A node in ipvs mode with addresses on interfaces."""
    found = tuple(InterfaceAddress(name, parse(ip), 32) for name, ip in addresses)
    fields = {"proxy_mode": "ipvs", "node_name": "worker-1", "known": KNOWN} | more
    return NodeState(addresses=found, **fields)


def page(node: NodeState, known=None) -> tuple[View, Pipeline]:
    pipeline = traced(known)
    pipeline.set_node(node, at(1))
    return View(), pipeline


def shown(node: NodeState, known=None) -> Sheet:
    view, pipeline = page(node, known)
    return view.answer(pipeline, ViewQuery(page=Page.NODE)).sheet


def who(sheet: Sheet, value: str) -> tuple[str, Tone]:
    place = [row[1] for row in sheet.cells].index(value)
    return sheet.cells[place][2], Tone(sheet.tones[place])


def test_addresses_are_told_with_who_put_them_there():
    sheet = shown(
        held(
            ("kube-ipvs0", "10.96.0.10"),
            ("kube-ipvs0", "10.96.0.99"),
            ("eth0", "192.168.1.3"),
            ("lo", "127.0.0.1"),
        )
    )
    assert who(sheet, "10.96.0.10/32")[0] == "kube-proxy for shop/web:http (ClusterIP)"
    assert who(sheet, "10.96.0.99/32") == ("kube-proxy, but no Service has it", Tone.WARN)
    assert who(sheet, "192.168.1.3/32") == ("address of node worker-1", Tone.GOOD)
    assert who(sheet, "127.0.0.1/32")[0] == "loopback"


def test_a_nodes_address_on_kube_ipvs0_stands_out():
    known = cluster()
    service = replace(known.services[0], external_ips=(parse("192.168.1.3"),))
    sheet = shown(held(("kube-ipvs0", "192.168.1.3")), known.successor(services=(service,)))
    told, tone = who(sheet, "192.168.1.3/32")
    assert told == (
        "address of node worker-1, put here by kube-proxy for shop/web:http (ExternalIP)"
    )
    assert tone == Tone.BAD


def test_what_ipvs_lacks_or_has_too_much_is_told():
    stranger = VirtualServer(17, parse("10.9.9.9"), 53, "rr")
    sheet = shown(held(("eth0", "192.168.1.3"), virtual_servers=(stranger,)))
    turns = {row[1]: row[0].strip() for row in sheet.cells}
    assert turns["udp 10.9.9.9:53"] == "programmed, but no Service has it"
    assert turns["shop/web:http (tcp 10.96.0.10:80)"] == "not programmed"
    assert turns["address 10.96.0.10"] == "not on kube-ipvs0"


def test_rules_of_the_other_modes_are_compared_where_they_were_read():
    sheet = shown(held(proxy_mode="iptables"))
    assert "Differs from the cluster" not in [row[0] for row in sheet.cells]
    sheet = shown(held(proxy_mode="iptables", known=KNOWN | {"xtables", "xtables.ip"}))
    told, tone = who(sheet, "rules of iptables mode")
    assert told.startswith("the nat table has no rules in KUBE-SERVICES")
    assert tone == Tone.BAD


def test_sysctls_that_kube_proxy_wants_otherwise_stand_out():
    values = {"net.ipv4.ip_forward": "0", "net.ipv4.vs.conntrack": "1", "kernel.panic": "9"}
    sheet = shown(held(sysctls=values))
    rows = {row[0].strip(): place for place, row in enumerate(sheet.cells)}
    forward, conntrack = (rows[f"net.ipv4.{name}"] for name in ("ip_forward", "vs.conntrack"))
    assert sheet.cells[forward][2].endswith("kube-proxy wants 1")
    assert (sheet.tones[forward], sheet.tones[conntrack]) == (Tone.BAD, Tone.PLAIN)
    assert "  kernel.panic" not in [row[0] for row in sheet.cells]


def test_ipvs_settings_matter_in_ipvs_mode_only():
    sheet = shown(held(sysctls={"net.ipv4.vs.conntrack": "0"}, proxy_mode="nftables"))
    assert "  net.ipv4.vs.conntrack" not in [row[0] for row in sheet.cells]


def test_what_was_not_read_is_not_called_empty():
    sheet = shown(NodeState())
    assert ("Addresses", "not known", "") in sheet.cells


def test_the_selected_row_is_told_in_full():
    view, pipeline = page(held(("eth0", "192.168.1.3")))
    row = view.answer(pipeline, ViewQuery(page=Page.NODE)).sheet.ids[1]
    detail = view.answer(pipeline, ViewQuery(page=Page.NODE, row=row)).detail
    assert detail is not None
    assert (detail.title, dict(detail.facts)["Value"]) == ("eth0", "192.168.1.3/32")


def test_hostile_names_are_only_text():
    for name in HOSTILE.values():
        state = held((name, "10.0.0.1"), address_sets=(AddressSet(name, name),))
        sheet = shown(replace(state, sysctls={"net.ipv4.ip_forward": name}))
        assert all(cell.isprintable() for row in sheet.cells for cell in row)
