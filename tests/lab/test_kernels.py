"""Where a kernel comes from: apt's own words, read."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.kernels import KernelImage, archive_site, cache_root, dependency, parts, private_state
from tracer.errors import UnableError


def test_the_metapackage_names_the_image():
    said = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n"
    assert dependency(said) == "linux-image-6.1.0-56-amd64"


def test_a_split_image_brings_its_parts():
    said = (
        "linux-image-7.2.13+deb14-amd64\n  PreDepends: linux-base\n"
        "  Depends: linux-binary-7.2.13+deb14-amd64\n  Depends: linux-modules-7.2.13+deb14-amd64\n"
    )
    names = parts(said, "linux-image-7.2.13+deb14-amd64")
    assert [name.split("-")[1] for name in names] == ["image", "binary", "modules"]
    assert parts("  Depends: kmod\n", "linux-image-6.1.0-56-amd64") == [
        "linux-image-6.1.0-56-amd64"
    ]


def test_no_package_list_is_said_with_a_remedy():
    with pytest.raises(UnableError, match="apt-get update"):
        dependency("")


def test_the_mirror_is_the_machines_own():
    lines = "http://mirror.example/security|trixie-security\nhttp://mirror.example/debian|trixie\n"
    assert archive_site(lines, "trixie") == "http://mirror.example/debian"
    with pytest.raises(UnableError, match="bookworm"):
        archive_site(lines, "bookworm")


def test_another_suite_never_touches_the_systems_lists():
    options = private_state(Path("/cache/sid"))
    assert "Dir::State::lists=/cache/sid/lists" in options
    assert "Dir::Etc::sourceparts=/dev/null" in options


def test_the_cache_respects_xdg(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_root() == Path("/somewhere/viptrace-lab")


def test_image_path():
    image = KernelImage("6.1.0-1-amd64", Path("/k"))
    assert image.vmlinuz == Path("/k/boot/vmlinuz-6.1.0-1-amd64")
