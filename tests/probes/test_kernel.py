"""What a kernel has is read from files below a root, and told in sentences."""

from __future__ import annotations

import pytest

from probes import syscalls
from probes.kernel import Kernel
from tests.probes.roots import kernel_types, make_root


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path, "6.1", kernel_types())


def test_symbols_and_modules(root):
    kernel = Kernel(root)
    assert {"ip_vs_leave", "__icmp_send"} <= kernel.symbols
    assert "ip_vs" in kernel.modules
    assert "ip_vs" in kernel.modules_seen


def test_an_address_is_located_in_its_function(root):
    kernel = Kernel(root)
    assert kernel.locate(0xFFFFFFFF81000042) == "__icmp_send"
    assert kernel.locate(0xFFFFFFFF81000100) == "icmp6_send"
    assert kernel.locate(0) == "0x0"
    assert kernel.locate(0x1000) == "0x1000"


def test_a_function_has_an_address(root):
    assert Kernel(root).address("icmp6_send") == 0xFFFFFFFF81000100
    assert Kernel(root).address("nothing") == 0


def test_drop_reasons_have_the_kernels_own_numbers(root):
    assert Kernel(root).drop_reasons == {7: "NETFILTER_DROP", 3: "NO_SOCKET"}


def test_a_complete_kernel_has_no_problems(root):
    assert Kernel(root).problems() == []


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        ("proc/self/status", "CapEff:\t0000000000000000\n", "no privilege to probe"),
        ("sys/kernel/security/lockdown", "none [confidentiality]\n", "kernel lockdown"),
        ("sys/kernel/btf/vmlinux", "nonsense" * 9, "BTF cannot be understood"),
    ],
)
def test_each_lack_is_one_sentence(root, path, text, sentence):
    (root / path).write_text(text)
    problems = Kernel(root).problems()
    assert len(problems) == 1
    assert sentence in problems[0]


def test_missing_files_are_lacks_too(root):
    (root / "sys/bus/event_source/devices/kprobe/type").unlink()
    (root / "sys/kernel/btf/vmlinux").unlink()
    assert Kernel(root).problems() == [
        "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)",
        "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)",
    ]


@pytest.mark.parametrize(
    ("bits", "paranoia", "opens", "lacking"),
    [
        ((21,), "3", False, ""),
        ((38, 39), "2", False, ""),
        ((38, 39), "3", True, ""),
        ((38, 39), "3", False, "CAP_SYS_ADMIN, or kernel.perf_event_paranoid=2 instead of 3"),
        ((38,), "2", True, "CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON"),
        ((39,), "2", True, "CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON"),
    ],
)
def test_which_rights_are_enough_depends_on_the_kernels_paranoia(
    root, monkeypatch, bits, paranoia, opens, lacking
):
    monkeypatch.setattr(syscalls, "may_open_events", lambda: opens)
    held = sum(1 << bit for bit in bits)
    (root / "proc/self/status").write_text(f"CapEff:\t{held:016x}\n")
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/perf_event_paranoid").write_text(f"{paranoia}\n")
    assert Kernel(root).lacking_right() == lacking


def test_a_kernel_without_the_setting_is_as_upstream_has_it(root):
    assert Kernel(root).paranoia() == 2


def test_build_options(root):
    (root / "boot").mkdir()
    (root / "boot/config-6.1").write_text("# CONFIG_X is not set\nCONFIG_IP_VS=m\n")
    assert Kernel(root, "6.1").config == {"CONFIG_IP_VS": "m"}
