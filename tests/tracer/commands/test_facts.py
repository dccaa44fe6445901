from __future__ import annotations

from pathlib import Path

import pytest

from tests.api_server import ApiServer
from tests.tracer.cluster.api.made import kubeconfig, small_cluster
from tracer.commands.facts import (
    NO,
    PARTLY,
    YES,
    accounting,
    bcc,
    cluster,
    conntrack,
    facts,
    headers,
    ipvs,
    kernel,
    kprobes,
    privileges,
    proxy_mode,
    types,
)


def put(root: Path, **files: str) -> Path:
    """A file system of a few files; ``__`` stands for ``/``."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def status(capabilities: int) -> str:
    return f"Name:\tx\nCapEff:\t{capabilities:016x}\n"


def test_kernels_by_age():
    assert [
        kernel(release).works for release in ("6.1.0-25-amd64", "5.8.0", "4.19.0", "3.10.0", "?")
    ] == [
        YES,
        YES,
        PARTLY,
        NO,
        NO,
    ]


def test_types_or_else_headers(tmp_path: Path):
    assert (types(tmp_path).works, headers(tmp_path, "6.1").works) == (NO, NO)
    put(tmp_path, lib__modules__6__build__include__x="")
    assert headers(tmp_path, "6").works == YES
    put(tmp_path, sys__kernel__btf__vmlinux="x" * 2048)
    assert types(tmp_path).found == "/sys/kernel/btf/vmlinux, 2 KiB"
    assert headers(tmp_path, "6.1").works == YES


def test_bcc_as_the_distribution_installs_it(tmp_path: Path):
    put(tmp_path, **{"usr__lib__python3__dist-packages__bcc____init__.py": ""})
    (tmp_path / "usr/lib/python3/dist-packages/bcc").mkdir(parents=True, exist_ok=True)
    assert bcc(tmp_path).works == YES


def test_kprobes_and_what_forbids_them(tmp_path: Path):
    assert kprobes(tmp_path).works == NO
    put(tmp_path, sys__bus__event_source__devices__kprobe__type="8")
    assert kprobes(tmp_path).works == YES
    put(tmp_path, sys__kernel__security__lockdown="none integrity [confidentiality]")
    assert "lockdown" in kprobes(tmp_path).found


def test_tables_of_connections(tmp_path: Path):
    assert (conntrack(tmp_path).works, ipvs(tmp_path).works) == (NO, PARTLY)
    put(tmp_path, proc__net__ip_vs="", proc__sys__net__netfilter__nf_conntrack_max="100")
    put(tmp_path, proc__sys__net__netfilter__nf_conntrack_count="5")
    assert (conntrack(tmp_path).works, ipvs(tmp_path).works) == (YES, YES)
    put(tmp_path, proc__sys__net__netfilter__nf_conntrack_count="95")
    assert conntrack(tmp_path).works == PARTLY
    assert conntrack(tmp_path).remedy == "sysctl -w net.netfilter.nf_conntrack_max=200"


def test_accounting_is_asked_for_by_name(tmp_path: Path):
    put(tmp_path, proc__sys__net__netfilter__nf_conntrack_acct="1")
    assert accounting(tmp_path).remedy == "sysctl -w net.netfilter.nf_conntrack_timestamp=1"
    put(tmp_path, proc__sys__net__netfilter__nf_conntrack_timestamp="1")
    assert accounting(tmp_path).works == YES


def test_privileges_and_what_is_lost_without_each(tmp_path: Path):
    assert privileges(put(tmp_path, proc__self__status=status((1 << 41) - 1))).works == YES
    without_raw = privileges(put(tmp_path, proc__self__status=status(1 << 12 | 1 << 21)))
    assert (without_raw.works, without_raw.degrades) == (PARTLY, "no packets are sniffed")
    nothing = privileges(put(tmp_path, proc__self__status=status(0)))
    assert nothing.works == NO
    assert "replay works" in nothing.degrades
    assert "sudo" in nothing.remedy


def test_a_kube_proxy_that_does_not_answer():
    fact = proxy_mode("http://127.0.0.1:1/proxyMode")
    assert fact.works == PARTLY
    assert "no answer" in fact.found


def test_an_empty_machine_has_every_fact_and_a_remedy_for_each_lack(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    found = facts(tmp_path)
    assert len({fact.name for fact in found}) == len(found) == 13
    assert all(fact.degrades for fact in found if fact.works == NO)
    assert all(fact.remedy for fact in found if fact.works == NO)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The fact about names where KUBECONFIG leads to a server with this state."""
    servers = []

    def ask(state):
        servers.append(ApiServer(state))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, servers[-1].port)))
        monkeypatch.setenv("HOME", str(tmp_path))
        return cluster(tmp_path)

    yield ask
    for server in servers:
        server.close()


def test_names_come_from_the_api_server(asked):
    fact = asked(small_cluster())
    assert fact.works == YES
    assert fact.found.startswith("list and watch nodes, services, endpointslices, pods at http://")


def test_each_missing_right_is_told(asked):
    state = small_cluster()
    state.forbidden.add("nodes")
    state.unwatchable.add("pods")
    fact = asked(state)
    assert fact.works == PARTLY
    assert fact.found.startswith("list and watch services, endpointslices at")
    assert "nodes: 403" in fact.degrades
    assert "pods: 403" in fact.degrades
    assert "rbac.yaml" in fact.remedy


def test_an_api_server_that_gives_nothing(asked):
    state = small_cluster()
    state.token = "another"
    fact = asked(state)
    assert fact.works == PARTLY
    assert "401 Unauthorized" in fact.found
    assert "--cluster" in fact.remedy
