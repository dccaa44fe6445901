"""Giving up rights: what is needed to attach probes is not needed to read what they tell.

Capabilities belong to threads: threads that are started later inherit what is left, those that
run already keep theirs. A change of user reaches all threads, by way of the C library.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import struct
from collections.abc import Collection, Iterable

from tracer.errors import InputError, UnableError

NUMBERS = {
    "DAC_READ_SEARCH": 2,
    "SETPCAP": 8,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_PTRACE": 19,
    "SYSLOG": 34,
    "BPF": 39,
}
"""Bits of ``linux/capability.h``, those that are spoken of here."""
WHILE_TRACING = ("DAC_READ_SEARCH", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYSLOG")
"""conntrack, rules and IPVS are read again and again; pods' namespaces and sysctls, too."""
WHILE_ASKING = ("DAC_READ_SEARCH",)
"""Talking to an API server: the files of a configuration may be anybody's."""
MAPS_BY_DESCRIPTOR_SINCE = (5, 19)
"""From here on a map that is open may be read and written without CAP_BPF."""

_VERSION_3 = 0x20080522
_KEEP_CAPABILITIES, _DROP_BOUND, _NO_NEW_PRIVILEGES = 8, 24, 38
_AMBIENT, _AMBIENT_RAISE, _AMBIENT_CLEAR = 47, 2, 4
_LAST = 63
_libc = ctypes.CDLL(None, use_errno=True)


def held() -> int:
    """Permitted capabilities of this thread, one bit each."""
    data = ctypes.create_string_buffer(24)
    _checked(_libc.capget(_header(), data))
    words = struct.unpack("=6I", data.raw)
    return words[1] | words[4] << 32


def mask(names: Iterable[str]) -> int:
    """One bit for each of these capabilities."""
    return sum(1 << NUMBERS[name] for name in names)


def needed(release: str = "") -> tuple[str, ...]:
    """What tracing goes on with, on a kernel of this release."""
    numbers = (release or os.uname().release).split(".")[:2]
    digits = [int("".join(filter(str.isdigit, part)) or 0) for part in numbers]
    by_descriptor = tuple(digits) >= MAPS_BY_DESCRIPTOR_SINCE
    return WHILE_TRACING if by_descriptor else (*WHILE_TRACING, "BPF")


def give_up(keep: Collection[str], user: str = "") -> None:
    """Keep only these capabilities, for this thread, its children and threads to come.

    With ``user`` (a name, or UID, or UID:GID) the whole process becomes that user.
    """
    wanted = held() & mask(keep)
    identity = identity_of(user) if user else None
    _limit_children(wanted)
    if identity is not None:
        _become(*identity)
    _set(wanted)
    _lend_to_tools(wanted if identity is not None else 0)


def limit_thread(keep: Collection[str]) -> None:
    """Keep only these capabilities, for this thread and those it starts."""
    _set(held() & mask(keep))


def identity_of(user: str) -> tuple[int, int]:
    """User and group number; InputError where there is no such user."""
    uid, _, gid = user.partition(":")
    if uid.isascii() and uid.isdigit() and (not gid or (gid.isascii() and gid.isdigit())):
        return int(uid), int(gid or uid)
    try:
        entry = pwd.getpwnam(uid)
        return entry.pw_uid, grp.getgrnam(gid).gr_gid if gid else entry.pw_gid
    except KeyError as error:
        raise InputError(
            f"There is no user {user!r} here.", "", "Name one, or numbers: --user 65534:65534"
        ) from error


def _limit_children(wanted: int) -> None:
    """No program that is started gains anything, whoever owns it."""
    for number in range(_LAST + 1):
        if not wanted >> number & 1:
            # Without SETPCAP it is refused, and what follows suffices.
            _libc.prctl(_DROP_BOUND, number, 0, 0, 0)
    _checked(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def _become(uid: int, gid: int) -> None:
    _checked(_libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0))
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except PermissionError as error:
        raise UnableError(
            f"Cannot become user {uid}.",
            "That needs the capabilities SETUID and SETGID.",
            "Run it as root, or leave --user out.",
        ) from error


def _set(wanted: int) -> None:
    low, high = wanted & 0xFFFFFFFF, wanted >> 32
    data = struct.pack("=6I", low, low, low, high, high, high)
    _checked(_libc.capset(_header(), data))


def _lend_to_tools(wanted: int) -> None:
    """iptables-save and its like run as the same user, and need the same rights."""
    _libc.prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    for number in range(_LAST + 1):
        if wanted >> number & 1:
            _checked(_libc.prctl(_AMBIENT, _AMBIENT_RAISE, number, 0, 0))


def _header() -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0), 8)


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise UnableError(
            "Cannot give up privileges.", os.strerror(number), "Add --keep-privileges."
        )
