"""Which file of a state directory a single file is, told by what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LOOKED_AT = 1 << 20
"""Bytes: whatever a tool prints shows itself long before."""
_JSON: tuple[tuple[str, str], ...] = (
    ("nft.json", r'"nftables"\s*:'),
    ("addr.json", r'"addr_info"\s*:|"ifindex"\s*:'),
    ("rule.json", r'"priority"\s*:'),
    ("neigh.json", r'"lladdr"\s*:'),
    ("route.json", r'"dst"\s*:'),
)
_LINES: tuple[tuple[str, str], ...] = (
    ("nft.txt", r"(?:(?:add|create) )?table (?:ip6?|inet|arp|bridge|netdev) \S+(?: \{|;|$)"),
    ("ipvsadm-save.txt", r"-A (?:-[tuf]|--\w+-service) |IP Virtual Server version "),
    ("ipvsadm-conn.txt", r"IPVS connection entries|Pro FromIP "),
    ("ipset-save.txt", r"create \S+ (?:hash|bitmap|list):|Type: (?:hash|bitmap|list):"),
    ("conntrack.txt", r"(?:ipv[46] +\d+ +)?(?:tcp|udp|sctp|icmp|icmpv6) +\d+ .*src=\S+ dst="),
    ("iptables-save.txt", r"\*(?:nat|filter|mangle|raw|security)$|-[NP] [\w-]+|-A [\w-]+ .*-j "),
    ("sysctl.txt", r"net\.[\w./-]+ = "),
)
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    **{name: re.compile(said) for name, said in _JSON},
    **{name: re.compile(rf"^\s*(?:{said})", re.MULTILINE) for name, said in _LINES},
}
_IPV6 = re.compile(r"ip6tables|KUBE.* -[sd] [0-9a-f]*:|icmp6|\s-[sd] (?:! )?[0-9a-f]*:[0-9a-f:]*/")


def name_of(data: bytes) -> str:
    """The name it would have in a directory; empty if it is none of these."""
    text = data[:_LOOKED_AT].decode("utf-8", "replace")
    kinds = _JSON if text.lstrip()[:1] in ("{", "[") else _LINES
    name = next((name for name, _ in kinds if _PATTERNS[name].search(text)), "")
    if name == "iptables-save.txt" and _IPV6.search(text):
        return "ip6tables-save.txt"
    return name
