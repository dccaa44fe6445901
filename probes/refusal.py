"""What makes probing impossible from the start, told before anything is compiled."""

from __future__ import annotations

from probes.errors import ProbeError
from probes.kernel import Kernel


def refuse_where_impossible(kernel: Kernel) -> None:
    """ProbeError where no probe can work here: privileges, lockdown, kprobes."""
    if right := kernel.lacking_right():
        raise ProbeError(
            "no privilege to probe this kernel",
            f"it takes {right}",
            "run as root, or in a debug pod with --profile=sysadmin",
        )
    if kernel.lockdown() == "confidentiality":
        raise ProbeError(
            "this kernel forbids probing",
            "lockdown=confidentiality keeps BPF from reading kernel memory",
            "boot with lockdown=integrity or none, or use --backend conntrack",
        )
    if not kernel.has_kprobes():
        raise ProbeError(
            "this kernel has no kprobes",
            "it was built without CONFIG_KPROBE_EVENTS",
            "use --backend conntrack, or a distribution's kernel",
        )
