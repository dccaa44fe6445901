"""Made-up traffic of a cluster with its truth: flows, their packets, and who sees each.

Pods reach Services through one node: a packet is seen on the client's veth pair and the
bridge under its first tuple, on the way out under the tuple after translation, and with
some flows once more behind a second translation. Everything is columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracer.events import Protocol, TcpFlag

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
MAX_LEGS = 3
_NAMES = ("veth0", "veth1", "veth2", "veth3", "cni0", "eth0", "eth1", "wan0")
INTERFACES = dict(enumerate(_NAMES, start=1))
_VETHS, _BRIDGE, _UPLINKS, _FAR = 4, 5, (6, 7), 8
_HOP_NS = 20_000
_MAPPED = 0xFFFF0000

TUPLE = np.dtype(
    [("src", "<u8", (2,)), ("dst", "<u8", (2,)), ("src_port", "<u2"), ("dst_port", "<u2")]
)
FLOW_TRUTH = np.dtype(
    [
        ("first_ns", "<i8"),
        ("legs", TUPLE, (MAX_LEGS,)),  # in the client's direction
        ("leg_count", "u1"),  # 1 is not translated
        ("protocol", "u1"),
        ("family", "u1"),
        ("fate", "u1"),
        ("sequence", "<u4"),  # first sequence number of a TCP client
        ("ttl", "u1"),
        ("timestamps", "?"),
        ("numbered", "?"),  # IPv4 identifications are not zero
        ("veth", "u1"),
        ("uplink", "u1"),
        ("bridged", "?"),
        ("alike", "?"),
    ]
)
"""What really happened; ``write`` in captures.py stores it beside the capture."""

SIGHTING = np.dtype(
    [
        ("time_ns", "<i8"),
        ("flow", "<u4"),
        ("message", "<u4"),
        ("leg", "u1"),
        ("ifindex", "u1"),
        ("ttl", "u1"),
    ]
)

Flows = npt.NDArray[np.void]
Messages = npt.NDArray[np.void]
Sightings = npt.NDArray[np.void]

ANSWERED, LOST_BEFORE, UNANSWERED, LOST_BACK = range(4)
"""Fates: answered; never seen translated; seen and not answered; the answer not seen back."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the traffic is like; shares are of flows."""

    connections: int = 50_000
    """TCP; half as many exchanges of UDP and a few of ICMP come on top."""
    seconds: float = 60.0
    seed: int = 1
    source_translated: float = 0.4
    version_6: float = 0.1
    direct: float = 0.1
    """Not translated at all."""
    outside: float = 0.0
    """From any of four million addresses outside the cluster; the others from 2,000 pods."""
    chained: float = 0.05
    """Translated twice."""
    unanswered: float = 0.02
    bridged: float = 0.5
    rounds: int = 4
    """Questions and answers of a TCP connection at most."""
    unnumbered: float = 0.3
    """IPv4 identification 0, as Linux often sends it."""
    untimed: float = 0.2
    """Without TCP timestamps."""
    reused: float = 0.0
    """Client ports that a second connection takes, to another backend."""
    duplicated: float = 0.0
    """Sights recorded once more on another interface."""
    alike: float = 0.0
    """Of UDP: senders of the same bytes at the same times, answered with the same bytes."""
    lost: float = 0.0
    """Sights that the capture missed."""
    skew_ns: int = 0
    """How far the clocks of two interfaces are apart at most."""
    jitter_ns: int = 0
    """How late a sight may be stamped."""


