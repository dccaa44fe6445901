"""Which mode kube-proxy runs in: as it says itself, or from what it has programmed."""

from __future__ import annotations

from tracer.node.lines import Unread

MODES = ("ipvs", "iptables", "nftables")
TOLD_MODE = "told_mode"
"""Part of a state that is known where kube-proxy itself said its mode."""
NFT_TABLE = "kube-proxy"
"""Table that the nftables mode makes, in ip and ip6."""
NAT_CHAIN = "KUBE-SERVICES"
"""Chain of the nat table in iptables mode (and around IPVS)."""


def parse(text: str, unread: Unread) -> str:
    """The mode in ``proxy-mode.txt`` or in the answer of ``/proxyMode``; empty if there is none."""
    word = text.strip().lower()
    if word not in MODES:
        unread.add(1, f"not a proxy mode ({', '.join(MODES)})", text)
        return ""
    return word


def deduce(*, ipvs: bool, nft_table: bool, nat_chain: bool) -> str:
    """The mode from its traces; empty if there are none.

    IPVS comes first because that mode keeps KUBE-SERVICES in the nat table too, and
    nftables before iptables because an old table survives a change of mode more often
    than an nft one that nobody keeps.
    """
    if ipvs:
        return "ipvs"
    if nft_table:
        return "nftables"
    return "iptables" if nat_chain else ""
