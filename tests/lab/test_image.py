"""The Dockerfile as the lab reads it: the same steps, nothing passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.chroot import mounts
from lab.dockerfile import Stage, allowed, expanded, read
from lab.image import (
    Root,
    _begin,
    _copy,
    _covers,
    foreign_ready,
    image_folder,
    size_bytes,
    wanted,
)
from lab.image_suite import CAPABILITIES
from tests.test_deploy import container
from tracer.errors import InputError, UnableError

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = """# a comment
ARG BASE=debian:12-slim
FROM ${BASE} AS build
RUN one \\
    # inside
    && two
FROM ${BASE} AS aside
FROM ${BASE} AS plain
FROM plain
COPY --from=build /opt /opt
ENV PATH=/opt/bin:$PATH LANG=C
ENTRYPOINT ["tool", "run"]
"""


def made(tmp_path: Path, text: str = SMALL) -> Path:
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    return path


def test_stages_steps_and_continued_lines(tmp_path):
    build, aside, _, last = read(made(tmp_path))
    assert (build.name, build.base, aside.name) == ("build", "debian:12-slim", "aside")
    assert (last.name, last.base) == ("", "plain")
    assert [(step.word, " ".join(step.text.split())) for step in build.steps] == [
        ("RUN", "one && two")
    ]
    assert last.steps[-1].items == ["tool", "run"]


def test_only_stages_that_are_begun_with_or_copied_from_are_built(tmp_path):
    stages = read(made(tmp_path))
    assert [stage.name for stage in wanted(stages)] == ["build", "plain", ""]
    assert [stage.name for stage in wanted(stages, "aside")] == ["aside"]
    with pytest.raises(InputError, match="no stage x"):
        wanted(stages, "x")


@pytest.mark.parametrize("line", ["ADD http://x /x", "VOLUME /x", "ONBUILD RUN x"])
def test_what_is_not_understood_is_an_error(tmp_path, line):
    with pytest.raises(InputError, match=r"Dockerfile:2: .* is not understood"):
        read(made(tmp_path, f"FROM debian:12-slim\n{line}\n"))


def test_variables_that_are_not_known_stay():
    assert expanded("$A ${B} $C", {"A": "1", "B": "2"}) == "1 2 $C"


def test_the_real_one_is_understood_and_copies_only_what_may_pass():
    passing = allowed((ROOT / ".dockerignore").read_text())
    stages = read(ROOT / "Dockerfile")
    assert [stage.name for stage in stages] == ["build", "bcc", "replay", "whole", "node"]
    assert [stage.name for stage in wanted(stages, "replay")] == ["build", "replay"]
    for step in (step for stage in stages for step in stage.steps if step.word == "COPY"):
        if "--from=" not in step.text:
            assert all(any(_covers(way, item) for way in passing) for item in step.items[:-1])
    with pytest.raises(InputError, match="must begin"):
        allowed("!all")


def test_files_are_copied_as_docker_would(tmp_path):
    context, root = tmp_path / "context", Root(tmp_path / "root", workdir="/src")
    (context / "code/__pycache__").mkdir(parents=True)
    (context / "code/a.py").write_text("a")
    (context / "README").write_text("r")
    passing = frozenset({"code", "README"})
    _copy(["code", "./code"], root, {}, context, passing)
    _copy(["README", "./"], root, {}, context, passing)
    _copy(["code", "/"], root, {}, context, passing)
    found = {str(path.relative_to(root.path)) for path in root.path.rglob("*") if path.is_file()}
    assert found == {"src/code/a.py", "src/README", "a.py"}, "of a folder, what is in it"
    assert size_bytes(root.path) == 3
    with pytest.raises(InputError, match="keeps it out"):
        _copy(["secret", "./"], root, {}, context, passing)


def test_what_another_stage_made_keeps_modes_and_hard_links(tmp_path):
    before, root = Root(tmp_path / "before"), Root(tmp_path / "root")
    (before.path / "bin").mkdir(parents=True)
    (before.path / "bin/one").write_text("1")
    (before.path / "bin/one").chmod(0o2750)
    (before.path / "bin/two").hardlink_to(before.path / "bin/one")
    _begin(Stage("scratch"), root, {}, print, "")
    _copy(["--from=whole", "/", "/"], root, {"whole": before}, tmp_path, frozenset())
    _copy(["--from=whole", "/bin", "/opt/bin"], root, {"whole": before}, tmp_path, frozenset())
    assert size_bytes(root.path) == 2, "one and two are one, in each place"
    assert (root.path / "opt/bin/two").stat().st_mode & 0o7777 == 0o2750


def test_steps_cannot_write_to_what_they_are_shown(monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/etc/hostname")
    lines = mounts(Path("/r"))
    shown = [line.split()[-1] for line in lines if "--bind /etc" in line]
    assert shown
    assert all(f"mount -o remount,bind,ro {place}" in lines for place in shown)


def test_the_suite_grants_what_the_daemonset_asks_for():
    asked = container()["securityContext"]["capabilities"]["add"]
    assert sorted(name.lower() for name in asked) == sorted(CAPABILITIES)


def test_another_machine_s_programs_must_run_in_a_chroot(tmp_path):
    entry = tmp_path / "qemu-aarch64"
    with pytest.raises(UnableError, match="arm64"):
        foreign_ready("arm64", tmp_path)
    entry.write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: P\noffset 0\n")
    with pytest.raises(UnableError, match="arm64"):
        foreign_ready("arm64", tmp_path)
    entry.write_text("enabled\ninterpreter /usr/bin/qemu-aarch64\nflags: POF\noffset 0\n")
    foreign_ready("arm64", tmp_path)


def test_images_for_other_machines_are_kept_beside_this_one_s():
    assert image_folder("replay", "arm64").name == "replay-arm64"
    assert image_folder().name == "node"
