"""Ports that come again: as many translations as connections, whichever source tells first."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.builders import at, join, mapping, packet, record
from tests.tracer.flows.test_table import ends
from tracer.address import text
from tracer.events import Flag, Hook, Origin, Protocol
from tracer.flow import Seen, State
from tracer.flows import FlowTable

CLIENT, VIP = "10.244.3.8:40000", "10.96.0.10:80"
BACKENDS = {"A": "10.244.1.5:8080", "B": "10.244.2.7:8080"}
LIFE_S = 100
"""Seconds from one connection's beginning to the next one's."""


def made(word):
    """The record of ``2.new.A``: of the second connection, what, and its backend."""
    life, what, letter = word.split(".")
    second, backend = LIFE_S * int(life), BACKENDS[letter]
    replied = {"flags": Flag.DST_NAT | Flag.REPLIED}
    match what:
        case "new":
            return mapping(second + 0.0005, CLIENT, VIP, backend)
        case "update":
            return mapping(second + 1, CLIENT, VIP, backend, hook=Hook.CT_UPDATE, **replied)
        case "killed":  # by the next request
            after = second + LIFE_S + 0.0001
            return mapping(after, CLIENT, VIP, backend, hook=Hook.CT_END, **replied)
        case "expired":
            return mapping(second + 60, CLIENT, VIP, backend, hook=Hook.CT_END, **replied)
        case "chosen":  # by IPVS
            ends_here = {"nat": (CLIENT, backend), "flags": Flag.IPVS}
            return record(Hook.IPVS_NEW, second + 0.0003, CLIENT, VIP, **ends_here)
        case "gone" | "dropped":  # before the next one's is chosen, or for it and told after it
            ends_here = {"nat": (CLIENT, backend), "flags": Flag.IPVS}
            after = second + LIFE_S + (0.0002 if what == "gone" else 0.02)
            return record(Hook.IPVS_END, after, CLIENT, VIP, **ends_here)
        case "ask":
            return packet(second, CLIENT, VIP, "S", seq=1000 * int(life))
        case "asked":
            return packet(second, CLIENT, backend, "S", seq=1000 * int(life))
        case "answer":
            return packet(second + 1, backend, CLIENT, "SA")
        case "answered":
            return packet(second + 1, VIP, CLIENT, "SA")
        case "close":
            return packet(second + 2, CLIENT, VIP, "FA", seq=1000 * int(life) + 9)
    raise ValueError(what)


KERNEL = ("new", "update", "killed", "expired", "chosen", "gone", "dropped")


def told(batches):
    """A table that was fed batches of words, ``2.new.A 2.update.A`` being one."""
    table = FlowTable(seed=1)
    for batch in batches:
        words = batch.split()
        kernel = words[0].split(".")[1] in KERNEL
        origin = Origin.CONNTRACK if kernel else Origin.PACKETS
        table.update(join(*map(made, words)), origin)
    return table


@st.composite
def interleaved(draw, *streams):
    """Streams cut into batches anywhere and mixed anyhow, each in its own order."""
    left = [list(stream) for stream in streams]
    batches = []
    while any(left):
        stream = draw(st.sampled_from([stream for stream in left if stream]))
        count = draw(st.integers(1, len(stream)))
        batches.append(" ".join(stream[:count]))
        del stream[:count]
    return batches


@st.composite
def stories(draw, ipvs):
    """Backends of connections one after the other, and batches that tell of them.

    No source is late by as much as a connection's life; the kernel's own hooks run in this
    order: conntrack drops the former connection, IPVS chooses a backend, conntrack confirms
    the next one, and IPVS' timer ends the former one.
    """
    letters = draw(st.lists(st.sampled_from("AB"), min_size=1, max_size=4))
    batches, killed, gone, dropped = [], [], [], []
    for life, letter in enumerate(letters, start=1):
        kernel = [*killed, f"{life}.new.{letter}"]
        if ipvs:
            kernel = [*killed, *gone, f"{life}.chosen.{letter}", *kernel[len(killed) :]]
        # Where IPVS is heard, probes are: they tell of no update.
        kernel += dropped if ipvs else [f"{life}.update.{letter}"]
        packets = ("ask", "asked", "answer", "answered", "close")
        batches += draw(interleaved(kernel, [f"{life}.{what}.{letter}" for what in packets]))
        killed, gone, dropped = [f"{life}.killed.{letter}"], [], []
        if ipvs and draw(st.booleans()):
            gone = [f"{life}.gone.{letter}"]
        elif ipvs:
            dropped = [f"{life}.dropped.{letter}"]
        if draw(st.booleans()):
            batches.append(f"{life}.expired.{letter}")
            killed = []
    return "".join(letters), batches, ipvs


def lives_of(times):
    """Of which connection each time is."""
    return [(int(time) - at(0)) // (LIFE_S * 10**9) for time in times]


OPENING = ["1.chosen.A 1.new.A", "1.ask.A 1.asked.A 1.answer.A 1.answered.A 1.close.A"]
GIVEN_UP = [*OPENING, "1.killed.A 2.chosen.B 2.new.B 1.dropped.A"]
"""IPVS gives the former connection up 20 ms after it has chosen the next one's backend."""
UNHEARD = [*OPENING, "1.killed.A 1.gone.A"]
"""The next connection leads to the same backend, and its packets are read before it is told."""
LATE = ["1.chosen.A 1.new.A", "1.ask.A 1.asked.A", "1.killed.A 2.chosen.{0} 2.new.{0} 1.dropped.A"]
"""The kernel tells of the next connection before the former one's last packets are read."""
LAST = "1.answer.A 1.answered.A 1.close.A "
UNREAD = ["1.chosen.A 1.new.A", "1.killed.A 2.chosen.B 2.new.B 1.dropped.A"]
"""Or before any packet of either is."""
NEXT = "2.ask.{0} 2.asked.{0} 2.answer.{0} 2.answered.{0} 2.close.{0}"


