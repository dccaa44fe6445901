"""A state directory: what ``viptrace state`` or the public tools wrote about one node."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tracer.clock import wall_ns
from tracer.errors import InputError
from tracer.events import EventBatch, EventRows, Origin, no_records, stacked
from tracer.node import (
    conntrack,
    health_answers,
    iproute,
    ipset,
    iptables,
    ipvs,
    ipvs_servers,
    nft_json,
    nft_text,
    proxy_mode,
    routes,
    sysctl,
)
from tracer.node.lines import Unread
from tracer.node.model import IPVS_DEVICE, MarkServer, NodeState, VirtualServer
from tracer.node.nft_ruleset import NftRuleset
from tracer.node.routing import Neighbour, PolicyRule, Route
from tracer.node.sets import AddressSet
from tracer.node.state_kind import name_of
from tracer.node.xtables import XtTables

NAMES = (
    *("iptables-save.txt", "ip6tables-save.txt", "ipset-save.txt", "ipvsadm-save.txt"),
    *("ipvsadm-conn.txt", "nft.json", "nft.txt", "addr.json", "route.json", "rule.json"),
    *("neigh.json", "sysctl.txt", "conntrack.txt", "proxy-mode.txt"),
    *("health.json", "cluster.json", "cluster.yaml", "cluster.yml"),
)
"""Files of a state directory."""


def load(path: Path, at_ns: int | None = None) -> tuple[NodeState, EventBatch]:
    """The node's state, and the connections that existed (conntrack's and IPVS').

    ``at_ns`` is the time to give to both; without it, when the newest file was written.
    A file that is not there makes its part unknown, never empty. A single file (``-`` is
    standard input) is told by what stands in it.
    """
    directory = _opened(path)
    when = directory.written_ns() if at_ns is None else at_ns
    records = _connections(directory, when)
    damaged = sum(unread.count for unread in directory.unread)
    state = _state(directory, when)
    return state, EventBatch(records, Origin.CONNTRACK, when, damaged=damaged)


def _opened(path: Path) -> _Directory:
    """A directory, or a file that could stand in one."""
    if path.is_dir():
        return _Directory(path)
    if str(path) != "-" and not path.exists():
        raise InputError(
            f"{path}: no such state directory",
            "it is a directory of files such as conntrack.txt and addr.json",
            "make one with: viptrace state -o DIR",
        )
    data = _content(path)
    name = name_of(data)
    if not name:
        raise InputError(
            f"It cannot be told what {path} holds.",
            "A state is a directory, or one of its files: " + ", ".join(NAMES[:-4]) + ".",
            "Make one with: viptrace state -o DIR",
        )
    return _OneFile(path, name=name, data=data)


def require_files(directory: Path) -> None:
    """InputError for a directory that has none of the files: it is hardly the one meant."""
    if directory.is_dir() and not any((directory / name).exists() for name in NAMES):
        raise InputError(
            f"{directory} has none of the files of a state directory.",
            f"They are {', '.join(NAMES)}.",
            "Make one with: viptrace state -o DIR",
        )


def _content(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read.", error.strerror or "", "Give another --state."
        ) from error


class Files(Protocol):
    """Where files of these names are, in a directory or only in memory."""

    def text(self, name: str) -> tuple[str, Unread] | None:
        """A file with the place for complaints about it; None if it is not there."""


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


@dataclass
class _OneFile(_Directory):
    """A single file in place of a directory."""

    name: str = ""
    """What it would be called there."""
    data: bytes = b""

    def read(self, name: str) -> tuple[bytes, Unread] | None:
        """The one file; no other is there."""
        if name != self.name:
            return None
        unread = Unread(name)
        self.unread.append(unread)
        return self.data, unread

    def written_ns(self) -> int:
        """When it was written; now for a pipe."""
        return wall_ns() if str(self.path) == "-" else self.path.stat().st_mtime_ns


def _connections(directory: _Directory, at_ns: int) -> EventRows:
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
    by_mark: tuple[MarkServer, ...] = ()
    sysctls: dict[str, str] = {}
    if found := directory.text("addr.json"):
        interfaces = iproute.parse(*found)
        known |= {"addresses", "interfaces", "masters"}
    if found := directory.text("ipvsadm-save.txt"):
        servers, by_mark = ipvs_servers.parse(*found)
        known.add("virtual_servers")
    if found := directory.text("sysctl.txt"):
        sysctls = sysctl.parse(*found)
        known.add("sysctls")
    health = directory.text("health.json")
    rules = rules_of(directory)
    ways = ways_of(directory)
    known |= rules.known | ways.known
    bound = any(entry.interface == IPVS_DEVICE for entry in interfaces.addresses)
    said = _said_mode(directory)
    mode = said or _deduced_mode(rules, ipvs_programmed=bound and bool(servers))
    known |= {"proxy_mode"} if mode else set()
    known |= {proxy_mode.TOLD_MODE} if said else set()
    return NodeState(
        addresses=interfaces.addresses,
        interfaces=interfaces.names,
        masters=interfaces.masters,
        virtual_servers=servers,
        mark_servers=by_mark,
        sysctls=sysctls,
        proxy_mode=mode,
        xtables=rules.xtables,
        address_sets=rules.sets,
        nft=rules.nft,
        routes=ways.routes,
        policy_rules=ways.rules,
        neighbours=ways.neighbours,
        health_answers=health_answers.parse(*health) if health else (),
        at_ns=at_ns,
        known=frozenset(known),
        unparsed=tuple(line for unread in directory.unread for line in unread.listed()),
    )


@dataclass(slots=True)
class Rules:
    """What filters and translates, of every tool."""

    xtables: tuple[XtTables, ...] = ()
    sets: tuple[AddressSet, ...] = ()
    nft: NftRuleset = field(default_factory=NftRuleset)
    known: set[str] = field(default_factory=set)


def rules_of(directory: Files) -> Rules:
    """Rules out of the files that are there."""
    found = Rules()
    for name, ipv6 in (("iptables-save.txt", False), ("ip6tables-save.txt", True)):
        if read := directory.text(name):
            found.xtables += iptables.parse(*read, ipv6=ipv6)
            found.known |= {"xtables", f"xtables.{'ip6' if ipv6 else 'ip'}"}
    if read := directory.text("ipset-save.txt"):
        found.sets = ipset.parse(*read)
        found.known.add("address_sets")
    for name, parse in (("nft.json", nft_json.parse), ("nft.txt", nft_text.parse)):
        if "nft" not in found.known and (read := directory.text(name)):
            found.nft = parse(*read)
            found.known.add("nft")
    return found


@dataclass(slots=True)
class Ways:
    """Where packets go."""

    routes: tuple[Route, ...] = ()
    rules: tuple[PolicyRule, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    known: set[str] = field(default_factory=set)


def ways_of(directory: Files) -> Ways:
    """Routes, rules and neighbours out of the files that are there."""
    found = Ways()
    if read := directory.text("route.json"):
        found.routes = routes.parse_routes(*read)
        found.known.add("routes")
    if read := directory.text("rule.json"):
        found.rules = routes.parse_rules(*read)
        found.known.add("policy_rules")
    if read := directory.text("neigh.json"):
        found.neighbours = routes.parse_neighbours(*read)
        found.known.add("neighbours")
    return found


def _said_mode(directory: _Directory) -> str:
    """What kube-proxy said itself."""
    found = directory.text("proxy-mode.txt")
    return proxy_mode.parse(*found) if found else ""


def _deduced_mode(rules: Rules, *, ipvs_programmed: bool) -> str:
    """What its traces say."""
    return proxy_mode.deduce(
        ipvs=ipvs_programmed,
        nft_table=any(name == proxy_mode.NFT_TABLE for _, name in rules.nft.tables),
        nat_chain=any(
            proxy_mode.NAT_CHAIN in tables.tables.get("nat", {}) for tables in rules.xtables
        ),
    )
