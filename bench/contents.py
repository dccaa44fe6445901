"""What made-up connections say: HTTP, TLS records, and DNS; as many bytes as each message has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.traffic import Flows, Messages
from tracer.events import Protocol
from tracer.packets.ragged import windows

_TLS_PORTS = (443, 8443)
_TOKEN = 16
"""Letters that tell a message from every other one."""
_DIGITS = 5
_ASKED = (b"POST /", b" HTTP/1.1\r\nHost: echo\r\nContent-Length: ")
_TOLD = (b'HTTP/1.1 200 OK\r\nETag: "', b'"\r\nContent-Length: ')
_END = b"\r\n\r\n"
LEAST = max(sum(map(len, words)) for words in (_ASKED, _TOLD)) + _TOKEN + _DIGITS + len(_END)
"""Bytes of the longest head: a message of a TCP connection has no fewer."""
_RECORD = np.dtype([("kind", "u1"), ("version", ">u2"), ("size", ">u2"), ("secret", "<u8", (2,))])
_APPLICATION_DATA, _TLS_1_2 = 23, 0x0303
_QUESTION = np.dtype(
    [
        ("id", ">u2"),
        ("flags", ">u2"),
        ("questions", ">u2"),
        ("others", ">u2", (3,)),
        ("label", "u1"),
        ("name", "u1", (8,)),
        ("end", "u1"),
        ("type", ">u2"),
        ("class", ">u2"),
    ]
)
_NUMBER = np.dtype([("content", "<u8"), ("more", "<u8")])


def put_rows(
    data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], rows: npt.NDArray[np.void]
) -> None:
    """Write structured ``rows`` into ``data``, each from its offset on."""
    width = rows.dtype.itemsize
    if rows.size:
        windows(data, width)[at] = np.ascontiguousarray(rows).view(f"V{width}")


def put_contents(
    data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64], flow: Flows, message: Messages
) -> None:
    """Write payloads, of which ``at`` are the offsets; what follows a head stays as it is."""
    udp = flow["protocol"] == Protocol.UDP
    put_rows(data, at[udp], _questions(message[udp]))
    says = (flow["protocol"] == Protocol.TCP) & (message["size"] >= LEAST)
    secret = says & np.isin(flow["legs"]["dst_port"][:, 0], _TLS_PORTS)
    put_rows(data, at[secret], _records(message[secret]))
    for answer, words in ((False, _ASKED), (True, _TOLD)):
        plain = says & ~secret & (message["answer"] == answer)
        put_rows(data, at[plain], _heads(message[plain], *words))
    echo = ~udp & ~says & (message["size"] >= _NUMBER.itemsize)
    number = np.zeros(int(echo.sum()), dtype=_NUMBER)
    number["content"] = message["content"][echo]
    put_rows(data, at[echo], number)


def _questions(message: Messages) -> npt.NDArray[np.void]:
    """A DNS question; in an answer it stands alone."""
    asked = np.zeros(message.size, dtype=_QUESTION)
    asked["id"], asked["flags"] = message["content"], np.where(message["answer"], 0x8180, 0x0100)
    asked["questions"], asked["label"], asked["type"], asked["class"] = 1, 8, 1, 1
    asked["name"] = _letters(message["content"], 8)
    return asked


def _records(message: Messages) -> npt.NDArray[np.void]:
    """One TLS record that fills the segment."""
    made = np.zeros(message.size, dtype=_RECORD)
    made["kind"], made["version"] = _APPLICATION_DATA, _TLS_1_2
    made["size"] = message["size"] - (_RECORD.itemsize - made["secret"][:1].nbytes)
    made["secret"] = message["content"][:, None]
    return made


def _heads(message: Messages, before: bytes, between: bytes) -> npt.NDArray[np.void]:
    """An HTTP head whose body ends with the segment."""
    kind = np.dtype(
        [
            ("before", f"S{len(before)}"),
            ("token", "u1", (_TOKEN,)),
            ("between", f"S{len(between)}"),
            ("digits", "u1", (_DIGITS,)),
            ("end", f"S{len(_END)}"),
        ]
    )
    made = np.zeros(message.size, dtype=kind)
    made["before"], made["between"], made["end"] = before, between, _END
    made["token"] = _letters(message["content"], _TOKEN)
    body = message["size"].astype(np.int64) - kind.itemsize
    made["digits"] = body[:, None] // 10 ** np.arange(_DIGITS)[::-1] % 10 + ord("0")
    return made


def _letters(content: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.uint64]:
    """Four bits each, ``a`` to ``p``."""
    shifts = np.arange(0, 4 * count, 4, dtype=np.uint64)
    return (content[:, None] >> shifts & np.uint64(15)) + np.uint64(ord("a"))
