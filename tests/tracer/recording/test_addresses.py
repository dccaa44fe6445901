"""Addresses for strangers: other ones, in networks that stay together."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer import address
from tracer.recording.addresses import AddressMap

KEY = bytes(range(32))
MAP = AddressMap(KEY)
v4 = st.integers(1 << 24, (224 << 24) - 1).map(lambda n: n.to_bytes(4, "big"))
v6 = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(lambda n: n.to_bytes(16, "big"))


def shared(one: bytes, other: bytes) -> int:
    """How many leading bits two addresses have in common."""
    differ = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return len(one) * 8 - differ.bit_length()


@given(v6, v6)
def test_networks_of_ipv6_stay_together_and_apart(one, other):
    assert shared(MAP.packed(one), MAP.packed(other)) == shared(one, other)


@given(v4, v4)
def test_networks_of_ipv4_stay_together_and_apart(one, other):
    mapped = [MAP.packed(address.MAPPED_PREFIX + ip)[12:] for ip in (one, other)]
    if one[0] == other[0] and one[0] not in (127, 169):
        assert shared(*mapped) == shared(one, other)
    assert (mapped[0] == mapped[1]) == (one == other)


@pytest.mark.parametrize(
    "kept",
    [
        *("0.0.0.0", "127.0.0.1", "224.0.0.251", "255.255.255.255", "169.254.169.254"),
        *("::", "::1", "ff02::fb"),
    ],
)
def test_addresses_that_name_nobody_stay(kept):
    assert MAP.packed(address.parse(kept)) == address.parse(kept)


def test_a_link_local_address_keeps_its_prefix_only():
    mapped = address.text(MAP.packed(address.parse("fe80::42:acff:fe11:2")))
    assert mapped.startswith("fe80::")
    assert mapped != "fe80::42:acff:fe11:2"


def test_another_key_gives_other_addresses():
    ip = address.parse("10.1.2.3")
    assert AddressMap(bytes(32)).packed(ip) != MAP.packed(ip)
    assert AddressMap(KEY).packed(ip) == MAP.packed(ip)


def test_ordinary_addresses_never_become_special_ones():
    ips = [address.parse(f"{first}.1.2.3") for first in range(1, 224) if first != 127]
    mapped = [ipaddress.ip_address(address.text(MAP.packed(ip))) for ip in ips]
    assert len(set(mapped)) == len(ips)
    assert not any(ip.is_loopback or ip.is_multicast or ip.is_link_local for ip in mapped)


def test_a_column_is_replaced_row_by_row():
    texts = ["10.0.0.1", "10.0.0.2", "10.0.0.1", "127.0.0.1", "fd00::1"]
    packed = [address.parse(text) for text in texts]
    column = MAP.column(address.column(packed))
    assert address.texts(column) == [address.text(MAP.packed(ip)) for ip in packed]
    assert len(MAP.column(np.zeros((0, 2), dtype=np.uint64))) == 0


def test_a_network_holds_the_addresses_that_it_held():
    network = ipaddress.ip_network(MAP.network("10.244.1.0/24"))
    assert ipaddress.ip_address(address.text(MAP.packed(address.parse("10.244.1.77")))) in network
    assert MAP.network("not a network") == ""
