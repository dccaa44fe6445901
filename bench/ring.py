"""How fast the ring is drained: from the kernel's buffer to NumPy records, on one core.

Runs on any kernel with BPF (no kprobes needed): a socket filter fills the ring by
``BPF_PROG_TEST_RUN`` with the probes' own ``submit``. Run as root:
``python -m bench.ring [ROUNDS]``.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import struct
import sys
import time
from collections.abc import Mapping

from probes import headers, syscalls
from probes.kernel import Kernel
from probes.loader import SLOT_BYTES, BccModule
from probes.program import prepare
from probes.ring import Ring
from tracer.names import Names
from tracer.sources.kernel import Translator

RING_BYTES = 8 << 20
_FILTER = """
int fill(struct __sk_buff *packet)
{
	struct viptrace_event e = {};

	e.hook = HOOK_CT_NEW;
	e.family = 2;
	e.cookie = (u64)packet;
	submit(packet, &e);
	return 0;
}
"""
_TEST_RUN = 10


class NoLabels:
    """In place of a loader: CT_NEW records name nothing."""

    drop_reasons: Mapping[int, str] = {}

    def label(self, _address: int) -> str:
        """No table has a name here."""
        return ""

    def quieten(self, _location: int, _reason: int) -> None:
        """Nothing is dropped here."""


class Filler(BccModule):
    """The probes' common part with one program that submits a record for each run."""

    def __init__(self) -> None:
        kernel = Kernel()
        text = prepare(kernel, RING_BYTES // os.sysconf("SC_PAGE_SIZE"), True, deep=False).text
        with headers.synthetic(kernel.release):
            super().__init__(text + _FILTER)
        self._program = self._bpf.load_func(b"fill", 1).fd  # BPF_PROG_TYPE_SOCKET_FILTER
        self.ring = Ring(self._map_fd("events"), RING_BYTES, SLOT_BYTES - 8)

    def fill(self, times: int) -> int:
        """Run the filter so often; nanoseconds for one run as the kernel measured it."""
        packet = ctypes.create_string_buffer(64)
        attribute = struct.pack(
            *("=IIIIQQII", self._program, 0, 64, 0, ctypes.addressof(packet), 0, times, 0)
        )
        buffer = ctypes.create_string_buffer(attribute, 128)
        syscalls.bpf(_TEST_RUN, buffer)
        return int(struct.unpack_from("=I", buffer.raw, 36)[0])


def main() -> None:
    """Fill, drain, convert; the median of many rounds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    filler, per_round = Filler(), RING_BYTES // SLOT_BYTES - 100
    translator = Translator(Names(), Kernel(), NoLabels())
    kernel_ns, drain_s, whole_s = [], [], []
    for _ in range(rounds):
        kernel_ns.append(filler.fill(per_round))
        begun = time.perf_counter()
        block = filler.ring.drain()
        drained = time.perf_counter()
        records = translator.records(block)
        whole_s.append(time.perf_counter() - begun)
        drain_s.append(drained - begun)
        assert len(records) == per_round, len(records)
    print(f"records per round             {per_round}")
    print(f"kernel side, ns per record    {statistics.median(kernel_ns):.0f}")
    print(f"ring to bytes, M records/s    {per_round / statistics.median(drain_s) / 1e6:.1f}")
    print(f"ring to NumPy, M records/s    {per_round / statistics.median(whole_s) / 1e6:.1f}")


if __name__ == "__main__":
    main()
