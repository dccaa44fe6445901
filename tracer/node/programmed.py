"""What kube-proxy has programmed here, as far as its mode can be told from it."""

from __future__ import annotations

import http.client
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tracer.node.lines import Unread
from tracer.node.netlink import NETLINK_NETFILTER, Requests
from tracer.node.proxy_mode import MODES, NAT_CHAIN, NFT_TABLE

_NFTABLES = 10 << 8
_GET_TABLE, _GET_CHAIN = _NFTABLES | 1, _NFTABLES | 4
_ANY_FAMILY = bytes(4)
_ADDRESS = ("127.0.0.1", 10249)
_PATIENCE_S = 0.3
_SAVE_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Traces:
    """Signs of the modes that use rules; IPVS shows by its device and servers."""

    nft_table: bool
    nat_chain: bool


def told_mode() -> str:
    """What kube-proxy answers on this machine's loopback; empty if nobody answers sensibly."""
    connection = http.client.HTTPConnection(*_ADDRESS, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/proxyMode")
        response = connection.getresponse()
        word = response.read(32).decode("ascii", "replace").strip()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return word if word in MODES else ""


def traces(unread: Unread) -> Traces:
    """Look for kube-proxy's table and chain; what may not be read is named in ``unread``."""
    nft_table = nat_chain = False
    try:
        requests = Requests(NETLINK_NETFILTER)
        try:
            nft_table = _mentions(requests, _GET_TABLE, NFT_TABLE)
            nat_chain = _mentions(requests, _GET_CHAIN, NAT_CHAIN)
        finally:
            requests.close()
    except OSError as error:
        unread.add(0, f"nftables cannot be listed: {error.strerror or error}")
    if not (nft_table or nat_chain):
        nat_chain = _legacy_chain(unread)
    return Traces(nft_table, nat_chain)


def _mentions(requests: Requests, question: int, name: str) -> bool:
    """Whether a listing has an object of this name: names are zero-terminated strings."""
    wanted = name.encode() + b"\0"
    found = False
    for data in requests.dump(question, _ANY_FAMILY):  # to its end, for the next question
        found |= wanted in data
    return found


def _legacy_chain(unread: Unread) -> bool:
    """The chain in x_tables' own nat table, which only its tools can list."""
    try:
        tables = Path("/proc/net/ip_tables_names").read_text().split()
    except FileNotFoundError:
        return False
    except OSError as error:
        unread.add(0, f"/proc/net/ip_tables_names cannot be read: {error.strerror}")
        return False
    if "nat" not in tables:
        return False
    for tool in ("iptables-legacy-save", "iptables-save"):
        try:
            done = subprocess.run(
                [tool, "-t", "nat"], capture_output=True, timeout=_SAVE_PATIENCE_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return f":{NAT_CHAIN} ".encode() in done.stdout
    unread.add(0, "the nat table cannot be listed: no iptables-save that works here")
    return False
