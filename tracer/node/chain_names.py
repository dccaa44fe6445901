"""kube-proxy's names for chains, sets and maps: hashes of what they stand for.

Source: ``servicePortChainName`` and ``servicePortEndpointChainName`` in kube-proxy's iptables and
nftables proxiers.
"""

from __future__ import annotations

import base64
import hashlib

NFT_NAME_LIMIT = 240
IPSET_NAME_LIMIT = 31


def _hash(text: str, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:length]


def port_label(namespace: str, service: str, port_name: str) -> str:
    """``namespace/service:port`` as in rule comments; an unnamed port has no colon."""
    return f"{namespace}/{service}:{port_name}" if port_name else f"{namespace}/{service}"


def iptables_hash(label: str, protocol: str, endpoint: str = "") -> str:
    """16 characters shared by KUBE-SVC-, KUBE-SVL-, KUBE-EXT- and KUBE-FW- of a Service port.

    With ``endpoint`` (``ip:port``), those of its KUBE-SEP- chain. ``protocol`` is lower case.
    """
    return _hash(label + protocol + endpoint, 16)


def nft_port(namespace: str, service: str, protocol: str, port_name: str) -> str:
    """``HASH-namespace/service/protocol/port``: the tail of service-, local-, external- names."""
    readable = f"{namespace}/{service}/{protocol}/{port_name}"
    return _limited(f"{_hash(readable, 8)}-{readable}")


def nft_endpoint(
    namespace: str, service: str, protocol: str, port_name: str, ip: str, port: int
) -> str:
    """``HASH-…__ip/port``: the tail of endpoint- chains and affinity- sets."""
    where = f"{ip.replace(':', '.')}/{port}"
    readable = f"{namespace}/{service}/{protocol}/{port_name}__{where}"
    return _limited(f"{_hash(readable, 8)}-{readable}")


def ipset_name(name: str, ipv6: bool) -> str:
    """A set's name; IPv6 sets get ``KUBE-6-`` and are cut to what ipset allows."""
    if not ipv6:
        return name
    return name.replace("KUBE-", "KUBE-6-", 1)[:IPSET_NAME_LIMIT]


def _limited(name: str) -> str:
    return name if len(name) <= NFT_NAME_LIMIT else name[: NFT_NAME_LIMIT - 3] + "..."
