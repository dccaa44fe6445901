"""On this very kernel, without kprobes: the drop probe, through the ring and the perf buffer."""

from __future__ import annotations

import os
import socket
import struct
import time

import numpy as np
import pytest

from probes import headers, loader, syscalls
from probes.attachments import attach_by_descriptor
from probes.hooks import BY_ID
from probes.kernel import Kernel
from probes.loader import BccModule
from probes.program import Planned, prepare
from tracer import address
from tracer.events import Hook
from tracer.names import Names
from tracer.sources.kernel import SLOT, Translator

pytestmark = pytest.mark.root

RING_BYTES = 1 << 20


class Quiet:
    """Knows this kernel's drop reasons, and quietens nothing."""

    drop_reasons = Kernel().drop_reasons

    def label(self, _):
        return ""

    def quieten(self, *_):
        return None


@pytest.fixture(params=["ring", "perf"])
def module(request, monkeypatch):
    has_ring = request.param == "ring"
    monkeypatch.setattr(syscalls, "has_ring_buffer", lambda: has_ring)
    kernel = Kernel()
    text = prepare(kernel, RING_BYTES // os.sysconf("SC_PAGE_SIZE"), has_ring, deep=False).text
    with headers.synthetic(kernel.release):
        made = BccModule(text)
    made.open_events(RING_BYTES)
    yield made
    made.close()


def test_a_packet_to_a_closed_port_is_told_with_its_reason(module):
    hook = BY_ID["drop"]
    link = attach_by_descriptor(Planned(hook, "kfree_skb"), module.load(hook.function, hook.kind))
    module.update("settings", bytes(4), struct.pack("=IIII", 1, 1, 1, 0))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            client.sendto(b"to nobody", ("127.0.0.1", 9))
            port = client.getsockname()[1]
        rows, texts = wait_for(module, port)
    finally:
        os.close(link)
    row = rows[0]
    assert texts.text(int(row["reason"])) == "NO_SOCKET"
    assert address.text(row["dst"].tobytes()) == "127.0.0.1"
    assert (row["dst_port"], row["protocol"], row["family"]) == (9, 17, 2)
    assert row["netns"] == os.stat("/proc/self/ns/net").st_ino
    assert row["length"] == 20 + 8 + 9


def wait_for(module, port):
    """Drop records from this source port, and the texts they speak of."""
    texts = Names()
    translator = Translator(texts, Kernel(), Quiet())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        block = module.drain()
        if not block:
            continue
        assert len(block) % SLOT.itemsize == 0
        records = translator.records(block)
        rows = records[(records["hook"] == Hook.DROP) & (records["src_port"] == port)]
        if len(rows):
            return rows, texts
    raise AssertionError("no drop was told")


def test_counters_tell_what_was_sent(module):
    assert module.lookup("counters", struct.pack("=I", 0), 8 * syscalls.possible_cpus())
    assert np.dtype(SLOT).itemsize == loader.SLOT_BYTES
