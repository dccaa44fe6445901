from __future__ import annotations

from tests.tracer.shown import HOSTILE, blackhole, connect
from tests.tracer.tui.desk import Desk, busy, press, settle
from tracer.detail import Detail, Step, Way
from tracer.tui.told import export, told
from tracer.tui.widgets.detail_pane import describe


def test_a_finding_is_told_with_evidence_and_remedy():
    text = told(blackhole())
    assert "1. systemctl stop kubelet" in text
    assert "kernel: kube-ipvs0 holds 192.168.1.2/32" in text


def test_files_are_new_and_named_after_what_they_hold(tmp_path):
    first, second = export(blackhole(), tmp_path), export(blackhole(), tmp_path)
    assert first != second
    assert first.name.startswith("viptrace-ipvs-external-ip-is-node-ip-2")
    assert first.read_text() == second.read_text() == told(blackhole())


def test_no_name_leads_out_of_the_folder(tmp_path):
    for cause in (*HOSTILE.values(), "../../etc/passwd", "a/b"):
        assert export(blackhole(cause=cause), tmp_path).parent == tmp_path


def test_the_path_is_drawn_with_addresses_where_they_change():
    path = (
        Step(0, "client", "", Way.STATION),
        Step(0, "eth0: SYN", "a → b", Way.OUT),
        Step(1_500_000, "NAT", "a → b", Way.DECIDED),
        Step(2_000_000, "dropped", "a → c", Way.FAILED),
    )
    drawn = describe(Detail(1, "t", (), path=path)).plain
    assert drawn.splitlines()[3:9] == [
        "● client",
        "▼ +0.000 ms  eth0: SYN",
        "│   a → b",
        "◆ +1.500 ms  NAT",
        "✗ +2.000 ms  dropped",
        "│   a → c",
    ]


async def test_one_key_copies_and_another_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = Desk(busy(), blackhole())
    async with desk.app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "c", "w")
        await settle(pilot)
        assert "1. systemctl stop kubelet" in desk.app.clipboard
        (written,) = tmp_path.iterdir()
        assert written.read_text() == desk.app.clipboard


async def test_a_folder_that_takes_no_file_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = Desk(busy(), blackhole())
    monkeypatch.setattr("tracer.tui.told.export", refuse)
    async with desk.app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "w")
        await settle(pilot)
        assert [note.message for note in desk.app._notifications] == [
            "Not written: [Errno 30] Read-only file system"
        ]


def refuse(*_):
    raise OSError(30, "Read-only file system")


async def test_without_a_selection_nothing_is_copied():
    desk = Desk(busy(0))
    connect(desk.pipeline, 1.0)
    async with desk.app.run_test() as pilot:
        await press(pilot, "c", "w")
        await settle(pilot)
        assert desk.app.clipboard == ""


def test_what_no_flow_has_shown_was_not_seen_so_often():
    assert "seen 3×" in told(blackhole(count=3))
    assert "seen" not in told(blackhole(count=0))
