"""Recordings on the disk: whole up to where they end, in as many files as asked for."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.builders import at, batch, record
from tests.tracer.diagnosis import story
from tests.tracer.recording.stories import (
    HOME,
    VIP,
    lines_of,
    mapping_told,
    opened,
    recorder,
    replayed,
    run,
    sniffed,
    tcp,
)
from tracer.capture_file.blocks import options
from tracer.errors import InputError
from tracer.events import EventBatch, Flag, Hook
from tracer.filters import parse
from tracer.pipeline import Pipeline
from tracer.recording.files import Limits, RecordingFiles

ANSWERED = Flag.DST_NAT | Flag.REPLIED
CLIENT = f"{story.CLIENT}:4000"
BACKEND = f"{story.POD_THERE}:8080"
STATES = [
    ("node", story.node_state(), at(0)),
    ("cluster", story.cluster(story.service(), endpoints=(story.THERE,)), at(0)),
]


def syn(seconds: float, **more):
    return "batch", sniffed((seconds, tcp(CLIENT, VIP, 2)), until=seconds, **more), 0


def tick(seconds: float):
    return "batch", batch(until=seconds), 0


def inputs_of(path) -> list[object]:
    source = opened(path)
    source.open()
    found = []
    while (item := source.read(0)) is not None:
        found.append(item)
    source.close()
    return found


def comments_in(path) -> list[str]:
    """The comment of each packet, empty where there is none."""
    raw, at_byte, found = path.read_bytes(), 0, []
    while at_byte < len(raw):
        kind, length = np.frombuffer(raw, "<u4", 2, at_byte).tolist()
        if kind == 6:
            captured = int(np.frombuffer(raw, "<u4", 1, at_byte + 20)[0])
            said = raw[at_byte + 28 + (captured + 3 & ~3) : at_byte + length - 4]
            found.append(dict(options(said, "<")).get(1, b"").decode())
        at_byte += length
    return found


def test_the_first_packet_says_how_its_flow_was_translated(tmp_path):
    path = tmp_path / "run.pcapng"
    again = sniffed((0.3, tcp(CLIENT, VIP, 2)), until=0.3)
    told = [*STATES, syn(0.1), mapping_told(0.2, CLIENT, VIP), ("batch", again, 0), tick(1)]
    run(told, recorder(path))
    assert comments_in(path) == [
        f"{CLIENT} → {VIP} (default/web:http ClusterIP) → {BACKEND} "
        f"(default/pod-{story.POD_THERE}), by iptables",
        "",
    ]


def test_a_finding_stands_at_a_packet_of_its_flow(tmp_path):
    path = tmp_path / "run.pcapng"
    other = sniffed((4.1, tcp("10.9.9.9:1", "10.9.9.8:2", 2)), until=4.1)
    healthy = [(0.1, tcp("10.1.1.1:1", VIP, 2)), (0.11, tcp(VIP, "10.1.1.1:1", 18))]
    told = [
        *(*STATES, ("batch", sniffed(*healthy, until=0.15), 0), syn(0.2)),
        *(
            mapping_told(0.25, CLIENT, VIP),
            tick(1),
            tick(4),
            ("batch", other, 0),
            syn(4.2),
            tick(5),
        ),
    ]
    pipeline = run(told, recorder(path))
    assert [finding.cause for finding in pipeline.findings.open()] == ["unanswered-unexplained"]
    *others, last = comments_in(path)
    assert "unanswered" not in "".join(others)
    assert last.startswith("INFO unanswered-unexplained: ")


def test_texts_from_tenants_cannot_act_in_a_comment(tmp_path):
    path = tmp_path / "run.pcapng"
    evil = story.cluster(story.service(name="web\x1b[2J\n\u202e"), endpoints=())
    told = [("cluster", evil, at(0)), syn(0.1), mapping_told(0.2, CLIENT, VIP), tick(1)]
    run(told, recorder(path))
    assert "web\\x1b[2J\\x0a\\u202e" in comments_in(path)[0]


def test_what_the_kernel_refused_stands_between_the_packets(tmp_path):
    path = tmp_path / "run.pcapng"
    dropped = record(
        Hook.DROP, 0.2, CLIENT, VIP, netns=HOME, reason=story.NETFILTER, detail=story.IN_NFT
    )
    flood = [record(Hook.RST_SENT, 0.3, CLIENT, VIP)] * 70
    told = [syn(0.1), ("batch", batch(dropped, until=0.2, texts=story.TEXTS), 0)]
    run([*told, ("batch", batch(*flood, until=0.3), 0), tick(1)], recorder(path))
    raw = path.read_bytes().decode("utf-8", "replace")
    where = f"tcp {CLIENT} → {VIP}"
    assert f"MESSAGE=dropped: {where}: NETFILTER_DROP at nft_do_chain+0x1c2\n" in raw
    assert raw.count(f"MESSAGE=refused by reset: {where}\n") == 64
    assert "MESSAGE=and 6 more refusals or drops\n" in raw
    assert f"__REALTIME_TIMESTAMP={at(0.2) // 1000}\n" in raw
    assert sum(len(i.records) for i in inputs_of(path) if isinstance(i, EventBatch)) == 72


def test_inputs_come_back_as_they_were(tmp_path):
    path = tmp_path / "run.pcapng"
    kernel = mapping_told(0.2, CLIENT, VIP)
    told = [*STATES, syn(0.1, interfaces={2: "lo"}), kernel, tick(0.3), tick(0.4)]
    run(told, recorder(path))
    node, cluster, packets, mapped, *ticks = inputs_of(path)
    assert (node.state, node.at_ns) == STATES[0][1:]
    assert (cluster.state, cluster.at_ns) == STATES[1][1:]
    assert packets.packets.packet(0) == tcp(CLIENT, VIP, 2)
    assert packets.interfaces == {2: "lo"}
    assert mapped.records.tobytes() == kernel[1].records.tobytes()
    assert [each.until_ns for each in ticks] == [at(0.3), at(0.4)]


def test_a_filter_keeps_whole_flows_and_no_others(tmp_path):
    path = tmp_path / "run.pcapng"
    other = sniffed((0.3, tcp("10.9.9.9:1", "10.9.9.8:2", 2)), until=0.3)
    told = [*STATES, syn(0.1), mapping_told(0.2, CLIENT, VIP), ("batch", other, 0)]
    told += [mapping_told(0.4, "10.1.1.1:1", "10.1.1.2:80"), tick(2)]
    run(told, recorder(path, chosen=parse("service=default/web")))
    found = [item for item in inputs_of(path) if isinstance(item, EventBatch)]
    assert [len(item.records) for item in found] == [1, 1, 0, 0, 0]
    assert found[0].packets.packet(0) == tcp(CLIENT, VIP, 2)
    assert len(replayed(opened(path))) == 1


def test_many_records_are_split_into_blocks_and_joined_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.recording.envelope._PART_BYTES", 300)
    path = tmp_path / "run.pcapng"
    kernel = [mapping_told(n / 100, f"{story.CLIENT}:{n}", VIP)[1].records for n in range(1, 40)]
    told = [*STATES, ("batch", batch(*kernel, until=1), 0)]
    live = lines_of(told, recorder(path))
    assert len(live) == 39
    assert replayed(opened(path)) == live


def test_rotation_by_size_and_by_time(tmp_path):
    told = [*STATES, *(syn(n) for n in range(1, 20))]
    run(told, recorder(tmp_path / "size.pcapng", Limits(rotate_bytes=2500)))
    run(told, recorder(tmp_path / "time.pcapng", Limits(rotate_ns=5 * 10**9)))
    sizes = [path.stat().st_size for path in tmp_path.glob("size-*.pcapng")]
    assert len(sizes) >= 3
    assert max(sizes) < 5000
    assert len(list(tmp_path.glob("time-*.pcapng"))) == 4
    assert (tmp_path / "time-00001.pcapng").exists()


def test_each_file_stands_alone(tmp_path):
    told = [
        *STATES,
        mapping_told(0.2, CLIENT, VIP, flags=ANSWERED),
        *(tick(n) for n in range(1, 9)),
    ]
    answer = sniffed((9, tcp(VIP, CLIENT, 18)), until=9, interfaces={})
    told.insert(2, syn(0.1, interfaces={2: "eth9"}))
    run([*told, ("batch", answer, 0)], recorder(tmp_path / "r.pcapng", Limits(rotate_ns=2 * 10**9)))
    last = sorted(tmp_path.iterdir())[-1]
    lines = replayed(opened(last))
    assert b'"name":"web"' in lines[0]
    assert b'"backend":{"ip":"10.10.2.3","port":8080,"name":"default/pod-10.10.2.3"}' in lines[0]
    assert b"eth9" in last.read_bytes()
    assert b"default/web\0" in last.read_bytes()


def test_only_the_newest_files_stay(tmp_path):
    told = [*STATES, *(syn(n) for n in range(1, 20))]
    run(told, recorder(tmp_path / "run.pcapng", Limits(rotate_ns=2 * 10**9, keep=2)))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "run-00009.pcapng",
        "run-00010.pcapng",
    ]


@contextmanager
def full_after(count: int):
    """No file of this process may grow beyond so many bytes, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_ends_the_recording_and_not_the_run(tmp_path):
    path = tmp_path / "run.pcapng"
    told = [*STATES, *(syn(n) for n in range(1, 40))]
    sink = recorder(path)
    with full_after(6001):
        pipeline = run(told, sink)
    assert pipeline.packets == 39
    (problem,) = sink.problems()
    assert "run.pcapng has stopped: " in str(problem)
    assert "records after that are not in it" in str(problem)
    assert sink.failed
    assert sink.missed > 10
    found = [item for item in inputs_of(path) if isinstance(item, EventBatch)]
    assert sum(len(item.records) for item in found) + sink.missed == 39
    assert sum(item.damaged for item in found) == 0


