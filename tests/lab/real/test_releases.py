"""The module that builds Kubernetes' programs, and why it may not be built."""

from __future__ import annotations

import pytest

from lab.real import releases
from lab.real.releases import cached, ensure_program, go_module, minor, staging_modules, why_not
from tracer.errors import UnableError

ITS_OWN = """
replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/client-go => ./staging/src/k8s.io/client-go
	example.com/other => ../other
)
"""
WANTED = (("kube-proxy", "1.34.2"),)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_each_staging_module_is_replaced_by_its_release():
    modules = staging_modules(ITS_OWN)
    assert modules == ["k8s.io/api", "k8s.io/client-go"]
    text = go_module("1.34.2", modules)
    assert "require k8s.io/kubernetes v1.34.2\n" in text
    assert "\tk8s.io/client-go => k8s.io/client-go v0.34.2\n" in text
    assert minor("1.34.2") == "1.34"


def test_what_is_cached_needs_nothing(cache, monkeypatch):
    program = cached("kube-proxy", "1.34.2")
    assert program.is_relative_to(cache)
    program.parent.mkdir(parents=True)
    program.write_text("")
    monkeypatch.setenv("PATH", "")
    assert why_not(WANTED) == ""
    assert ensure_program("kube-proxy", "1.34.2", lambda text: None) == program


def test_kubectl_is_the_machines_own_or_the_built_one(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert releases.kubectl() == ""
    built = cached("kubectl", releases.CURRENT)
    built.parent.mkdir(parents=True)
    built.write_text("")
    assert releases.kubectl() == str(built)
    own = cache / "kubectl"
    own.write_text("")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(cache))
    assert releases.kubectl() == str(own)


def test_without_go_nothing_is_built(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert why_not(WANTED) == "no Go toolchain"
    with pytest.raises(UnableError, match=r"kube-proxy 1\.34\.2 cannot be built") as told:
        ensure_program("kube-proxy", "1.34.2", lambda text: None)
    assert told.value.why == "no Go toolchain"


def test_an_old_toolchain_is_said(cache, monkeypatch):
    go = cache / "go"
    go.write_text("#!/bin/sh\necho go1.19.8\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    assert why_not(WANTED).startswith("go1.19.8 is older than go1.21")


def test_a_module_proxy_out_of_reach_is_said(cache, monkeypatch):
    go = cache / "go"
    refused = "echo dial tcp: connection refused >&2; exit 1"
    go.write_text(f"#!/bin/sh\n[ $1 = env ] && {{ echo go1.26.8; exit; }}\n{refused}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    why = (
        "the Go module proxy does not give k8s.io/kubernetes@v1.34.2: dial tcp: connection refused"
    )
    assert why_not(WANTED) == why


def test_a_build_that_fails_says_what_the_compiler_said(cache, monkeypatch):
    go = cache / "go"
    go.write_text("#!/bin/sh\necho undefined: app >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cache}:/usr/bin:/bin")
    with pytest.raises(UnableError) as told:
        releases._build(cache, "kube-proxy", "kube-proxy 1.34.2", lambda text: None)
    assert told.value.why == "undefined: app\n"
