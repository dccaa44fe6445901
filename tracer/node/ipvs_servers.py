"""IPVS virtual servers as text: ``ipvsadm -Sn``, ``ipvsadm -Ln`` and ``/proc/net/ip_vs``."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from tracer.events import Protocol
from tracer.node.ipvs import packed_hex
from tracer.node.lines import Unread, packed
from tracer.node.model import VirtualServer

_PROC_HEADER = "-> RemoteAddress:Port Forward Weight ActiveConn InActConn"
"""One space between the words; ``ipvsadm -Ln`` pads the first column."""
_TALK = re.compile(r"\s*(?:#|IP Virtual Server version |Prot LocalAddress|-> RemoteAddress)|\s*$")
_PROTOCOLS = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}
_ADD_SERVER = {"-A", "--add-service"}
_ADD_BACKEND = {"-a", "--add-server"}
_SERVER_OPTIONS = {
    "-t": Protocol.TCP,
    "--tcp-service": Protocol.TCP,
    "-u": Protocol.UDP,
    "--udp-service": Protocol.UDP,
    "--sctp-service": Protocol.SCTP,
}
_FORWARD = {"Masq", "Route", "Tunnel", "Local"}
_METHODS = {
    **dict.fromkeys(("-m", "--masquerading"), "masq"),
    **dict.fromkeys(("-g", "--gatewaying"), "route"),
    **dict.fromkeys(("-i", "--ipip"), "tunnel"),
}
DEFAULT_PERSISTENCE_S = 300
"""What ``-p`` without a number means to ipvsadm."""
_Key = tuple[int, bytes, int]


class _Servers:
    """Virtual servers as they are read, in the order of the text."""

    def __init__(self, unread: Unread) -> None:
        self.found: dict[_Key, VirtualServer] = {}
        self.unread = unread
        self.hexadecimal = False
        self.current: _Key | None = None
        """The server whose backends follow."""

    def endpoint(self, text: str) -> tuple[bytes, int]:
        """Address and port; ValueError if they are none."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        ip = packed_hex(host) if self.hexadecimal else packed(host)
        number = int(port, 16 if self.hexadecimal else 10)
        if not 0 <= number < 65536:
            raise ValueError(text)
        return ip, number

    def server(self, protocol: int, endpoint: str, scheduler: str, persistent_s: int = 0) -> None:
        ip, port = self.endpoint(endpoint)
        self.current = (protocol, ip, port)
        self.found[self.current] = VirtualServer(
            protocol, ip, port, scheduler, persistent_s=persistent_s
        )

    def backend(self, endpoint: str, weight: str, method: str) -> None:
        """Add a backend to the current server."""
        if self.current is None or self.current not in self.found:
            raise ValueError(endpoint)
        entry = (*self.endpoint(endpoint), int(weight))
        known = self.found[self.current]
        self.found[self.current] = replace(
            known, backends=(*known.backends, entry), methods=(*known.methods, method)
        )


def parse_servers(text: str, unread: Unread) -> tuple[VirtualServer, ...]:
    """Every virtual server with its backends; firewall-mark services have no address to show."""
    servers = _Servers(unread)
    lines = text.splitlines()
    servers.hexadecimal = any(line.strip() == _PROC_HEADER for line in lines[:5])
    for number, line in enumerate(lines, start=1):
        if _TALK.match(line):
            continue
        try:
            _read(servers, line.split())
        except (ValueError, IndexError):
            unread.add(number, "not a virtual server with numeric addresses", line)
    return tuple(servers.found.values())


def _read(servers: _Servers, words: list[str]) -> None:
    """One line; ValueError or IndexError if it is not understood."""
    if words[0] in _ADD_SERVER | _ADD_BACKEND:
        _read_saved(servers, words)
    elif words[0] == "->":
        if words[2] not in _FORWARD:
            raise ValueError(words[2])
        servers.backend(words[1], words[3], words[2].lower())
    else:
        servers.current = None
        if words[2].isdigit():  # --stats and --rate: neither scheduler nor weights
            raise ValueError(words[2])
        servers.server(_protocol(words[0]), words[1], words[2], _persistence(words))


def _persistence(words: list[str]) -> int:
    """Seconds after the word ``persistent``; 0 without it."""
    if "persistent" not in words[:-1]:
        return 0
    seconds = words[words.index("persistent") + 1]
    return int(seconds) if seconds.isdigit() else 0


def _protocol(name: str) -> int:
    if name not in _PROTOCOLS:
        raise ValueError(name)
    return _PROTOCOLS[name]


def _read_saved(servers: _Servers, words: list[str]) -> None:
    """A line of ``ipvsadm -S``: option, value, option, value; some options stand alone."""
    options = dict(pairwise([*words, ""]))
    servers.current = None
    chosen = next((option for option in _SERVER_OPTIONS if option in options), "")
    if not chosen:
        raise ValueError(words[1])
    protocol = _SERVER_OPTIONS[chosen]
    if words[0] in _ADD_SERVER:
        scheduler = options.get("-s", options.get("--scheduler", "wlc"))
        persistent = options.get("-p", options.get("--persistent", "0"))
        seconds = int(persistent) if persistent.isdigit() else DEFAULT_PERSISTENCE_S
        servers.server(protocol, options[chosen], scheduler, seconds)
        return
    servers.current = (protocol, *servers.endpoint(options[chosen]))
    servers.backend(
        options.get("-r", options.get("--real-server", "")),
        options.get("-w", options.get("--weight", "1")),
        next((method for option, method in _METHODS.items() if option in words), "route"),
    )
