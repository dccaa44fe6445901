import shutil

import pytest

from tests.tracer.node.rows import TABLES, story
from tracer import address
from tracer.errors import InputError
from tracer.events import Hook
from tracer.node.state_dir import load


@pytest.fixture
def directory(tmp_path):
    for name, source in (
        ("conntrack.txt", "ipvs-masquerade.conntrack.txt"),
        ("ipvsadm-conn.txt", "ipvsadm-conn.txt"),
        ("ipvsadm-save.txt", "ipvsadm-save.txt"),
        ("addr.json", "addr.json"),
    ):
        shutil.copy(TABLES / source, tmp_path / name)
    (tmp_path / "sysctl.txt").write_text("net.ipv4.vs.conntrack = 1\n")
    return tmp_path


def test_a_node_out_of_its_files(directory):
    state, batch = load(directory, at_ns=3)
    assert state.known == {
        "addresses",
        "interfaces",
        "masters",
        "virtual_servers",
        "sysctls",
        "proxy_mode",
    }
    assert (state.proxy_mode, state.at_ns) == ("ipvs", 3)
    assert address.parse("10.96.0.10") in state.ipvs_addresses
    assert len(state.virtual_servers) == 6
    assert state.sysctls == {"net.ipv4.vs.conntrack": "1"}
    hooks = [line.split()[0] for line in story(batch.records)]
    assert (hooks.count("CT_NEW"), hooks.count("IPVS_NEW")) == (12, 12)
    assert set(batch.records["time_ns"].tolist()) == {3}


def test_what_is_not_there_is_unknown_not_empty(tmp_path):
    state, batch = load(tmp_path)
    assert (state.known, state.unparsed, len(batch.records)) == (frozenset(), (), 0)
    (tmp_path / "ipvsadm-save.txt").write_text("")
    assert load(tmp_path)[0].known == {"virtual_servers"}


def test_a_missing_directory_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="no such state directory") as caught:
        load(tmp_path / "nowhere")
    assert "viptrace state" in caught.value.remedy


def test_bad_lines_are_named_with_their_file(directory):
    with (directory / "conntrack.txt").open("a") as table:
        table.write("tcp 6 broken\n")
    state, batch = load(directory)
    places = [line.partition(": ")[0] for line in state.unparsed]
    assert places == ["conntrack.txt:13"]
    assert [server.mark for server in state.mark_servers] == [7]
    assert batch.damaged == 1


def test_a_file_that_cannot_be_read_is_unknown_and_named(tmp_path):
    (tmp_path / "addr.json").mkdir()
    state, _ = load(tmp_path)
    assert state.known == frozenset()
    assert state.unparsed[0].startswith("addr.json: cannot be read")


@pytest.mark.parametrize(
    ("name", "content", "mode"),
    [
        ("proxy-mode.txt", "iptables\n", "iptables"),
        ("iptables-save.txt", "*nat\n:KUBE-SERVICES - [0:0]\n", "iptables"),
        (
            "iptables-save.txt",
            "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n-N KUBE-SERVICES\n",
            "iptables",
        ),
        ("nft.txt", "table ip kube-proxy {\n}\n", "nftables"),
        ("nft.json", '{"nftables":[{"table":{"family":"ip","name":"kube-proxy"}}]}', "nftables"),
        ("nft.json", '{"nftables":[', ""),
        ("iptables-save.txt", "*nat\n:KUBE-SERVICES-OLD - [0:0]\n", ""),
    ],
)
def test_the_mode_is_told_or_deduced(tmp_path, name, content, mode):
    (tmp_path / name).write_text(content)
    state, _ = load(tmp_path)
    assert state.proxy_mode == mode
    assert ("proxy_mode" in state.known) == bool(mode)


def test_every_connection_keeps_the_time_of_the_newest_file(directory):
    state, batch = load(directory)
    newest = max(entry.stat().st_mtime_ns for entry in directory.iterdir())
    assert state.at_ns == batch.until_ns == newest
    assert {Hook.CT_NEW, Hook.IPVS_NEW} == set(batch.records["hook"].tolist())
