"""The first block: which version wrote the file, how its records are laid out, where and when."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from struct import Struct
from typing import Any

import numpy as np

from tracer.capture_file.blocks import LOCAL, SECTION
from tracer.errors import InputError
from tracer.events import EVENT
from tracer.recording.envelope import MAGIC, Kind
from tracer.recording.layout import checked

VERSION = 1
HEAD_BYTES = 4096
"""So much of a file is enough to know it."""
_REMEDY = "give a file that viptrace recorded"


@dataclass(frozen=True, slots=True)
class Header:
    """What holds for the whole file."""

    home_netns: int = 0
    """Network namespace viptrace looked from."""
    requests_only: bool = False
    """Packets came through a filter: they cannot be counted."""
    several_clocks: bool = False
    """Each origin came at its own pace."""
    pairs: bool = False
    """No kernel told of translations: they are to be found in the packets."""
    node: str = ""
    backend: str = ""
    writer: str = ""
    """Program and its version."""
    run: str = ""
    """The same in all files of one recording."""
    part: int = 1
    """Number of this file, if the recording was rotated."""
    anonymized: bool = False
    event: np.dtype[np.void] = EVENT
    """Layout of the records in this file."""

    def encoded(self) -> bytes:
        """As it stands in the block."""
        facts = {name: value for name, value in asdict(self).items() if name != "event"}
        layout = np.lib.format.dtype_to_descr(self.event)
        return json.dumps({"version": VERSION, **facts, "event": layout}).encode()


def decoded(payload: bytes, name: str) -> Header:
    """The header in a block; InputError if this version cannot read the file it begins."""
    try:
        facts = json.loads(payload)
        version = int(facts.pop("version"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"cannot read {name}", f"its header is damaged: {error}", _REMEDY
        ) from error
    if version > VERSION:
        raise InputError(
            f"cannot read {name}",
            f"it has version {version}, and this viptrace reads up to {VERSION}",
            "install the viptrace that recorded it, or a newer one",
        )
    try:
        layout = checked(np.lib.format.descr_to_dtype(_tuples(facts.pop("event"))))
        known = {key: facts[key] for key in Header.__slots__ if key in facts}
        return Header(**known, event=layout)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"cannot read {name}", f"its header is damaged: {error}", _REMEDY
        ) from error


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"cannot read {name}", f"its header is damaged: {error}", _REMEDY)


def _tuples(layout: Any) -> Any:
    """NumPy wants the tuples that JSON made lists; shapes and fields alike."""
    return [tuple(tuple(p) if isinstance(p, list) else p for p in field) for field in layout]


def is_recording(head: bytes) -> bool:
    """Whether a file that begins so is a recording: our header follows the section's."""
    if len(head) < 12 or head[:4] != SECTION.to_bytes(4, "little"):
        return False
    at = Struct("<I").unpack_from(head, 4)[0]
    block = head[at : at + 18]
    return (
        block[:4] == LOCAL.to_bytes(4, "little")
        and block[8:16] == MAGIC
        and block[16:17] == bytes([Kind.HEADER])
    )
