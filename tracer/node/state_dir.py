"""A state directory: what ``viptrace state`` or the public tools wrote about one node."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from tracer.errors import InputError
from tracer.events import EventBatch, Origin, Records, no_records, stacked
from tracer.node import conntrack, iproute, ipvs, ipvs_servers, proxy_mode, sysctl
from tracer.node.lines import Unread
from tracer.node.model import IPVS_DEVICE, NodeState, VirtualServer

_NAT_CHAIN = re.compile(rf"^(?::|-N ){proxy_mode.NAT_CHAIN}(?!\S)", re.MULTILINE)
_NFT_TABLE = re.compile(rf"^table (?:ip6?|inet) {proxy_mode.NFT_TABLE}(?!\S)", re.MULTILINE)


def load(path: Path, at_ns: int | None = None) -> tuple[NodeState, EventBatch]:
    """The node's state, and the connections that existed (conntrack's and IPVS').

    ``at_ns`` is the time to give to both; without it, when the newest file was written.
    A file that is not there makes its part unknown, never empty.
    """
    if not path.is_dir():
        raise InputError(
            f"{path}: no such state directory",
            "it is a directory of files such as conntrack.txt and addr.json",
            "make one with: viptrace state -o DIR",
        )
    directory = _Directory(path)
    when = directory.written_ns() if at_ns is None else at_ns
    records = _connections(directory, when)
    damaged = sum(unread.count for unread in directory.unread)
    state = _state(directory, when)
    return state, EventBatch(records, Origin.CONNTRACK, when, damaged=damaged)


@dataclass
class _Directory:
    """The files of one state directory, and what could not be understood in them."""

    path: Path
    unread: list[Unread] = field(default_factory=list)

    def read(self, name: str) -> tuple[bytes, Unread] | None:
        """A file with the place for complaints about it; None if it is not there."""
        unread = Unread(name)
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            unread.add(0, f"cannot be read: {error.strerror}")
            self.unread.append(unread)
            return None
        self.unread.append(unread)
        return data, unread

    def text(self, name: str) -> tuple[str, Unread] | None:
        """The same as text; bytes that are not UTF-8 are replaced."""
        found = self.read(name)
        return (found[0].decode("utf-8", "replace"), found[1]) if found else None

    def written_ns(self) -> int:
        """When the newest file was written, 0 for an empty directory."""
        return max((entry.stat().st_mtime_ns for entry in self.path.iterdir()), default=0)


def _connections(directory: _Directory, at_ns: int) -> Records:
    tables = [no_records()]
    if found := directory.read("conntrack.txt"):
        tables.append(conntrack.parse(*found, at_ns))
    if found := directory.read("ipvsadm-conn.txt"):
        tables.append(ipvs.parse_connections(*found, at_ns))
    return stacked(tables)


def _state(directory: _Directory, at_ns: int) -> NodeState:
    known = set()
    interfaces = iproute.Interfaces((), {})
    servers: tuple[VirtualServer, ...] = ()
    sysctls: dict[str, str] = {}
    if found := directory.text("addr.json"):
        interfaces = iproute.parse(*found)
        known |= {"addresses", "interfaces"}
    if found := directory.text("ipvsadm-save.txt"):
        servers = ipvs_servers.parse_servers(*found)
        known.add("virtual_servers")
    if found := directory.text("sysctl.txt"):
        sysctls = sysctl.parse(*found)
        known.add("sysctls")
    bound = any(entry.interface == IPVS_DEVICE for entry in interfaces.addresses)
    mode = _mode(directory, ipvs_programmed=bound and bool(servers))
    known |= {"proxy_mode"} if mode else set()
    return NodeState(
        addresses=interfaces.addresses,
        interfaces=interfaces.names,
        virtual_servers=servers,
        sysctls=sysctls,
        proxy_mode=mode,
        at_ns=at_ns,
        known=frozenset(known),
        unparsed=tuple(line for unread in directory.unread for line in unread.listed()),
    )


def _mode(directory: _Directory, *, ipvs_programmed: bool) -> str:
    """What kube-proxy said, else what its traces say."""
    found = directory.text("proxy-mode.txt")
    said = proxy_mode.parse(*found) if found else ""
    return said or proxy_mode.deduce(
        ipvs=ipvs_programmed,
        nft_table=_has_nft_table(directory.path),
        nat_chain=_contains(directory.path / "iptables-save.txt", _NAT_CHAIN)
        or _contains(directory.path / "ip6tables-save.txt", _NAT_CHAIN),
    )


def _contains(path: Path, pattern: re.Pattern[str]) -> bool:
    try:
        return bool(pattern.search(path.read_text("utf-8", "replace")))
    except OSError:
        return False


def _has_nft_table(path: Path) -> bool:
    if _contains(path / "nft.txt", _NFT_TABLE):
        return True
    try:
        ruleset = json.loads((path / "nft.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    objects = ruleset.get("nftables") if isinstance(ruleset, dict) else None
    tables = (entry.get("table") for entry in objects or () if isinstance(entry, dict))
    return any(isinstance(t, dict) and t.get("name") == proxy_mode.NFT_TABLE for t in tables)
