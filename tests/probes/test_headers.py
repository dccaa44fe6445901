"""BCC finds a tree of a few headers while compiling, and the old way afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from probes import headers


@pytest.mark.parametrize(
    ("release", "code"),
    [
        ("6.1.0-56-amd64", 0x060100),
        ("5.10.300", 0x050AFF),
        ("6.18.44-fc-v669", 0x06122C),
        ("6.12+", 0x060C00),
    ],
)
def test_version_code(release, code):
    assert headers.version_code(release) == code


def test_the_tree_exists_only_inside(monkeypatch):
    monkeypatch.setenv(headers.VARIABLE, "/before")
    with headers.synthetic("6.1.0"):
        folder = Path(os.environ[headers.VARIABLE])
        assert "CONFIG_BPF_SYSCALL" in (folder / "include/linux/kconfig.h").read_text()
        assert (
            f"LINUX_VERSION_CODE {0x060100}\n" in (folder / "include/linux/version.h").read_text()
        )
    assert not folder.exists()
    assert os.environ[headers.VARIABLE] == "/before"


def test_the_variable_is_unset_again(monkeypatch):
    monkeypatch.delenv(headers.VARIABLE, raising=False)
    with headers.synthetic("6.1.0"):
        assert headers.VARIABLE in os.environ
    assert headers.VARIABLE not in os.environ


def test_installed_headers_are_found_where_bcc_looks(tmp_path, monkeypatch):
    monkeypatch.delenv(headers.VARIABLE, raising=False)
    assert headers.installed(tmp_path, "6.1") is None
    (tmp_path / "lib/modules/6.1/build/include").mkdir(parents=True)
    assert headers.installed(tmp_path, "6.1") == tmp_path / "lib/modules/6.1/build"
