"""The socket filter: libpcap compiles the expression, a prologue fits it to each packet's link.

One socket on all interfaces sees frames of several link types, for which libpcap
makes different code. The prologue asks the kernel for the hardware type (the
SKF_AD extensions of ``linux/filter.h``) and jumps to the fitting program.
"""

from __future__ import annotations

import ctypes

from scapy.arch.common import compile_filter, free_filter
from scapy.error import Scapy_Exception
from scapy.libs.structures import bpf_insn, sock_fprog

from tracer.errors import InputError

DEFAULT_EXPRESSION = " or ".join(
    [
        "tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0",
        "(ip6[6] == 6 and ip6[53] & 7 != 0)",
        "ip6[6] == 0 or ip6[6] == 43 or ip6[6] == 44 or ip6[6] == 51 or ip6[6] == 60",
        "udp",
        "icmp",
        "icmp6",
        "(ip proto 132 and ip[6:2] & 0x1fff == 0 and "
        "(sctp[12] == 1 or sctp[12] == 2 or (sctp[12] >= 6 and sctp[12] <= 9) or sctp[12] == 14))",
        "(ip6[6] == 132 and "
        "(ip6[52] == 1 or ip6[52] == 2 or (ip6[52] >= 6 and ip6[52] <= 9) or ip6[52] == 14))",
    ]
)
"""What begins, ends and refuses flows, and all of UDP; IPv6 behind extension headers whole."""

Instruction = tuple[int, int, int, int]
"""Classic BPF: code, jump if true, jump if false, constant."""

LINK_ETHERNET, LINK_RAW = 1, 12
"""libpcap's DLT numbers on Linux."""
_LOAD, _JUMP_IF_EQUAL, _JUMP, _RETURN = 0x20, 0x15, 0x05, 0x06
_EXTENSIONS = -0x1000
_PACKET_KIND, _HARDWARE_KIND = _EXTENSIONS + 4, _EXTENSIONS + 28
_OUTGOING, _ETHER, _LOOPBACK = 4, 1, 772
_EVERYTHING: list[Instruction] = [(_RETURN, 0, 0, 0x40000)]
_NOTHING: list[Instruction] = [(_RETURN, 0, 0, 0)]


def is_compiler_available() -> bool:
    """Whether libpcap can be loaded."""
    try:
        compiled("ip", LINK_ETHERNET)
    except (ImportError, OSError):
        return False
    return True


def compiled(expression: str, link: int) -> list[Instruction]:
    """libpcap's code for one link type; Scapy_Exception says what is wrong in the expression."""
    program = compile_filter(expression, linktype=link)
    try:
        code = [program.bf_insns[row] for row in range(program.bf_len)]
        return [(each.code, each.jt, each.jf, each.k) for each in code]
    finally:
        free_filter(program)


def assembled(expression: str | None) -> list[Instruction]:
    """The whole program; without an expression everything is taken, loopback once."""
    ethernet = raw = _EVERYTHING
    if expression is not None:
        try:
            ethernet = compiled(expression, LINK_ETHERNET)
        except Scapy_Exception as error:
            raise InputError(
                f"cannot use the packet filter {expression!r}",
                str(error),
                "write it as in pcap-filter(7)",
            ) from error
        raw = _compiled_or_nothing(expression)
    return [*_prologue(len(ethernet)), *ethernet, *raw]


def _compiled_or_nothing(expression: str) -> list[Instruction]:
    """An expression about Ethernet matches nothing where there is none."""
    try:
        return compiled(expression, LINK_RAW)
    except Scapy_Exception:
        return _NOTHING


def _prologue(ethernet_length: int) -> list[Instruction]:
    """Loopback shows each packet leaving and coming back: the first is dropped."""
    return [
        (_LOAD, 0, 0, _HARDWARE_KIND),
        (_JUMP_IF_EQUAL, 0, 3, _LOOPBACK),
        (_LOAD, 0, 0, _PACKET_KIND),
        (_JUMP_IF_EQUAL, 0, 3, _OUTGOING),
        *_NOTHING,
        (_JUMP_IF_EQUAL, 1, 0, _ETHER),
        (_JUMP, 0, 0, ethernet_length),
    ]


def socket_program(code: list[Instruction]) -> sock_fprog:
    """As ``SO_ATTACH_FILTER`` takes it."""
    array = (bpf_insn * len(code))(*[bpf_insn(*each) for each in code])
    return sock_fprog(len(code), ctypes.cast(array, ctypes.POINTER(bpf_insn)))
