"""The rules that the lab writes are those of kube-proxy itself, in every recording of it."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from lab.rules.differences import (
    compared,
    differences,
    listed_by_kernel,
    nft_lines,
    of_their_release,
    rule,
    server_lines,
    set_lines,
    xt_lines,
)

PCAPS = Path(__file__).parent.parent.parent / "pcaps"
RECORDED = sorted(PCAPS.glob("*-kube-proxy-*"))


def mode_of(folder: Path) -> str:
    return json.loads((folder / "expected.json").read_text())["mode"]


AS_TEXT = [folder for folder in RECORDED if mode_of(folder) != "nftables"]
LISTED = [folder for folder in RECORDED if mode_of(folder) == "nftables"]


def nobody(steps):
    raise AssertionError("text is enough")


def test_every_mode_and_both_releases_are_recorded():
    kinds = {(mode_of(folder), folder.name.rpartition("-")[2]) for folder in RECORDED}
    both = {("iptables", release) for release in ("1.28", "1.34")}
    assert kinds >= both | {("nftables", "1.34"), ("ipvs", "1.28"), ("ipvs", "1.34")}


@pytest.mark.parametrize("folder", AS_TEXT, ids=lambda folder: folder.name)
def test_the_lab_writes_what_kube_proxy_writes(folder):
    assert list(compared(folder, nobody)) == []


@pytest.mark.root
@pytest.mark.parametrize("folder", LISTED, ids=lambda folder: folder.name)
def test_the_kernel_lists_the_same_nftables(folder):
    listed = partial(listed_by_kernel, f"labd{os.getpid()}")
    assert list(compared(folder, listed)) == []


def test_a_rule_that_only_one_of_them_has_is_told(tmp_path):
    folder = tmp_path / "x"
    shutil.copytree(AS_TEXT[0], folder)
    saved = folder / "state" / "iptables-save.txt"
    lines = saved.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if "KUBE-POSTROUTING" in line and "RETURN" in line)
    saved.write_text("".join(lines[:at] + lines[at + 1 :]))
    (told,) = compared(folder, nobody)
    assert told.startswith("+ iptables nat KUBE-POSTROUTING: ")


def test_spelling_does_not_matter_and_meaning_does():
    saved = '[1:2] -A C -d 10.0.0.1/32 -p tcp -m comment --comment "a b" -m tcp --dport 80 -j X'
    written = '-A C -m comment --comment "a b" -m tcp -p tcp -d 10.0.0.1/32 --dport 80 -j X'
    assert rule(saved) == rule(written)
    assert rule(saved) != rule(saved.replace("--dport 80", "--dport 81"))
    assert rule(saved) != rule(saved.replace("-d 10", "! -d 10"))
    assert rule("-A C -j MARK --or-mark 0x4000") == rule("-A C -j MARK --set-xmark 0x4000/0x4000")
    assert rule("-A C -m ipvs --vproto tcp") == rule("-A C -m ipvs --vproto 6")
    assert rule("-A C -j MARK --xor-mark 0x4000") == rule("-A C -j MARK --set-xmark 0x4000/0x0")


def test_the_order_of_a_chain_counts_where_rules_may_both_match():
    text = "*nat\n:{0} - [0:0]\n-A {0} -j {1}\n-A {0} -j {2}\nCOMMIT\n"
    for chain, told in (("KUBE-SVC-A", ["! iptables nat KUBE-SVC-A: another order"]),
                        ("KUBE-NODEPORTS", [])):  # fmt: skip
        one, other = (
            xt_lines(text.format(chain, *way), "iptables", ipv6=False) for way in ("AB", "BA")
        )
        assert list(differences(one, other)) == told


def test_in_ipvs_mode_the_order_of_the_services_chain_counts():
    text = (
        "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j {0}\n-A KUBE-SERVICES -j {1}\nCOMMIT\n"
    )
    one, other = (xt_lines(text.format(*way), "ipvs", ipv6=False) for way in ("AB", "BA"))
    assert list(differences(one, other)) == ["! iptables nat KUBE-SERVICES: another order"]


def test_a_chain_of_later_releases_is_looked_for_only_where_kube_proxy_has_one():
    ours = {
        "iptables filter OUTPUT": ["-j KUBE-IPVS-OUT-FILTER"],
        "iptables filter KUBE-IPVS-OUT-FILTER": ["-j DROP"],
        "iptables filter KUBE-IPVS-FILTER": [],
    }
    older = {"iptables filter KUBE-IPVS-FILTER": []}
    assert list(differences(older, of_their_release(ours, older))) == []
    newer = older | {"iptables filter KUBE-IPVS-OUT-FILTER": []}
    told = list(differences(newer, of_their_release(ours, newer)))
    assert [line[0] for line in told] == ["+", "+"]


def test_a_place_that_only_one_of_them_has():
    assert list(differences({"a": ["x"]}, {})) == ["- a: ['x']"]
    assert list(differences({}, {"a": ["x"]})) == ["+ a: ['x']"]


def test_sets_servers_and_nftables_by_their_content():
    create = "create S hash:ip family inet\n"
    sets = set_lines(create + "add S 10.0.0.2\nadd S 10.0.0.1\n")
    assert sets == set_lines(create + "add S 10.0.0.1\nadd S 10.0.0.2\n")
    assert sets != set_lines(create + "add S 10.0.0.1\n")
    server = "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w {}\n"
    assert server_lines(server.format(1)) != server_lines(server.format(0))
    made = {
        "family": "ip",
        "table": "kube-proxy",
        "chain": "c",
        "expr": [{"counter": {"packets": 5}}],
    }
    one, other = (
        json.dumps({"nftables": [{"rule": {**made, "handle": handle}}]}) for handle in (1, 2)
    )
    assert (
        nft_lines(one) == nft_lines(other) == {"nft ip chain c": ['[{"counter": {"packets": 0}}]']}
    )
    assert nft_lines(one.replace("kube-proxy", "mine")) == {}
