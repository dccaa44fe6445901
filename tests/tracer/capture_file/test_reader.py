"""Readers take what is sound, count what is not, and never raise once a file is known."""

from __future__ import annotations

import io
import itertools
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.utils import PcapNgWriter, PcapWriter

from tests.tracer.capture_file.blocks import (
    block,
    classic,
    enhanced,
    everything,
    interface,
    obsolete,
    option,
    patched,
    section,
    simple,
)
from tracer.capture_file import CaptureReader
from tracer.errors import InputError

SECOND = 10**9
ORDERS = pytest.mark.parametrize("order", ["<", ">"])
MICROSECONDS, NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D


@ORDERS
@pytest.mark.parametrize(("magic", "scale"), [(MICROSECONDS, 1000), (NANOSECONDS, 1)])
def test_pcap_in_either_order_and_resolution(order, magic, scale):
    raw = classic(order, magic, [(5, 7, b"one"), (6, 0, b""), (6, 999_999, b"three")])
    found, reader = everything(raw)
    assert found == [
        (5 * SECOND + 7 * scale, b"one"),
        (6 * SECOND, b""),
        (6 * SECOND + 999_999 * scale, b"three"),
    ]
    assert reader.damaged == 0
    assert [i.link_type for i in reader.interfaces] == [101]


@ORDERS
def test_every_kind_of_packet_block(order):
    raw = (
        section(order)
        + interface(order, snap=4)
        + enhanced(1_000_000, b"enhanced!", order)
        + block(order, 4, bytes(8))
        + simple(b"simp", order, wire=6)
        + block(order, 0x80000BAD, b"a local block")
        + obsolete(2_000_000, b"obsolete", order)
    )
    found, reader = everything(raw)
    times = [SECOND, SECOND, 2 * SECOND]
    assert found == list(zip(times, [b"enhanced!", b"simp", b"obsolete"], strict=True))
    assert reader.damaged == 0


