"""IPVS virtual servers as text: ``ipvsadm -Sn``, ``ipvsadm -Ln`` and ``/proc/net/ip_vs``.

The kernel's own form tells persistence in ticks (its jiffies), the tool in seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from tracer.address import is_ipv4
from tracer.events import Protocol
from tracer.node.ipvs import packed_hex
from tracer.node.lines import Unread, packed
from tracer.node.model import UNTOLD_S, MarkServer, VirtualServer

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
_MARKED = {"-f", "--fwmark-service"}
_MOST = 0xFFFFFFFF
_Key = tuple[int, bytes, int]
"""(protocol, address, port), or (0, nothing, mark)."""


@dataclass(slots=True)
class _Server:
    """One server while its backends are read."""

    scheduler: str
    persistent_s: int
    ipv6: bool
    """Told for marks alone."""
    backends: list[tuple[bytes, int, int]]
    methods: list[str]


class _Servers:
    """Servers as they are read, in the order of the text."""

    def __init__(self, unread: Unread, ticks_per_s: int) -> None:
        self.found: dict[_Key, _Server] = {}
        self.unread = unread
        self.hexadecimal = False
        self._ticks_per_s = ticks_per_s
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

    def mark(self, text: str) -> _Key:
        """The key of a mark; ValueError if it is none."""
        number = int(text, 16) if self.hexadecimal else int(text, 0)
        if not 0 < number <= _MOST:
            raise ValueError(text)
        return 0, b"", number

    def seconds(self, text: str) -> int:
        """How long clients stay with a backend, from what is written of it."""
        if not text.isdigit():
            return 0
        if not self.hexadecimal:
            return int(text)
        return round(int(text) / self._ticks_per_s) if self._ticks_per_s else UNTOLD_S

    def server(
        self, key: _Key, scheduler: str, persistent_s: int = 0, *, ipv6: bool = False
    ) -> None:
        self.current = key
        self.found[key] = _Server(scheduler, persistent_s, ipv6, [], [])

    def backend(self, endpoint: str, weight: str, method: str) -> None:
        """Add a backend to the current server."""
        if self.current is None or self.current not in self.found:
            raise ValueError(endpoint)
        entry = (*self.endpoint(endpoint), int(weight))
        server = self.found[self.current]
        server.backends.append(entry)
        server.methods.append(method)


def parse_servers(text: str, unread: Unread) -> tuple[VirtualServer, ...]:
    """Every virtual server of an address, with its backends."""
    return parse(text, unread)[0]


def parse(
    text: str, unread: Unread, ticks_per_s: int = 0
) -> tuple[tuple[VirtualServer, ...], tuple[MarkServer, ...]]:
    """Servers by address, and servers by firewall mark.

    ``ticks_per_s`` of the kernel that wrote the text; 0 where that is not known.
    """
    servers = _Servers(unread, ticks_per_s)
    lines = text.splitlines()
    servers.hexadecimal = any(line.strip() == _PROC_HEADER for line in lines[:5])
    for number, line in enumerate(lines, start=1):
        if _TALK.match(line):
            continue
        try:
            _read(servers, line.split())
        except (ValueError, IndexError):
            unread.add(number, "not a virtual server with numeric addresses", line)
    by_address = tuple(_by_address(key, each) for key, each in servers.found.items() if key[1])
    by_mark = tuple(_by_mark(key[2], each) for key, each in servers.found.items() if not key[1])
    return by_address, by_mark


def _by_address(key: _Key, found: _Server) -> VirtualServer:
    backends, methods = tuple(found.backends), tuple(found.methods)
    return VirtualServer(*key, found.scheduler, backends, methods, found.persistent_s)


def _by_mark(mark: int, found: _Server) -> MarkServer:
    """``/proc`` does not tell the family: its backends do."""
    ipv6 = found.ipv6 or any(not is_ipv4(ip) for ip, _, _ in found.backends)
    backends, methods = tuple(found.backends), tuple(found.methods)
    return MarkServer(mark, ipv6, found.scheduler, backends, methods, found.persistent_s)


def _read(servers: _Servers, words: list[str]) -> None:
    """One line; ValueError or IndexError if it is not understood."""
    if words[0] in _ADD_SERVER | _ADD_BACKEND:
        _read_saved(servers, words)
    elif words[0] == "->":
        if words[2] not in _FORWARD:
            raise ValueError(words[2])
        servers.backend(words[1], words[3], words[2].lower())
    else:
        _read_listed(servers, words)


def _read_listed(servers: _Servers, words: list[str]) -> None:
    """A server as it is listed: protocol or ``FWM``, then what it listens to."""
    servers.current = None
    marked = words[0] == "FWM"
    ipv6 = marked and words[2] == "IPv6"
    scheduler = words[3 if ipv6 else 2]
    if scheduler.isdigit():  # --stats and --rate: neither scheduler nor weights
        raise ValueError(scheduler)
    at = words[1]
    key = servers.mark(at) if marked else (_protocol(words[0]), *servers.endpoint(at))
    _, _, persistent = " ".join(words).partition(" persistent ")
    servers.server(key, scheduler, servers.seconds(persistent.partition(" ")[0]), ipv6=ipv6)


def _protocol(name: str) -> int:
    if name not in _PROTOCOLS:
        raise ValueError(name)
    return _PROTOCOLS[name]


def _read_saved(servers: _Servers, words: list[str]) -> None:
    """A line of ``ipvsadm -S``: option, value, option, value; some options stand alone."""
    options = dict(pairwise([*words, ""]))
    servers.current = None
    key = _saved_key(servers, options, words)
    if words[0] in _ADD_SERVER:
        scheduler = options.get("-s", options.get("--scheduler", "wlc"))
        persistent = options.get("-p", options.get("--persistent", "0"))
        seconds = int(persistent) if persistent.isdigit() else DEFAULT_PERSISTENCE_S
        ipv6 = bool({"-6", "--ipv6"} & set(words))
        servers.server(key, scheduler, seconds, ipv6=ipv6)
        return
    servers.current = key
    servers.backend(
        options.get("-r", options.get("--real-server", "")),
        options.get("-w", options.get("--weight", "1")),
        next((method for option, method in _METHODS.items() if option in words), "route"),
    )


def _saved_key(servers: _Servers, options: dict[str, str], words: list[str]) -> _Key:
    for option in _MARKED & set(options):
        return servers.mark(options[option])
    chosen = next((option for option in _SERVER_OPTIONS if option in options), "")
    if not chosen:
        raise ValueError(words[1])
    return (_SERVER_OPTIONS[chosen], *servers.endpoint(options[chosen]))
