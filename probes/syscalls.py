"""The bpf(2) and perf_event_open(2) calls the loader needs, without a library.

Probes are opened as file descriptors only: when the process dies, however it
dies, the kernel closes them and nothing stays attached.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from functools import cache
from pathlib import Path

_NUMBERS = {"x86_64": (321, 298), "aarch64": (280, 241)}
_LOOKUP, _UPDATE, _DELETE, _RAW_TRACEPOINT_OPEN = 1, 2, 3, 17
_MAP_CREATE, _RINGBUF = 0, 27
_SET_BPF, _ENABLE = 0x40042408, 0x2400
_CLOSE_ON_EXEC = 8
_ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5: every kernel that has fd kprobes accepts it

_libc = ctypes.CDLL(None, use_errno=True)


def _numbers() -> tuple[int, int]:
    """System call numbers of bpf and perf_event_open."""
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise OSError(0, f"probes are not written for {machine}")
    return _NUMBERS[machine]


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def bpf(command: int, attribute: ctypes.Array[ctypes.c_char]) -> int:
    """bpf(2); the kernel may write into the attribute."""
    return _call(_numbers()[0], ctypes.c_long(command), attribute, ctypes.c_long(len(attribute)))


def _bpf(command: int, attribute: bytes) -> int:
    return bpf(command, ctypes.create_string_buffer(attribute, 128))


def _element(map_fd: int, key: bytes, value: object, flags: int = 0) -> tuple[bytes, object]:
    """Attribute of a map element command, and what must stay alive while it runs."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    pointers = ctypes.addressof(key_buffer), ctypes.addressof(value) if value is not None else 0  # type: ignore[arg-type]
    return struct.pack("=IxxxxQQQ", map_fd, *pointers, flags), key_buffer


def map_lookup(map_fd: int, key: bytes, size: int) -> bytes | None:
    """Value of a key; per-CPU maps hand out ``size`` bytes for all possible CPUs."""
    value = ctypes.create_string_buffer(size)
    attribute, _alive = _element(map_fd, key, value)
    try:
        _bpf(_LOOKUP, attribute)
    except FileNotFoundError:
        return None
    return value.raw


def map_update(map_fd: int, key: bytes, value: bytes) -> None:
    """Set a key."""
    buffer = ctypes.create_string_buffer(value, len(value))
    attribute, _alive = _element(map_fd, key, buffer)
    _bpf(_UPDATE, attribute)


def map_delete(map_fd: int, key: bytes) -> None:
    """Remove a key; one that is not there is fine."""
    attribute, _alive = _element(map_fd, key, None)
    try:
        _bpf(_DELETE, attribute)
    except FileNotFoundError:
        return


def has_ring_buffer() -> bool:
    """Whether the kernel can make a BPF ring buffer (5.8 and later), by making one."""
    size = os.sysconf("SC_PAGE_SIZE")
    try:
        os.close(_bpf(_MAP_CREATE, struct.pack("=IIII", _RINGBUF, 0, 0, size)))
    except OSError:
        return False
    return True


@cache
def possible_cpus(root: Path = Path("/")) -> int:
    """How many values a per-CPU map has for one key."""
    text = (root / "sys/devices/system/cpu/possible").read_text()
    return int(text.strip().split(",")[-1].split("-")[-1]) + 1


def may_open_events() -> bool:
    """Whether the kernel lets this process open perf events at all, by opening one.

    It is the least there is: this thread's own time, outside the kernel.
    """
    software, cpu_clock, exclude_kernel = 1, 0, 1 << 5
    attribute = bytearray(_ATTRIBUTE_BYTES)
    struct.pack_into("=IIQ", attribute, 0, software, len(attribute), cpu_clock)
    struct.pack_into("=Q", attribute, 40, exclude_kernel)
    try:
        os.close(_open_event(attribute, process=0, cpu=-1))
    except OSError:
        return False
    return True


def _open_event(attribute: bytearray, process: int, cpu: int) -> int:
    buffer = ctypes.create_string_buffer(bytes(attribute), len(attribute))
    numbers = (process, cpu, -1, _CLOSE_ON_EXEC)
    return _call(_numbers()[1], buffer, *(ctypes.c_long(number) for number in numbers))


def open_raw_tracepoint(name: str, program_fd: int) -> int:
    """Attach a program to a raw tracepoint; closing the descriptor detaches it."""
    text = ctypes.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", ctypes.addressof(text), program_fd))


def open_kprobe(place: str | int, program_fd: int, at_return: bool) -> int:
    """Attach a program to a kernel function, by name or by address.

    Closing the descriptor detaches it.
    """
    kind = int(Path("/sys/bus/event_source/devices/kprobe/type").read_text())
    text = ctypes.create_string_buffer(place.encode() if isinstance(place, str) else b"")
    name, address = (ctypes.addressof(text), 0) if isinstance(place, str) else (0, place)
    attribute = bytearray(_ATTRIBUTE_BYTES)
    struct.pack_into("=IIQ", attribute, 0, kind, len(attribute), int(at_return))
    struct.pack_into("=QQ", attribute, 56, name, address)
    fd = _open_event(attribute, process=-1, cpu=0)
    try:
        fcntl.ioctl(fd, _SET_BPF, program_fd)
        fcntl.ioctl(fd, _ENABLE, 0)
    except OSError:
        os.close(fd)
        raise
    return fd
