"""Runs to record: kernel records, packets with their bytes, states, in any interleaving."""

from __future__ import annotations

import io
from struct import pack

import numpy as np
from hypothesis import strategies as st

from tests.builders import at, batch, mapping, record
from tests.tracer.diagnosis import story
from tracer.address import parse
from tracer.capture_file import CaptureStream
from tracer.events import EventBatch, Flag, Hook, Loss, Origin, PacketBytes
from tracer.packets import decode
from tracer.pipeline import Pipeline
from tracer.recording import Header
from tracer.recording.files import Limits, RecordingFiles
from tracer.session import Session
from tracer.sinks.jsonl import JsonLines
from tracer.sinks.record import RecordSink
from tracer.sources.recording import RecordingSource

HOME = 4026531840
ONE_FILE = Limits()
VIP = f"{story.VIP}:80"
BACKENDS = (f"{story.POD_HERE}:8080", f"{story.POD_THERE}:8080")
CLUSTERS = (
    story.cluster(story.service(), endpoints=(story.HERE, story.THERE)),
    story.cluster(story.service(), endpoints=(story.THERE,)),
    story.cluster(story.service()),
)
NODES = (
    story.node_state(),
    story.node_state(story.MASTER_2, mode="ipvs"),
    story.node_state(mode="nftables"),
)


def tcp(src: str, dst: str, flags: int, payload: bytes = b"") -> bytes:
    """An IPv4 TCP packet, as LINKTYPE_RAW holds it."""
    ends = []
    for text in (src, dst):
        host, _, port = text.rpartition(":")
        ends.append((parse(host)[12:], int(port)))
    head = pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 7, 0, 64, 6, 0xBEEF)
    transport = pack(">HHIIBBHHH", ends[0][1], ends[1][1], 1000, 0, 0x50, flags, 512, 0xBEEF, 0)
    return head + ends[0][0] + ends[1][0] + transport + payload


def sniffed(*packets: tuple[float, bytes], until: float, ifindex: int = 2, **more) -> EventBatch:
    """A batch of packets, decoded as a live one is."""
    raw = [data for _, data in packets]
    lengths = np.array([len(data) for data in raw], dtype=np.int64)
    held = PacketBytes(
        np.frombuffer(b"".join(raw), dtype=np.uint8),
        np.r_[0, np.cumsum(lengths)].astype(np.int64),
        lengths.astype(np.uint32),
        np.full(len(raw), 101, dtype=np.uint16),
    )
    times = np.array([at(seconds) for seconds, _ in packets], dtype=np.int64)
    indexes = np.full(len(raw), ifindex, dtype=np.uint32)
    records, _ = decode(held, times, indexes, HOME)
    return EventBatch(records, Origin.PACKETS, at(until), packets=held, **more)


def mapping_told(seconds: float, client: str, virtual: str, **fields) -> tuple[str, object, int]:
    """A step with one mapping to a pod on another node."""
    made = mapping(seconds, client, virtual, BACKENDS[1], netns=HOME, **fields)
    return "batch", batch(made, until=seconds), 0


@st.composite
def steps(draw):
    """What a run is fed, in order; time goes on by up to some seconds a step."""
    made, now, told = [], 0.0, {}
    made.append(("node", draw(st.sampled_from(NODES)), at(0)))
    made.append(("cluster", draw(st.sampled_from(CLUSTERS)), at(0)))
    for _ in range(draw(st.integers(0, 25))):
        now += draw(st.sampled_from([0.0, 0.001, 0.1, 0.6, 2.0]))
        kind = draw(st.sampled_from(["kernel", "packets", "packets", "tick", "state", "drop"]))
        seconds = max(0.0, now - draw(st.sampled_from([0.0, 0.05, 0.3])))
        client = f"{story.CLIENT}:{draw(st.integers(40000, 40005))}"
        backend = draw(st.sampled_from(BACKENDS))
        lost = Loss(kernel=draw(st.sampled_from([0, 0, 0, 3])))
        if kind == "state":
            which, among = draw(st.sampled_from([("node", NODES), ("cluster", CLUSTERS)]))
            made.append((which, draw(st.sampled_from(among)), at(now)))
        elif kind == "tick":
            made.append(("batch", batch(until=now, lost=lost), 0))
        elif kind == "drop":
            dropped = record(
                Hook.DROP,
                seconds,
                client,
                VIP,
                netns=HOME,
                reason=story.NETFILTER,
                detail=story.IN_NFT,
            )
            made.append(("batch", batch(dropped, until=now, texts=story.TEXTS), 0))
        elif kind == "kernel":
            hook = draw(st.sampled_from([Hook.CT_NEW, Hook.CT_NEW, Hook.CT_END]))
            flags = draw(st.sampled_from([Flag.DST_NAT, Flag.DST_NAT | Flag.REPLIED]))
            mapped = mapping(seconds, client, VIP, backend, hook=hook, flags=flags, netns=HOME)
            made.append(("batch", batch(mapped, until=now, lost=lost), 0))
        else:
            flags = draw(st.sampled_from([2, 18, 20, 17]))
            ends = (
                (client, VIP)
                if flags == 2
                else draw(st.sampled_from([(VIP, client), (backend, client)]))
            )
            size = draw(st.sampled_from([0, 200]))
            names = {} if told.get(2) else {2: "eth0"}
            told[2] = True
            packets = [(seconds, tcp(*ends, flags, bytes(range(size))))] * draw(st.integers(1, 2))
            made.append(("batch", sniffed(*packets, until=now, interfaces=names), 0))
    return made


def run(told, *sinks, several_clocks: bool = False) -> Pipeline:
    """Feed a story to a pipeline and its sinks."""
    pipeline = Pipeline(home_netns=HOME, several_clocks=several_clocks)
    for kind, what, at_ns in told:
        if kind == "batch":
            update = pipeline.feed(what)
        elif kind == "node":
            update = pipeline.set_node(what, at_ns)
        else:
            update = pipeline.set_cluster(what, at_ns)
        for sink in sinks:
            sink.write(pipeline, update)
    update = pipeline.finish()
    for sink in sinks:
        sink.write(pipeline, update)
    for sink in sinks:
        sink.close(pipeline, {})
    return pipeline


def recorder(path, limits: Limits = ONE_FILE, privacy=None, say=None, chosen=None) -> RecordSink:
    files = RecordingFiles(path, limits)
    return RecordSink(files, lambda: Header(home_netns=HOME), privacy, say, chosen)


def lines_of(told, *sinks, several_clocks: bool = False) -> list[bytes]:
    """All lines that a live run prints, its summary left out."""
    out = io.BytesIO()
    run(told, JsonLines(out), *sinks, several_clocks=several_clocks)
    return out.getvalue().splitlines()[:-1]


def replayed(source, several_clocks: bool = False) -> list[bytes]:
    """All lines that a replay prints, its summary left out."""
    out = io.BytesIO()
    source.open()
    pipeline = Pipeline(home_netns=HOME, several_clocks=several_clocks)
    Session([source], pipeline, [JsonLines(out)], live=False).run()
    return out.getvalue().splitlines()[:-1]


def opened(path) -> RecordingSource:
    return RecordingSource(CaptureStream(path))