@given(st.booleans().flatmap(stories))
@example(("AB", [*GIVEN_UP, NEXT.format("B")], True))
@example(("AB", [*(told.format("B") for told in LATE), LAST + NEXT.format("B")], True))
@example(("AA", [*(told.format("A") for told in LATE), LAST + NEXT.format("A")], True))
@example(("AB", [*UNREAD, "1.ask.A 1.asked.A " + LAST + NEXT.format("B")], True))
@example(("AA", [*UNHEARD, NEXT.format("A"), "2.chosen.A 2.new.A"], True))
@settings(max_examples=150, deadline=None)
def test_each_connection_is_one_translation(story):
    letters, batches, ipvs = story
    table = told(batches)
    rows = table.flows[table.alive()]
    assert Counter(ends(row)[3] for row in rows) == Counter(BACKENDS[one] for one in letters)
    whole = Seen.TRANSLATED | Seen.SYN | Seen.ANSWER_BACKEND | Seen.ANSWER_CLIENT
    assert all(Seen(int(row["seen"])) & whole == whole for row in rows)
    assert sorted(lives_of(rows["first_ns"])) == list(range(1, len(letters) + 1))
    over = sum(Seen.ENDED in Seen(int(row["seen"])) for row in rows)
    ends_told = sum("killed" in batch or "expired" in batch for batch in batches)
    # Where IPVS has told of the next one on the same backend, nothing leads to the former one.
    assert over == ends_told or (ipvs and over < ends_told)
    assert State.LOST not in rows["state"]


@pytest.mark.parametrize(
    "batches",
    [
        # The next request is seen before the end of the connection that it kills.
        ("1.ask.A", "1.new.A", "2.ask.B", "1.killed.A 2.new.B"),
        # Both are read in the same instant, and the same backend is chosen.
        ("1.new.A", "1.killed.A 2.new.A"),
        # The end alone: the next connection's beginning was not told yet.
        ("1.ask.A", "1.new.A", "2.ask.A", "1.killed.A", "2.new.A"),
    ],
)
def test_the_end_of_a_connection_is_its_own(batches):
    table = told(batches)
    first, second = table.flows[table.alive()]
    assert (first["ended_ns"] != 0, second["ended_ns"]) == (True, 0)
    assert Seen(int(second["seen"])) & Seen.TRANSLATED


