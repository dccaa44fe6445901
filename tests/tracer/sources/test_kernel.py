"""Blocks of the probes become batches: wall time, reasons and places by name."""

from __future__ import annotations

import time

import numpy as np
import pytest

from probes.attachments import HookState, Report
from probes.errors import ProbeError
from probes.hooks import is_harmless
from probes.kernel import Kernel
from tests.probes.roots import kernel_types, make_root
from tracer.errors import UnableError
from tracer.events import EVENT, Flag, Hook, Origin
from tracer.names import Names
from tracer.settings import LiveSettings
from tracer.sources.kernel import SLOT, KernelSource, Translator

ICMP_SEND = 0xFFFFFFFF81000010
"""Inside the first symbol of the made-up kernel."""
CLEANUP = 0xFFFFFFFFC1000010


class FakeLoader:
    """Hands out prepared blocks."""

    def __init__(self, *blocks, lost=(), error=None, hooks=()):
        self.blocks, self.losses, self.error, self.hooks = list(blocks), list(lost), error, hooks
        self.netns, self.quiet, self.closed = None, [], False
        self.drop_reasons = {7: "NETFILTER_DROP", 3: "NO_SOCKET"}

    def open(self):
        if self.error:
            raise self.error

    def drain(self):
        return self.blocks.pop(0) if self.blocks else b""

    def lost(self):
        return self.losses.pop(0) if self.losses else 0

    def label(self, address):
        return {7: "KUBE-SERVICES"}.get(address, "")

    def quieten(self, location, reason):
        self.quiet.append((location, reason))

    def set_netns(self, inodes):
        self.netns = inodes

    def report(self):
        return Report("", tuple(self.hooks), {}, {})

    def retry_missing(self):
        return []

    def close(self):
        self.closed = True


def block(*rows):
    slots = np.zeros(len(rows), dtype=SLOT)
    for slot, fields in zip(slots, rows, strict=True):
        for name, value in fields.items():
            slot["event"][name] = value
    return slots.tobytes()


@pytest.fixture
def kernel(tmp_path):
    root = make_root(tmp_path, "6.1", kernel_types())
    with (root / "proc/kallsyms").open("a") as symbols:
        symbols.write("ffffffffc1000000 t sk_stream_kill_queues\n")
    return Kernel(root)


def source(loader, **choices):
    return KernelSource(LiveSettings(**choices), Names(), loader)


def test_times_become_wall_clock():
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    batch = source(FakeLoader(block({"hook": Hook.CT_NEW, "time_ns": now}))).read(1)
    assert abs(int(batch.records["time_ns"][0]) - time.time_ns()) < 10_000_000_000
    assert batch.origin is Origin.KERNEL
    assert batch.records.dtype == EVENT
    assert batch.until_ns > 0


def test_an_idle_kernel_gives_an_empty_batch_with_time_and_loss():
    batch = source(FakeLoader(lost=[4])).read(0)
    assert len(batch.records) == 0
    assert batch.lost.kernel == 4
    assert abs(batch.until_ns - time.time_ns()) < 10_000_000_000


def test_drops_name_reason_and_location(kernel):
    texts = Names()
    translator = Translator(texts, kernel, FakeLoader())
    drop = {"hook": Hook.DROP, "reason": 7, "detail": ICMP_SEND}
    records = translator.records(block(drop, {"hook": Hook.NAT_DECIDED, "reason": 1}, drop))
    assert [texts.text(int(n)) for n in records["reason"][[0, 2]]] == ["NETFILTER_DROP"] * 2
    assert texts.text(int(records["detail"][0])) == "__icmp_send"
    assert records["reason"][1] == 1
    new = translator.new_texts()
    assert {"NETFILTER_DROP", "__icmp_send"} <= set(new.values())
    assert translator.new_texts() == {}


def test_a_reason_without_a_name_has_no_text(kernel):
    texts = Names()
    records = Translator(texts, kernel, FakeLoader()).records(
        block({"hook": Hook.DROP, "reason": 60000, "detail": ICMP_SEND})
    )
    assert texts.text(int(records["reason"][0])) == ""


def test_what_a_closed_socket_leaves_behind_is_no_drop(kernel):
    loader = FakeLoader()
    records = Translator(Names(), kernel, loader).records(
        block({"hook": Hook.DROP, "detail": CLEANUP}, {"hook": Hook.CT_NEW, "detail": CLEANUP})
    )
    assert records["hook"].tolist() == [Hook.CT_NEW]
    assert loader.quiet == [(CLEANUP, 0)]


@pytest.mark.parametrize(
    ("function", "reason", "harmless"),
    [
        ("skb_queue_purge", "NOT_SPECIFIED", True),
        ("tcp_data_queue", "TCP_OLD_DATA", True),
        ("tcp_v4_rcv", "NOT_SPECIFIED", True),
        ("tcp_v4_rcv", "NO_SOCKET", False),
        ("nf_hook_slow", "NETFILTER_DROP", False),
        ("ip_vs_nat_xmit", "NOT_SPECIFIED", False),
    ],
)
def test_which_drops_are_harmless(function, reason, harmless):
    assert is_harmless(function, reason) is harmless


def test_tables_are_named(kernel):
    texts = Names()
    records = Translator(texts, kernel, FakeLoader()).records(
        block({"hook": Hook.TABLE, "detail": 7}, {"hook": Hook.TABLE, "detail": 8})
    )
    assert [texts.text(int(n)) for n in records["detail"]] == ["KUBE-SERVICES", ""]


def test_flags_pass_untouched(kernel):
    flags = Flag.AFTER | Flag.IPVS
    records = Translator(Names(), kernel, FakeLoader()).records(
        block({"hook": Hook.IPVS_NEW, "flags": flags, "src_port": 80})
    )
    assert records["flags"][0] == flags
    assert records["src_port"][0] == 80


def test_this_namespace_only_unless_all_are_asked_for():
    own, every = FakeLoader(), FakeLoader()
    source(own)
    source(every, all_namespaces=True)
    assert len(own.netns) == 1
    assert every.netns is None


def test_what_this_kernel_lacks_is_an_unable_error():
    with pytest.raises(UnableError) as caught:
        source(FakeLoader(error=ProbeError("no kprobes", "why", "do this"))).open()
    assert str(caught.value) == "no kprobes\nwhy\ndo this"


def test_missing_hooks_are_problems_by_reason_and_unused_modules_are_none():
    hooks = [
        HookState("ipvs-new", "", "not in IPVS mode"),
        HookState("ipvs-end", "", "not in IPVS mode"),
        HookState("engine:x", "", "this kernel has no function x"),
        HookState("reject-sent", "", "module nf_reject_ipv4 is not loaded"),
        HookState("drop", "kfree_skb", ""),
    ]
    problems = source(FakeLoader(hooks=hooks)).problems()
    assert [str(problem) for problem in problems] == ["ipvs-new, ipvs-end: not in IPVS mode"]


def test_a_module_loaded_since_is_looked_for(monkeypatch):
    loader = FakeLoader()
    asked = []
    monkeypatch.setattr(FakeLoader, "retry_missing", lambda _: asked.append(1) or ["ipvs-new"])
    made = source(loader)
    monkeypatch.setattr("tracer.sources.kernel._RETRY_S", 0.0)
    made.read(0)
    assert asked


def test_closing_closes_the_loader():
    loader = FakeLoader()
    source(loader).close()
    assert loader.closed