MESSAGE = np.dtype(
    [
        ("flow", "<u4"),
        ("time_ns", "<i8"),
        ("answer", "?"),
        ("flags", "u1"),
        ("seq", "<u4"),
        ("ack", "<u4"),
        ("size", "<u2"),
        ("ip_id", "<u2"),
        ("content", "<u8"),
    ]
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Flows, the packets they are made of, and where each was seen, in order of time."""

    flows: Flows
    messages: Messages
    sightings: Sightings


def traffic(recipe: Recipe) -> Traffic:
    """Make traffic; equal recipes make equal traffic."""
    random = np.random.default_rng(recipe.seed)
    flows = _flows(recipe, random)
    messages = _messages(recipe, flows, random)
    return Traffic(flows, messages, _sightings(recipe, flows, messages, random))


def _flows(recipe: Recipe, random: np.random.Generator) -> Flows:
    count = recipe.connections
    protocols = np.repeat(
        [Protocol.TCP, Protocol.UDP, Protocol.ICMP], [count, count // 2, max(1, count // 50)]
    )
    flows = np.zeros(protocols.size, dtype=FLOW_TRUTH)
    flows["first_ns"] = START_NS + random.integers(0, int(recipe.seconds * SECOND), flows.size)
    flows["family"] = np.where(random.random(flows.size) < recipe.version_6, 10, 2)
    echo6 = (protocols == Protocol.ICMP) & (flows["family"] == 10)
    flows["protocol"] = np.where(echo6, Protocol.ICMPV6, protocols)
    flows["sequence"] = random.integers(1, 1 << 32, flows.size, dtype=np.uint32)
    flows["ttl"] = random.choice([64, 64, 64, 128], flows.size)
    flows["timestamps"] = random.random(flows.size) >= recipe.untimed
    flows["numbered"] = random.random(flows.size) >= recipe.unnumbered
    flows["veth"] = random.integers(1, _VETHS + 1, flows.size)
    flows["uplink"] = random.choice(_UPLINKS, flows.size)
    flows["bridged"] = random.random(flows.size) < recipe.bridged
    bad = random.random(flows.size) < recipe.unanswered
    flows["fate"] = np.where(bad, random.integers(LOST_BEFORE, LOST_BACK + 1, flows.size), ANSWERED)
    flows["alike"] = (protocols == Protocol.UDP) & (random.random(flows.size) < recipe.alike)
    together = flows["first_ns"] - flows["first_ns"] % (SECOND // 5)
    flows["first_ns"] = np.where(flows["alike"], together, flows["first_ns"])
    _address(recipe, flows, random)
    _reuse(recipe, flows, random)
    return flows


def _address(recipe: Recipe, flows: Flows, random: np.random.Generator) -> None:
    """Tuples of every leg: client to Service, then to a pod, then through a second node."""
    legs, count = flows["legs"], flows.size
    chained = random.random(count) < recipe.chained
    flows["leg_count"] = np.where(chained, 3, 2)
    flows["leg_count"][random.random(count) < recipe.direct] = 1
    masked = random.random(count) < recipe.source_translated
    service = random.integers(0, 200, count)
    udp = flows["protocol"] == Protocol.UDP
    kind = np.where(udp, service % 5 // 4, 1 + service % 4)
    port = np.array([53, 31234, 80, 443, 8080], dtype=np.uint16)[kind]
    target = np.array([53, 9376, 8080, 8443, 8080], dtype=np.uint16)[kind]
    client_port = random.integers(32768, 61000, count).astype(np.uint16)
    free_port = random.integers(1024, 65536, count).astype(np.uint16)
    kept = random.random(count) < 0.5
    node_port = np.where(kept, client_port, free_port)
    family = flows["family"]
    legs["src"][:, 0] = _addresses(family, 0x0AF40000, random.integers(1, 2000, count))
    legs["dst"][:, 0] = _addresses(family, 0x0A600000, service + 1)
    backend = random.integers(4000, 5000, count)
    node = _addresses(family, 0xAC120000, 2 + backend % 7)
    for leg, pods in ((1, 0x0AF40000), (2, 0x0AF50000)):
        legs["src"][:, leg] = np.where((masked | (leg == 2))[:, None], node, legs["src"][:, 0])
        legs["src_port"][:, leg] = np.where(masked | (leg == 2), node_port, client_port)
        legs["dst"][:, leg] = _addresses(family, pods, backend)
        legs["dst_port"][:, leg] = target
    legs["src_port"][:, 0], legs["dst_port"][:, 0] = client_port, port
    echo = np.isin(flows["protocol"], (Protocol.ICMP, Protocol.ICMPV6))
    legs["dst_port"][echo] = legs["src_port"][echo]
    if recipe.outside:
        _come_from_outside(recipe, flows, random)


def _come_from_outside(recipe: Recipe, flows: Flows, random: np.random.Generator) -> None:
    """Give some clients addresses that hardly any other has; on every leg that shows them."""
    sources, count = flows["legs"]["src"], flows.size
    chosen = random.random(count) < recipe.outside
    strangers = _addresses(flows["family"], 0x64400000, random.integers(1, 1 << 22, count))
    shown = (sources == sources[:, :1]).all(axis=2) & chosen[:, None]
    sources[shown] = np.broadcast_to(strangers[:, None], sources.shape)[shown]


def _addresses(
    family: npt.NDArray[np.uint8], base: int, number: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Sixteen bytes each, IPv4 mapped; IPv6 carries the same four bytes behind fd00::."""
    four = (base + number).astype(">u4").view("<u4").astype(np.uint64) << np.uint64(32)
    six = np.uint64(0xFD)
    high = np.where(family == 2, np.uint64(0), six)
    low = np.where(family == 2, four | np.uint64(_MAPPED), four)
    return np.stack((high, low), axis=1)


def _reuse(recipe: Recipe, flows: Flows, random: np.random.Generator) -> None:
    """Let some connections take the client tuple of an earlier one, seconds later."""
    fine = np.flatnonzero(
        (flows["protocol"] == Protocol.TCP)
        & (flows["leg_count"] == 2)
        & (flows["fate"] == ANSWERED)
    )
    first = random.permutation(fine)[: int(fine.size * recipe.reused)]
    first, second = first[: first.size // 2], first[first.size // 2 :][: first.size // 2]
    kept = flows["legs"]["dst"][second, 1].copy()
    flows["family"][second] = flows["family"][first]
    for name in ("legs", "veth", "uplink", "bridged"):
        flows[name][second] = flows[name][first]
    same = flows["family"][second] == np.where(kept[:, 0] == 0, 2, 10)
    flows["legs"]["dst"][second[same], 1] = kept[same]
    flows["first_ns"][second] = flows["first_ns"][first] + 2 * SECOND


def _messages(recipe: Recipe, flows: Flows, random: np.random.Generator) -> Messages:
    """Every packet as its sender made it, whoever sees it."""
    answered = (flows["fate"] == ANSWERED) | (flows["fate"] == LOST_BACK)
    tcp = flows["protocol"] == Protocol.TCP
    complete = np.flatnonzero(tcp & (flows["fate"] == ANSWERED))
    parts = [
        *_connections(flows, complete, recipe.rounds, random),
        *_handshakes(flows, np.flatnonzero(tcp & (flows["fate"] != ANSWERED)), random),
        *_exchanges(flows, np.flatnonzero(~tcp & answered), random),
        *_repeated(flows, np.flatnonzero(~tcp & ~answered), random),
    ]
    messages = np.concatenate(parts)
    alike = flows["alike"][messages["flow"]]
    messages["content"][alike], messages["size"][alike] = 1, 40
    quiet = (flows["family"] != 2) | ~flows["numbered"]
    messages["ip_id"][quiet[messages["flow"]]] = 0
    return messages


def _message(
    rows: npt.NDArray[np.intp], times: npt.NDArray[np.int64], random: np.random.Generator
) -> Messages:
    made = np.zeros(rows.size, dtype=MESSAGE)
    made["flow"], made["time_ns"] = rows, times
    made["ip_id"] = random.integers(1, 1 << 16, rows.size)
    made["content"] = random.integers(1, 1 << 63, rows.size)
    return made


_LEAST = 80
"""Bytes of what a connection says: a short HTTP head."""
_ACK, _DATA = TcpFlag.ACK, TcpFlag.ACK | TcpFlag.PSH
_FIN = TcpFlag.ACK | TcpFlag.FIN


def _connections(
    flows: Flows, rows: npt.NDArray[np.intp], rounds: int, random: np.random.Generator
) -> list[Messages]:
    """Handshake, one to four questions and answers, end."""
    script = [(False, TcpFlag.SYN, 0), (True, TcpFlag.SYN | TcpFlag.ACK, 0), (False, _ACK, 0)]
    script += [(False, _DATA, 300), (True, _DATA, 1300), (False, _ACK, 0)] * rounds
    script += [(False, _FIN, 0), (True, _FIN, 0), (False, _ACK, 0)]
    happening = random.integers(1, rounds + 1, rows.size)
    following = [flows["sequence"][rows], random.integers(1, 1 << 32, rows.size, dtype=np.uint32)]
    times, parts = flows["first_ns"][rows], []
    for step, (answer, flags, most) in enumerate(script):
        size = random.integers(_LEAST, most, rows.size).astype(np.uint16) if most else np.uint16(0)
        message = _message(rows, times, random)
        message["answer"], message["flags"], message["size"] = answer, flags, size
        message["seq"] = following[answer]
        message["ack"] = following[not answer] if flags & _ACK else 0
        if flags & TcpFlag.SYN and answer:
            message["ip_id"] = 0
        happens = ((step - 3) // 3 < happening) | (step < 3) | (step >= len(script) - 3)
        parts.append(message[happens])
        grown = size + np.uint32(bool(flags & (TcpFlag.SYN | TcpFlag.FIN)))
        following[answer] = np.where(happens, following[answer] + grown, following[answer])
        times = times + random.integers(200_000, 10_000_000, rows.size)
    return parts


def _handshakes(
    flows: Flows, rows: npt.NDArray[np.intp], random: np.random.Generator
) -> list[Messages]:
    """SYNs after 0, 1, 3 and 7 seconds; an answer that gets lost changes nothing for the client."""
    parts = []
    for wait in (0, 1, 3, 7):
        message = _message(rows, flows["first_ns"][rows] + wait * SECOND, random)
        message["flags"], message["seq"] = TcpFlag.SYN, flows["sequence"][rows]
        parts.append(message)
        back = np.flatnonzero(flows["fate"][rows] == LOST_BACK)
        answer = _message(rows[back], message["time_ns"][back] + 1_000_000, random)
        answer["answer"], answer["flags"], answer["ip_id"] = True, TcpFlag.SYN | _ACK, 0
        answer["seq"] = rows[back] * 7919
        answer["ack"] = flows["sequence"][rows[back]] + np.uint32(1)
        parts.append(answer)
    return parts


def _exchanges(
    flows: Flows, rows: npt.NDArray[np.intp], random: np.random.Generator
) -> list[Messages]:
    """A question and its answer, once or twice."""
    parts, times = [], flows["first_ns"][rows]
    twice = random.random(rows.size) < 0.5
    for step in range(4):
        here = np.ones_like(twice) if step < 2 else twice
        message = _message(rows[here], times[here], random)
        message["answer"] = step % 2 == 1
        message["size"] = random.integers(26, 200, message.size)
        parts.append(message)
        times = times + random.integers(200_000, 10_000_000, rows.size)
    return parts


def _repeated(
    flows: Flows, rows: npt.NDArray[np.intp], random: np.random.Generator
) -> list[Messages]:
    """The same question three times."""
    first = _message(rows, flows["first_ns"][rows], random)
    first["size"] = random.integers(26, 60, rows.size)
    parts = [first]
    for wait in (5, 10):
        again = first.copy()
        again["time_ns"] += wait * SECOND
        again["ip_id"] = random.integers(1, 1 << 16, rows.size)
        parts.append(again)
    return parts


def _sightings(
    recipe: Recipe, flows: Flows, messages: Messages, random: np.random.Generator
) -> Sightings:
    parts = [part for leg in range(MAX_LEGS) for part in _on_leg(flows, messages, leg)]
    seen = np.concatenate(parts)
    again = seen[random.random(seen.size) < recipe.duplicated].copy()
    again["ifindex"] = again["ifindex"] % len(INTERFACES) + 1
    seen = np.concatenate([seen, again])
    seen = seen[random.random(seen.size) >= recipe.lost]
    skew = random.integers(-recipe.skew_ns, recipe.skew_ns + 1, len(INTERFACES) + 1) // 2
    seen["time_ns"] += skew[seen["ifindex"]]
    seen["time_ns"] += random.integers(0, recipe.jitter_ns + 1, seen.size)
    return seen[np.argsort(seen["time_ns"], kind="stable")]


def _on_leg(flows: Flows, messages: Messages, leg: int) -> list[Sightings]:
    """Where messages are seen under one tuple: the first leg on two interfaces."""
    flow = flows[messages["flow"]]
    count, fate, answer = flow["leg_count"], flow["fate"], messages["answer"]
    there = count > leg
    there &= (fate != LOST_BEFORE) | (leg == 0)
    there &= (fate != LOST_BACK) | ~answer | (leg == count - 1)
    hops = np.where(answer, count.astype(np.int64) - 1 - leg, leg)
    made = np.zeros(messages.size, dtype=SIGHTING)
    made["flow"], made["message"], made["leg"] = messages["flow"], np.arange(messages.size), leg
    made["time_ns"] = messages["time_ns"] + hops * 2 * _HOP_NS
    made["ttl"] = flow["ttl"] - hops
    made["ifindex"] = (flow["veth"], flow["uplink"], _FAR)[leg]
    if leg:
        return [made[there]]
    twice = there & flow["bridged"]
    bridge = made[twice]
    bridge["ifindex"] = _BRIDGE
    bridge["time_ns"] += np.where(answer[twice], -_HOP_NS, _HOP_NS)
    return [made[there], bridge]