def test_a_recording_ends_at_the_size_allowed(tmp_path):
    path = tmp_path / "run.pcapng"
    said = []
    sink = recorder(path, Limits(max_bytes=5000), say=said.append)
    run([*STATES, *(syn(n) for n in range(1, 40))], sink)
    assert path.stat().st_size <= 5000
    assert "size allowed" in said[0].why
    assert not sink.failed


def test_a_file_that_cannot_be_written_is_an_error_at_once(tmp_path):
    with pytest.raises(InputError, match="Cannot record to"):
        recorder(tmp_path / "none" / "run.pcapng").start()
    with pytest.raises(InputError, match="cannot be rotated"):
        RecordingFiles(Path("-"), Limits(rotate_bytes=1))


def test_what_is_held_back_is_less_than_a_second(tmp_path):
    path = tmp_path / "run.pcapng"
    sink, pipeline = recorder(path), Pipeline(home_netns=HOME)
    sink.start()
    for n in range(50):
        sink.write(pipeline, pipeline.feed(syn(n / 10)[1]))
        found = [i for i in inputs_of(path) if isinstance(i, EventBatch) and len(i.records)]
        behind = n / 10 - (found[-1].until_ns - at(0)) / 1e9 if found else n / 10
        assert behind < 0.5
    sink.close(pipeline, {})


def test_a_recording_streams_to_standard_output(tmp_path, capfdbinary):
    run([*STATES, syn(1)], recorder(Path("-")))
    (tmp_path / "run.pcapng").write_bytes(capfdbinary.readouterr().out)
    assert len(inputs_of(tmp_path / "run.pcapng")) == 3


def test_damaged_blocks_are_counted_and_passed_over(tmp_path):
    path = tmp_path / "run.pcapng"
    told = [*STATES, *(mapping_told(n, f"{story.CLIENT}:{n}", VIP) for n in range(1, 9))]
    run(told, recorder(path))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 + len(raw) // 4] ^= 0xFF
    path.write_bytes(raw)
    found = [item for item in inputs_of(path) if isinstance(item, EventBatch)]
    assert sum(len(item.records) for item in found) >= 6
    assert sum(item.damaged for item in found) >= 1
