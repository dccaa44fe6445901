"""Rule set after rule set: what the kernel did with each packet."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from lab.differential import ipvs_rules, scenery
from lab.differential.listing import Listing, listed
from lab.differential.observer import LEAVING, RECEIVED, TABLE, Observer, Seen
from lab.differential.program import program
from lab.differential.universe import UNIVERSES, Sent, Universe, packets
from lab.differential.world import World, namespaces, unique_prefix
from lab.netns import call
from lab.shell import run
from tracer.path.answer import RESET
from tracer.path.packet import DROP, REJECT
from tracer.path.walk import DELIVERED, LOCAL

PACKETS = 40
"""For each rule set."""
FIRST_PORT = 10_000
MOST_PORTS = 50_000
_FLUSH_EVERY = 500
Result = tuple[str, str, int | None, str, int, int, str]
"""Verdict, source, destination, mark and interface; see ``lost`` for what did not arrive."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What became of packets under one rule set."""

    number: int
    rules: str
    """As they were programmed, for a report."""
    listing: Listing
    """As the tools showed the node before the packets."""
    results: tuple[tuple[Sent, Result], ...]


def observed(
    engine: str, family: int, seed: int, numbers: range, seconds: float = math.inf
) -> list[Observation]:
    """These rule sets in namespaces of their own; after so many seconds no further one."""
    with namespaces(unique_prefix()) as (node, outside):
        return call(node, _inside, engine, family, seed, numbers, seconds, node, outside)


def write(observations: list[Observation], path: Path) -> None:
    """Keep observations, a line each."""
    lines = (json.dumps(asdict(each)) for each in observations)
    path.write_text("".join(f"{line}\n" for line in lines))


def read(path: Path) -> list[Observation]:
    """What ``write`` kept."""
    return [_from_plain(json.loads(line)) for line in path.read_text().splitlines()]


def _from_plain(plain: Mapping[str, Any]) -> Observation:
    results = tuple((Sent(**sent), tuple(result)) for sent, result in plain["results"])
    return Observation(plain["number"], plain["rules"], plain["listing"], results)


def _inside(
    engine: str, family: int, seed: int, numbers: range, seconds: float, node: str, outside: str
) -> list[Observation]:
    deadline = time.monotonic() + seconds
    world = World(node, outside)
    run(["nft", "-f", "-"], TABLE)
    if engine == "ipvs":
        ipvs_rules.begin()
    observer = Observer()
    found: list[Observation] = []
    try:
        for number in takewhile(lambda _: time.monotonic() < deadline, numbers):
            if number % _FLUSH_EVERY == 0:
                run(["conntrack", "-F"], check=False)
            chance = random.Random(f"{engine} {family} {seed} {number}")
            found += _one(engine, UNIVERSES[family], chance, world, observer, number)
    finally:
        observer.close()
        world.close()
    return found


def _one(
    engine: str,
    universe: Universe,
    chance: random.Random,
    world: World,
    observer: Observer,
    number: int,
) -> Iterator[Observation]:
    """Program one rule set, send its packets."""
    ways = scenery.change(chance, universe)
    rules = program(engine, universe, chance)
    # The kernel keeps connections of rule sets that are gone, and an answer may be told of late:
    # every packet has its own port, which is its number, too.
    first = FIRST_PORT + number * PACKETS % MOST_PORTS
    for part in _parts(engine, packets(chance, universe, PACKETS, first)):
        listing = listed(engine, universe)
        for packet in part:
            world.send(packet)
        seen = list(observer.seen(world.send_last(universe)))
        results = tuple((packet, outcome(packet, seen, world.devices)) for packet in part)
        yield Observation(number, f"{ways}\n{rules}", listing, results)


def _parts(engine: str, sent: list[Sent]) -> list[list[Sent]]:
    """Affinity of nftables mode is part of the state: the second half finds whom it remembers."""
    middle = len(sent) // 2
    return [sent[:middle], sent[middle:]] if engine == "services-nft" else [sent]


def outcome(sent: Sent, seen: list[Seen], devices: dict[int, str]) -> Result:
    """What the kernel did: the last observer that saw the packet, else whether it was answered."""
    own = [each for each in seen if each.number == sent.number and not each.is_error]
    received = [each for each in own if each.group == RECEIVED and not each.reset]
    left = [each for each in own if each.group == LEAVING and not each.reset]
    for verdict, found in ((LOCAL, received), (DELIVERED, left)):
        if found:
            last = found[-1]
            device = devices.get(last.outgoing, "")
            if verdict == DELIVERED and device == "lo":
                continue  # it was lost on its way back in
            return (verdict, last.src, last.sport, last.dst, last.dport, last.mark,
                    device if verdict == DELIVERED else "")  # fmt: skip
    for each in seen:
        if each.about == sent.number:
            return lost(REJECT, f"icmp {each.code}")
        if each.reset and each.dport == sent.sport:
            return lost(REJECT, RESET)
    return lost(DROP)


def lost(verdict: str, answer: str = "") -> Result:
    """The result of a packet that did not arrive: in the place of a source what was answered."""
    return (verdict, answer, None, "", 0, 0, "")
