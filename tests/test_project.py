"""The project around the code: what a wheel and an sdist hold, and what make offers."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
CONTRACT_TARGETS = {
    *("install", "demo", "test", "playground", "test-native", "test-kernel"),
    *("bench", "lint", "image"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both distributions, built without network by the locked build backend."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def sources(*patterns: str) -> set[str]:
    """Our own files that must travel, relative to the checkout."""
    return {
        str(path.relative_to(ROOT))
        for package in ("tracer", "probes")
        for pattern in patterns
        for path in (ROOT / package).rglob(pattern)
    }


def test_the_wheel_holds_code_c_sources_styles_and_type_markers(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = sources("*.py", "*.c", "*.h", "*.tcss", "py.typed")
    assert {"probes/bpf/event.h", "probes/py.typed", "tracer/py.typed"} <= wanted
    assert wanted - names == set()


def test_the_wheel_holds_nothing_but_the_two_packages(built):
    (wheel,) = built.glob("*.whl")
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    code = {top for top in tops if not top.endswith((".dist-info", ".data"))}
    assert code == {"tracer", "probes"}


def test_the_wheel_brings_man_pages_and_completions(built):
    (wheel,) = built.glob("*.whl")
    shared = {name.partition(".data/data/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert {
        *("share/man/man1/viptrace.1", "share/man/man1/viptrace-live.1"),
        *("share/bash-completion/completions/viptrace", "share/zsh/site-functions/_viptrace"),
    } <= shared


def test_the_sdist_can_be_built_and_tested_from(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "Makefile", "requirements.lock"} <= names
    assert "tests/test_project.py" in names
    assert sources("*.py", "*.c", "*.h", "*.tcss") - names == set()


def test_make_offers_what_the_documents_name():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    named = {
        target
        for document in documents
        for target in re.findall(r"`make ([a-z-]+)", document.read_text())
    }
    assert (CONTRACT_TARGETS | named) - targets == set()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_with_hashes_and_name_no_source(name):
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[a-z0-9-]+==", text, re.M)
    assert pins
    assert text.count("\n    --hash=") >= len(pins)
    assert re.search(r"://|--index|--find-links|@ file", text) is None


def test_locks_hold_every_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-dev.lock").read_text(), re.M))
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=;\s]", line)[0]).lower() for line in declared}
    assert names - locked == set()


def test_the_cluster_role_only_reads_four_kinds():
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "rbac.yaml").read_text()))
    (role,) = [document for document in documents if document["kind"] == "ClusterRole"]
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
    kinds = {kind for rule in role["rules"] for kind in rule["resources"]}
    assert verbs == {"get", "list", "watch"}
    assert kinds == {"nodes", "services", "endpointslices", "pods"}


def test_the_debug_pod_runs_as_the_read_only_account_in_the_nodes_own_network():
    pod = yaml.safe_load((ROOT / "deploy" / "debug-pod.yaml").read_text())
    assert pod["spec"]["serviceAccountName"] == "viptrace"
    assert pod["spec"]["hostNetwork"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert pod["spec"]["containers"][0]["image"] == f"viptrace:{version}"
