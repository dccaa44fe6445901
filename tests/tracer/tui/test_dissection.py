from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tracer.tui.widgets.dissection import dissected, hex_lines


def test_layers_and_fields_are_named():
    data = bytes(Ether(src="02:00:00:00:00:01") / IP(dst="10.96.0.10") / TCP(dport=80, flags="S"))
    text = "\n".join(dissected(data, 1))
    assert "Ethernet" in text
    assert "10.96.0.10" in text
    assert "http" in text
    assert "10.96.0.10" in "\n".join(dissected(data[14:], 101))


def test_an_unknown_link_type_is_said():
    assert dissected(b"\0", 9999) == ("(link type 9999 is not dissected)",)


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=80), st.sampled_from([0, 1, 101, 113, 228, 229, 276]))
def test_any_bytes_give_harmless_lines(data: bytes, link_type: int):
    assert all(line.isprintable() for line in dissected(data, link_type))


def test_bytes_are_shown_as_hex_and_text():
    assert hex_lines(b"GET / HTTP/1.1\r\n\x1b[2J") == [
        "0000  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..",
        "0010  1b 5b 32 4a                                      .[2J",
    ]