@pytest.mark.parametrize(
    "batches",
    [
        ("2.new.B", "2.ask.B", "2.asked.B"),
        ("2.ask.B", "2.new.B", "2.asked.B"),
        ("2.ask.B 2.asked.B", "2.new.B"),
        # The mapping in between was never told of, only its request was seen.
        ("2.ask.A", "3.ask.B", "3.new.B"),
    ],
)
def test_a_mapping_whose_end_nobody_tells_ends_when_its_ports_are_mapped_anew(batches):
    table = told(["1.new.A", "1.ask.A", *batches])
    rows = table.flows[table.alive()]
    first, last = rows[0], rows[-1]
    assert (ends(first)[3], ends(last)[3]) == (BACKENDS["A"], BACKENDS["B"])
    assert first["ended_ns"] == made(f"{2 + ('3.new.B' in batches)}.new.B")["time_ns"][0]
    assert last["ended_ns"] == 0


def test_a_request_on_the_same_ports_ends_no_mapping():
    table = told(["1.new.A", "1.ask.A", "2.ask.A"])
    assert not table.flows["ended_ns"][table.alive()].any()


def test_the_end_of_a_connection_that_is_not_known_ends_no_other():
    table = told(["2.ask.B", "1.killed.A"])
    (row,) = table.flows[table.alive()]
    assert (ends(row)[3], int(row["ended_ns"]), State(int(row["state"]))) == (VIP, 0, State.NEW)


def test_an_end_tells_of_a_translation_whose_beginning_was_lost():
    table = told(["1.ask.A", "1.expired.A"])
    (row,) = table.flows[table.alive()]
    assert ends(row)[3] == BACKENDS["A"]
    assert row["ended_ns"]


def refusal(second, sender, quoted_from, quoted_to):
    """ICMP's "port unreachable" about a datagram."""
    return packet(
        second, f"{sender}:0", f"{quoted_from.rpartition(':')[0]}:0", protocol=Protocol.ICMP,
        nat=(quoted_from, quoted_to), flags=Flag.QUOTED, detail=3 << 8 | 3, reason=Protocol.UDP,
    )  # fmt: skip


def test_a_datagram_after_the_end_is_another_flows_and_so_is_its_refusal():
    """The refusal is read before the kernel tells which backend was chosen anew."""
    table, udp = FlowTable(seed=1), {"protocol": Protocol.UDP}
    first, second = BACKENDS.values()
    table.update(mapping(1, CLIENT, VIP, first, **udp), Origin.KERNEL)
    table.update(packet(1.1, CLIENT, VIP, **udp), Origin.PACKETS)
    table.update(mapping(40, CLIENT, VIP, first, hook=Hook.CT_END, **udp), Origin.KERNEL)
    asks = packet(90, CLIENT, VIP, **udp), packet(90.1, CLIENT, second, **udp)
    pod, vip = second.rpartition(":")[0], VIP.rpartition(":")[0]
    refused = refusal(90.2, pod, CLIENT, second), refusal(90.3, vip, CLIENT, VIP)
    table.update(join(*asks, *refused), Origin.PACKETS)
    table.update(mapping(90.05, CLIENT, VIP, second, **udp), Origin.KERNEL)
    former, anew = table.flows[table.alive()]
    assert [ends(row)[3] for row in (former, anew)] == [first, second]
    told = [Seen(int(row["seen"])) & Seen.ICMP_REFUSED for row in (former, anew)]
    assert told == [Seen(0), Seen.ICMP_REFUSED]
    assert text(anew["refused_by"].tobytes()) == pod
