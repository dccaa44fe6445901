"""The loader attaches in order, opens the gate last, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import struct
import sys
import types

import pytest

from probes.errors import ProbeError
from probes.hooks import BY_ID, Kind
from probes.loader import MOST_WATCHED, CompileError, Loader, find_bcc
from tests.probes.roots import kernel_types, make_root


class FakeModule:
    """Six methods in place of a compiled module; tells its story in a list."""

    def __init__(self, story, counters=(0, 0, 0)):
        self.story, self.maps, self.blocks, self.counters = story, {}, [], list(counters)

    def load(self, function, kind):
        self.story.append(f"load {function}")
        return 1000

    def update(self, name, key, value):
        self.story.append(f"update {name}")
        self.maps.setdefault(name, {})[key] = value

    def delete(self, name, key):
        self.maps[name].pop(key)

    def lookup(self, name, key, size):
        if name == "counters":
            return struct.pack("=Q", self.counters[struct.unpack("=I", key)[0]]) + bytes(size - 8)
        return self.maps.get(name, {}).get(key)

    def open_events(self, ring_bytes):
        self.story.append("open events")

    def drain(self):
        return self.blocks.pop(0) if self.blocks else b""

    def close(self):
        self.story.append("close module")


class Stage:
    """A fake kernel: a root folder, a compiler and a place to attach to."""

    def __init__(self, root):
        self.root, self.story, self.modules, self.links = root, [], [], {}
        self.refuse, self.compile_errors = {}, 0

    def compile(self, text):
        if self.compile_errors:
            self.compile_errors -= 1
            raise CompileError("the probes do not compile", "line 1")
        self.story.append("compile")
        self.modules.append(FakeModule(self.story))
        return self.modules[-1]

    def attach(self, planned, program):
        if planned.hook.id in self.refuse:
            raise OSError(self.refuse[planned.hook.id], "refused")
        self.story.append(f"attach {planned.hook.id}")
        fd = os.open("/dev/null", os.O_RDONLY)
        self.links[planned.hook.id] = fd
        return fd

    def loader(self, **choices):
        return Loader(root=self.root, compile_text=self.compile, attach=self.attach, **choices)

    def open_links(self):
        found = set()
        for hook, fd in self.links.items():
            try:
                os.fstat(fd)
                found.add(hook)
            except OSError:
                continue
        return found


@pytest.fixture
def stage(tmp_path):
    return Stage(make_root(tmp_path, "6.1", kernel_types(), skip=("ip_vs",)))


def settings(module):
    return struct.unpack("=IIII", module.maps["settings"][bytes(4)])[:3]


def test_everything_is_attached_before_the_gate_opens(stage):
    loader = stage.loader()
    loader.open()
    places = {step: number for number, step in enumerate(stage.story)}
    assert places["compile"] < places["open events"] < places["attach conntrack-confirmed"]
    assert places["attach conntrack-confirmed"] < places["attach conntrack-new"]
    assert stage.story[-1] == "update settings"
    assert settings(stage.modules[0]) == (1, 1, 1)
    loader.close()


def test_closing_twice_detaches_all_once(stage):
    loader = stage.loader()
    loader.open()
    assert "drop" in stage.open_links()
    loader.close()
    loader.close()
    assert stage.open_links() == set()
    assert stage.story.count("close module") == 1


def test_only_decisions_are_attached_unless_deep(stage):
    loader = stage.loader()
    loader.open()
    assert all(BY_ID[hook].cost.name == "DECISION" for hook in stage.links)
    loader.close()
    deep = stage.loader(deep=True)
    deep.open()
    assert {"hook", "hook-verdict", "local-in"} <= stage.open_links()
    deep.close()


def test_one_refused_hook_is_reported_and_the_others_work(stage):
    stage.refuse = {"icmp-sent": errno.ENOENT}
    loader = stage.loader()
    loader.open()
    states = {state.id: state for state in loader.report().hooks}
    assert states["icmp-sent"].problem == "the kernel does not let __icmp_send be probed"
    assert states["drop"].symbol == "kfree_skb"
    assert states["ipvs-new"].problem.startswith("not in IPVS mode")
    assert loader.report().way == "types from BTF, no kernel headers"
    loader.close()


def test_an_entry_probe_without_its_return_probe_is_taken_off_again(stage):
    stage.refuse = {"conntrack-confirmed": errno.ENOMEM}
    loader = stage.loader()
    loader.open()
    assert "conntrack-new" not in stage.open_links()
    states = {state.id: state for state in loader.report().hooks}
    assert "useless without conntrack-confirmed" in states["conntrack-new"].problem
    loader.close()


def test_when_nothing_attaches_nothing_stays(stage):
    stage.refuse = dict.fromkeys(BY_ID, errno.EPERM)
    loader = stage.loader()
    with pytest.raises(ProbeError, match="no probe could be attached") as caught:
        loader.open()
    assert "no permission" in caught.value.why
    assert stage.story[-1] == "close module"


def test_tracepoints_alone_are_no_tracing(stage):
    functions = [hook.id for hook in BY_ID.values() if hook.kind is not Kind.RAW_TRACEPOINT]
    stage.refuse = dict.fromkeys(functions, errno.EACCES)
    with pytest.raises(ProbeError, match="no probe could be attached"):
        stage.loader().open()
    assert stage.open_links() == set()


def test_an_unexpected_error_detaches_what_was_attached(stage, monkeypatch):
    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(FakeModule, "update", fail)
    with pytest.raises(RuntimeError):
        stage.loader().open()
    assert stage.links
    assert stage.open_links() == set()


def test_headers_serve_when_the_synthetic_tree_does_not(stage):
    release = os.uname().release
    (stage.root / "lib/modules" / release / "build/include").mkdir(parents=True)
    stage.compile_errors = 1
    loader = stage.loader()
    loader.open()
    assert loader.report().way.startswith("kernel headers in ")
    assert "line 1" in loader.report().way
    loader.close()


def test_without_btf_and_headers_there_is_one_clear_error(stage):
    (stage.root / "sys/kernel/btf/vmlinux").unlink()
    with pytest.raises(ProbeError, match="cannot be compiled") as caught:
        stage.loader().open()
    assert "no BTF" in caught.value.why
    assert "headers" in caught.value.why


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("proc/self/status", "CapEff:\t0\n", "no privilege"),
        ("sys/kernel/security/lockdown", "none [confidentiality]\n", "forbids probing"),
        ("sys/bus/event_source/devices/kprobe/type", None, "no kprobes"),
    ],
)
def test_what_makes_probing_impossible_is_said_before_compiling(stage, path, text, what):
    (stage.root / path).unlink() if text is None else (stage.root / path).write_text(text)
    with pytest.raises(ProbeError, match=what) as caught:
        stage.loader().open()
    assert caught.value.remedy
    assert stage.story == []


def test_watched_prefixes_and_namespaces_reach_the_maps(stage):
    loader = stage.loader()
    loader.set_netns([42])
    loader.set_watched([(b"\x01" * 16, 128)])
    loader.open()
    module = stage.modules[0]
    assert settings(module) == (1, 0, 0)
    assert list(module.maps["namespaces"]) == [struct.pack("=I", 42)]
    loader.set_watched([(b"\x02" * 16, 112)])
    assert list(module.maps["watched"]) == [struct.pack("=I", 112) + b"\x02" * 16]
    loader.set_watched(None)
    assert settings(module) == (1, 1, 0)
    loader.close()


def test_more_prefixes_than_the_map_holds_watch_everything(stage):
    loader = stage.loader()
    loader.set_watched((number.to_bytes(16, "big"), 128) for number in range(MOST_WATCHED + 1))
    loader.open()
    assert settings(stage.modules[0]) == (1, 1, 1)
    loader.close()


def test_arming_compiles_the_per_packet_probes_and_keeps_what_was_recorded(stage):
    loader = stage.loader()
    loader.open()
    stage.modules[0].blocks = [b"left over"]
    stage.modules[0].counters[0] = 3
    loader.arm(["local-in"])
    assert len(stage.modules) == 2
    assert "local-in" in stage.open_links()
    assert loader.drain() == b"left over"
    assert loader.lost() == 3
    loader.disarm(["local-in"])
    assert "local-in" not in stage.open_links()
    loader.arm(["forward", "local-in"])
    assert len(stage.modules) == 2
    loader.close()


def test_loss_is_told_once(stage):
    loader = stage.loader()
    loader.open()
    stage.modules[0].counters[:2] = [5, 2]
    assert [loader.lost(), loader.lost()] == [7, 0]
    stage.modules[0].counters[0] = 6
    assert loader.lost() == 1
    loader.close()


def test_a_module_that_loads_later_brings_its_hooks(stage):
    loader = stage.loader()
    loader.open()
    assert loader.retry_missing() == []
    with (stage.root / "proc/kallsyms").open("a") as symbols:
        symbols.write("ffffffffc0000000 T ip_vs_leave\t[ip_vs]\n")
    (stage.root / "sys/module/ip_vs").mkdir()
    assert loader.retry_missing() == ["ipvs-no-destination"]
    assert loader.retry_missing() == []
    loader.close()


def test_the_other_bcc_of_pypi_is_not_taken_for_bcc(tmp_path, monkeypatch):
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc/__init__.py").write_text("BPF = 'the real one'\n")
    monkeypatch.setitem(sys.modules, "bcc", types.ModuleType("bcc"))
    before = list(sys.path)
    assert find_bcc([str(tmp_path)]).BPF == "the real one"
    assert sys.path == before


def test_no_bcc_at_all_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bcc", types.ModuleType("bcc"))
    with pytest.raises(ProbeError, match="bcc is not installed") as caught:
        find_bcc([str(tmp_path)])
    assert "python3-bpfcc" in caught.value.remedy


def test_raw_tracepoints_are_loaded_as_such():
    assert BY_ID["drop"].kind is Kind.RAW_TRACEPOINT
