"""Structures, prototypes and enums are read from BTF, also across a module's split."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from probes.btf import Btf, BtfError, Field, Kind, Types
from tests.probes import blob
from tests.probes.blob import Blob

VMLINUX = Path("/sys/kernel/btf/vmlinux")


def kernel() -> Blob:
    made = Blob()
    u32 = made.add("u32", blob.INT, 4, 0, 32)
    u64 = made.add("u64", blob.INT, 8, 0, 64)
    alias = made.add("alias", blob.TYPEDEF, u64, 0)
    pointer = made.add("", blob.PTR, u32, 0)
    quad = made.add("", blob.ARRAY, 0, 0, u32, u32, 4)
    inner = made.structure("", 16, ("low", u32, 0), ("deep", u64, 64))
    made.structure(
        *("outer", 64, ("first", u32, 0), ("", inner, 64), ("wide", alias, 192)),
        *(("where", pointer, 256), ("four", quad, 320)),
    )
    made.function("do_it", "net", "skb", "reason")
    made.add("forward", blob.ENUM, 4, 0)
    made.add("color", blob.ENUM, 4, 2, made.text("RED"), 3, made.text("BLUE"), 7)
    made.add("wide_color", blob.ENUM64, 8, 1, made.text("GREEN"), 5, 1)
    proto = made.add("", blob.PROTO, 0, 3, 0, 0, made.text("skb"), 0, made.text("location"), 0)
    made.add("btf_trace_free", blob.TYPEDEF, made.add("", blob.PTR, proto, 0), 0)
    made.add(
        *("bits", blob.STRUCT, 4, 2),
        *(made.text("plain"), u32, 0, made.text("one"), u32, 1 << 24 | 13),
        bits=True,
    )
    return made


@pytest.fixture
def btf() -> Btf:
    return Btf(kernel().bytes())


@pytest.mark.parametrize(
    ("path", "offset", "size"),
    [
        ("first", 0, 4),
        ("low", 8, 4),
        ("deep", 16, 8),
        ("wide", 24, 8),
        ("where", 32, 8),
        ("four", 40, 16),
    ],
)
def test_members_are_found_through_anonymous_structures_and_typedefs(btf, path, offset, size):
    field = btf.field("outer", path)
    assert (field.offset, field.size) == (offset, size)


def test_a_bit_field_tells_its_bit(btf):
    assert btf.field("bits", "one") == Field(offset_bits=13, size=4, bits=1)
    assert btf.field("bits", "plain") == Field(offset_bits=0, size=4)


def test_what_is_not_there_is_none(btf):
    assert btf.field("outer", "nothing") is None
    assert btf.field("nothing", "first") is None
    assert btf.field("outer", "first.inside") is None
    assert btf.parameters("nothing") is None
    assert btf.enumeration("nothing") == {}


def test_prototypes_name_their_arguments(btf):
    assert btf.parameters("do_it") == ("net", "skb", "reason")
    assert btf.tracepoint_arguments("free") == 2


def test_enums_of_both_widths_and_no_forward_declaration(btf):
    assert btf.enumeration("color") == {"RED": 3, "BLUE": 7}
    assert btf.enumeration("wide_color") == {"GREEN": 5}
    assert btf.find("forward", Kind.ENUM) is None


def test_a_module_continues_the_numbers_of_the_kernel():
    base = kernel()
    module = Blob(base.types, base.texts)
    u64 = Btf(base.bytes()).find("u64", Kind.INT)
    module.structure("ip_vs_conn", 16, ("cport", u64, 0), ("own", u64, 64))
    split = Btf(module.bytes(), Btf(base.bytes()))
    assert split.field("ip_vs_conn", "own") == Field(64, 8)
    assert split.field("outer", "deep").offset == 16
    assert split.parameters("do_it") == ("net", "skb", "reason")


def test_types_look_through_kernel_and_modules(tmp_path):
    folder = tmp_path / "sys/kernel/btf"
    folder.mkdir(parents=True)
    base = kernel()
    module = Blob(base.types, base.texts)
    module.function("ip_vs_leave", "svc", "skb")
    (folder / "vmlinux").write_bytes(base.bytes())
    (folder / "ip_vs").write_bytes(module.bytes())
    types = Types(tmp_path, ["nf_nat", "ip_vs"])
    assert types.parameters("ip_vs_leave") == ("svc", "skb")
    assert types.enumeration("color")["BLUE"] == 7
    assert types.size("outer") == 64


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "shorter than a BTF header"),
        (bytes(24), "is not BTF"),
        (kernel().bytes()[:40], "shorter than its header says"),
        (
            struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 1)
            + struct.pack("=III", 0, 31 << 24, 0) + b"\0",
            "unknown kind",
        ),
    ],
)  # fmt: skip
def test_damaged_bytes_are_refused(data, complaint):
    with pytest.raises(BtfError, match=complaint):
        Btf(data)


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_this_machines_kernel_is_understood():
    types = Types()
    assert types.field("sk_buff", "head").size == 8
    assert types.field("net", "ns.inum").size == 4
    assert types.field("sock", "__sk_common.skc_net").size == 8
    assert "skb" in types.parameters("ip_local_deliver")
    assert "SKB_DROP_REASON_NOT_SPECIFIED" in types.enumeration("skb_drop_reason")


@pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")
def test_offsets_agree_with_bpftool(tmp_path):
    try:
        command = ["bpftool", "btf", "dump", "file", str(VMLINUX), "format", "raw"]
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no bpftool")
    block = dump.split("STRUCT 'net_device' ", 1)[1].split("\n[", 1)[0]
    member = next(line for line in block.splitlines() if "'ifindex'" in line)
    assert f"bits_offset={Types().field('net_device', 'ifindex').offset_bits}" in member