@ORDERS
@pytest.mark.parametrize(
    ("resolution", "ticks", "time_ns"),
    [
        (b"\x09", 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (b"\x06", 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (b"\x00", 17, 17 * SECOND),
        (b"\x0c", 17 * 10**12 + 5000, 17 * SECOND + 5),
        (b"\x8a", 3 * 1024 + 512, 3 * SECOND + SECOND // 2),
        (b"\xa0", (7 << 32) + (1 << 31), 7 * SECOND + SECOND // 2),
        (b"\xbe", 3 << 61, SECOND + SECOND // 2),
        (b"\x7f", 1 << 63, 0),
    ],
)
def test_clocks(order, resolution, ticks, time_ns):
    options = option(order, 9, resolution)
    found, _ = everything(
        section(order) + interface(order, options=options) + enhanced(ticks, b"x", order)
    )
    assert found == [(time_ns, b"x")]


def test_offset_and_names_of_interfaces():
    options = option("<", 2, b"eth0\0") + option("<", 14, pack("<q", 100))
    other = option("<", 2, "가".encode()) + option("<", 3, b"ifindex 7 netns 4026531840")
    raw = section() + interface(options=options) + interface(options=other)
    found, reader = everything(raw + enhanced(1, b"x") + enhanced(1, b"y", number=1))
    assert found == [(100 * SECOND + 1000, b"x"), (1000, b"y")]
    assert [i.name for i in reader.interfaces] == ["eth0", "가"]
    assert [i.origin for i in reader.interfaces] == [None, (7, 4026531840)]


def test_a_second_section_starts_its_own_interfaces_in_its_own_order():
    first = section("<") + interface("<", link=1) + enhanced(1, b"one")
    second = section(">") + interface(">", link=101) + enhanced(2, b"two", ">")
    found, reader = everything(first + second)
    assert [data for _, data in found] == [b"one", b"two"]
    assert [i.link_type for i in reader.interfaces] == [1, 101]
    assert reader.damaged == 0


def test_sent_packets_are_told_from_received_ones():
    flags = [option("<", 2, pack("<I", direction)) for direction in (0, 1, 2)]
    raw = section() + interface() + b"".join(enhanced(1, b"abc", options=f) for f in flags)
    reader = CaptureReader(io.BytesIO(raw), "story")
    assert reader.read().outgoing.tolist() == [False, False, True]


def test_losses_that_statistics_tell_are_counted_once():
    def told(drops):
        return block("<", 5, pack("<III", 0, 0, 0) + option("<", 5, pack("<Q", drops)))

    _, reader = everything(section() + interface() + told(3) + enhanced(1, b"x") + told(10))
    assert reader.lost == 10


def test_packets_of_an_undescribed_interface_are_damage():
    found, reader = everything(
        section() + interface() + enhanced(1, b"x") + enhanced(1, b"y", number=9)
    )
    assert [data for _, data in found] == [b"x"]
    assert reader.damaged == 1


@ORDERS
@pytest.mark.parametrize("gap", [b"\xff" * 37, bytes(64), b"\x06\0\0\0" * 10])
def test_reading_goes_on_behind_damage(order, gap):
    packets = [enhanced(n, bytes([n]) * n, order) for n in range(1, 9)]
    raw = section(order) + interface(order) + b"".join(packets[:4]) + gap + b"".join(packets[4:])
    found, reader = everything(raw)
    assert [data for _, data in found] == [bytes([n]) * n for n in range(1, 9)]
    assert reader.damaged == 1


def test_a_great_many_faults_are_stepped_over():
    packets = b"".join(enhanced(n, bytes(20)) + b"\xff" * 5 for n in range(400))
    found, reader = everything(section() + interface() + packets)
    assert len(found) == 400
    assert reader.damaged == 400


def test_a_block_larger_than_a_look_is_read():
    found, reader = everything(
        section() + interface() + enhanced(1, bytes(1 << 20)) + enhanced(2, b"x")
    )
    assert [len(data) for _, data in found] == [1 << 20, 1]
    assert reader.damaged == 0


def test_pcap_reading_goes_on_behind_damage():
    records = [(1000 + n, n, bytes([n]) * 30) for n in range(1, 9)]
    whole = classic("<", MICROSECONDS, records)
    raw = bytearray(whole)
    raw[24 + 46 * 3 + 8 : 24 + 46 * 3 + 12] = b"\xff\xff\xff\xff"
    found, reader = everything(bytes(raw))
    assert [data[0] for _, data in found] == [1, 2, 3, 5, 6, 7, 8]
    assert reader.damaged == 1


@ORDERS
def test_variants_of_pcap(order):
    records = [(5, 7, b"one"), (6, 0, b""), (7, 9, b"three")]
    expected = [(5 * SECOND + 7000, b"one"), (6 * SECOND, b""), (7 * SECOND + 9000, b"three")]
    plain = classic(order, MICROSECONDS, records)
    ixia = [
        pack(f"{order}I", magic) + plain[4:24] + pack(f"{order}I", len(plain) - 24) + plain[24:]
        for magic in (0x1C0001AC, 0x1C0001AB)
    ]
    for raw in (patched(order, records), *ixia):
        assert everything(raw)[0] == expected
        assert everything(raw[:26])[0] == []


@ORDERS
@pytest.mark.parametrize("version", [(2, 2), (2, 3), (543, 0)])
def test_lengths_that_stand_the_other_way_round(order, version):
    raw = bytearray(classic(order, MICROSECONDS, [(5, 7, b"snapped"), (6, 0, b"x")]))
    raw[4:8] = pack(f"{order}HH", *version)
    raw[32:40] = pack(f"{order}II", 90, 7)
    found, reader = everything(bytes(raw))
    assert [data for _, data in found] == [b"snapped", b"x"]
    assert reader.damaged == 0


@ORDERS
def test_a_block_whose_length_leaves_out_its_padding(order):
    body = pack(f"{order}HHIIII", 0, 0, 0, 2_000_000, 5, 5) + b"early"
    odd = pack(f"{order}I", 2) + pack(f"{order}I", len(body) + 12) + body
    odd += bytes(-len(odd) % 4) + pack(f"{order}I", len(body) + 12)
    raw = section(order) + interface(order) + odd + enhanced(3_000_000, b"late", order)
    found, reader = everything(raw)
    assert found == [(2 * SECOND, b"early"), (3 * SECOND, b"late")]
    assert reader.damaged == 0


def test_an_odd_record_before_a_cut_header_counts():
    raw = bytearray(classic("<", MICROSECONDS, [(1000, 1, b"only")]))
    raw[28:32] = b"\xff\xff\xff\0"
    found, reader = everything(bytes(raw) + b"\1\2")
    assert [data for _, data in found] == [b"only"]
    assert reader.damaged == 1


def test_odd_records_count_while_they_lead_to_others():
    records = [(1000 + n, n, bytes([n]) * 30) for n in range(1, 5)]
    raw = bytearray(classic("<", MICROSECONDS, records))
    raw[24 + 46 + 4 : 24 + 46 + 8] = b"\xff\xff\x0f\0"
    raw[24 + 46 * 2 + 12 : 24 + 46 * 2 + 16] = b"\1\0\0\0"
    found, reader = everything(bytes(raw))
    assert [data[0] for _, data in found] == [1, 2, 3, 4]
    assert reader.damaged == 0


def test_odd_records_that_lead_nowhere_are_damage():
    records = [(1000 + n, n, bytes([n]) * 30) for n in range(1, 9)]
    raw = bytearray(classic("<", MICROSECONDS, records))
    raw[24 + 46 * 3 + 8 : 24 + 46 * 3 + 12] = b"\0\0\0\0"
    raw[24 + 46 * 3 + 16 : 24 + 46 * 4] = bytes(16) + b"\xff" * 14
    found, reader = everything(bytes(raw))
    assert [data[0] for _, data in found if data] == [1, 2, 3, 5, 6, 7, 8]
    assert reader.damaged == 1


def test_a_damaged_file_header_is_no_capture():
    assert everything(classic("<", MICROSECONDS, [])[:10])[1].damaged == 1


def small_files():
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"hello")
    yield classic("<", MICROSECONDS, [(n, n, packet) for n in range(3)])
    yield patched("<", [(n, n, packet) for n in range(3)])
    for order in "<>":
        yield section(order) + interface(order) + enhanced(1, packet, order) + simple(packet, order)


@pytest.mark.parametrize("raw", small_files(), ids=["pcap", "patched", "little", "big"])
def test_a_file_cut_at_any_byte_gives_what_is_whole(raw):
    whole, _ = everything(raw)
    for size in range(4, len(raw)):
        found, reader = everything(raw[:size])
        assert found == whole[: len(found)]
        assert reader.damaged <= 1
    assert len(found) == len(whole) - 1
    assert reader.damaged == 1


def test_pieces_of_any_size_give_the_same(monkeypatch):
    packets = b"".join(enhanced(n, bytes(n % 50)) for n in range(200))
    raw = section() + interface() + packets
    whole, _ = everything(raw)
    sizes = itertools.cycle([1, 7, 64, 4096])
    stream = io.BytesIO(raw)
    monkeypatch.setattr("tracer.capture_file.reader._SEGMENT_BYTES", 100)
    reader = CaptureReader(_Pieces(stream, sizes), "story", prompt=True)
    found = 0
    while (chunk := reader.read()) is not None:
        found += len(chunk.times_ns)
    assert (found, reader.damaged) == (len(whole), 0)


class _Pieces:
    def __init__(self, stream, sizes):
        self._stream, self._sizes = stream, sizes

    def read1(self, size):
        return self._stream.read(min(size, next(self._sizes)))


@pytest.mark.parametrize(("raw", "why"), [(b"", "empty"), (b"PK\3\4 no capture", "neither")])
def test_what_is_no_capture_is_refused(raw, why):
    with pytest.raises(InputError, match=why):
        everything(raw)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(small_files())), st.data())
def test_damage_anywhere_never_raises(raw, data):
    spoiled = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 5))):
        spoiled[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    everything(bytes(spoiled))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_noise_behind_a_header_never_raises(noise):
    everything(section() + noise)
    everything(classic(">", NANOSECONDS, []) + noise)


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
def test_files_written_by_scapy(writer, tmp_path):
    path = tmp_path / "scapy"
    packets = [IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=n, dport=2) for n in range(1, 20)]
    for number, packet in enumerate(packets):
        packet.time = 1_700_000_000 + number
    with writer(str(path)) as file:
        file.write(packets)
    found, reader = everything(path.read_bytes())
    assert [data for _, data in found] == [bytes(packet) for packet in packets]
    assert [time for time, _ in found] == [(1_700_000_000 + n) * SECOND for n in range(19)]
    assert [i.link_type for i in reader.interfaces] in ([101], [228])
    assert reader.damaged == 0
