"""The rules that the lab writes against those of kube-proxy for the same objects.

A recording with kube-proxy itself holds the objects and the node's state. Text is compared where
text is enough (iptables, ipset, ipvsadm); nftables' own is compared as the kernel lists it, so
``nft`` must load the lab's into a namespace first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lab.rules.apply import Mode, Step, steps
from lab.rules.plan import PROTOCOLS
from lab.shell import run, run_in
from tracer import address
from tracer.cluster.file import load
from tracer.node.ipset import parse as parse_ipset
from tracer.node.iptables import parse as parse_iptables
from tracer.node.ipvs_servers import parse_servers
from tracer.node.lines import Unread
from tracer.path.xt_rule import Option, parse_rule

Lines = Mapping[str, list[str]]
"""What a place (table and chain, set, virtual server) holds, in a spelling that is always used."""

ANY_ORDER: Mapping[Mode, tuple[str, ...]] = {
    "iptables": (
        *("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS"),
        "KUBE-PROXY-FIREWALL",
    ),
    "ipvs": ("KUBE-IPVS-OUT-FILTER",),
}
"""Chains of rules that exclude each other; kube-proxy writes them as its hash map has them."""
LATER = "KUBE-IPVS-OUT-FILTER"
"""Releases after 1.28 have this chain: it keeps a node outside the source ranges away."""
LAST = "NOTE: this must be the last rule in this chain"
COUNTER = "--nfacct-name"
LOOPBACK_COUNTER = "localhost_nps_accepted_pkts"
"""A second rule in front of each node port's, since 1.32, that only counts (KEP-4963)."""
DEFAULTS = {("REJECT", "--reject-with"), ("recent", "--mask"), ("recent", "--rsource")}


def compared(folder: Path, listed: Callable[[Sequence[Step]], str]) -> Iterator[str]:
    """Each difference, one a line: ``-`` only kube-proxy has it, ``+`` only the lab.

    ``listed`` runs steps on a fresh node and answers with ``nft -j list ruleset``.
    """
    expected = json.loads((folder / "expected.json").read_text())
    mode: Mode = expected["mode"]
    cluster = load(folder / "cluster.yaml")
    wanted = steps(cluster, expected["node"], mode)
    state = folder / "state"
    if mode == "nftables":
        yield from differences(nft_lines(_text(state, "nft.json")), nft_lines(listed(wanted)))
        return
    theirs = from_state(state, mode)
    yield from differences(theirs, of_their_release(from_steps(wanted, mode), theirs))


def listed_by_kernel(namespace: str, wanted: Sequence[Step]) -> str:
    """``nft -j list ruleset`` after the steps, in a namespace made for it."""
    run(["ip", "netns", "add", namespace])
    try:
        for step in wanted:
            run_in(namespace, step.command, step.text)
        return run_in(namespace, ["nft", "-j", "list", "ruleset"])
    finally:
        run(["ip", "netns", "del", namespace])


def differences(theirs: Lines, ours: Lines) -> Iterator[str]:
    """Place by place; order counts, except where the lines were sorted before."""
    for place in sorted(theirs.keys() | ours.keys()):
        left, right = theirs.get(place), ours.get(place)
        if left is None or right is None:
            yield f"{'+' if left is None else '-'} {place}: {left or right}"
            continue
        yield from (f"- {place}: {line}" for line in left if line not in right)
        yield from (f"+ {place}: {line}" for line in right if line not in left)
        if left != right and sorted(left) == sorted(right):
            yield f"! {place}: another order"


def of_their_release(ours: Lines, theirs: Lines) -> dict[str, list[str]]:
    """The lab writes as the newest release does; what older ones never had is left out."""
    if any(LATER in place for place in theirs):
        return dict(ours)
    kept = {
        place: [line for line in lines if LATER not in line]
        for place, lines in ours.items()
        if LATER not in place
    }
    return {place: lines for place, lines in kept.items() if lines or not ours[place]}


def from_state(folder: Path, mode: Mode) -> dict[str, list[str]]:
    """What the files of a state directory hold."""
    found = xt_lines(_text(folder, "iptables-save.txt"), mode, ipv6=False)
    found |= xt_lines(_text(folder, "ip6tables-save.txt"), mode, ipv6=True)
    found |= set_lines(_text(folder, "ipset-save.txt"))
    return found | server_lines(_text(folder, "ipvsadm-save.txt"))


def from_steps(wanted: Sequence[Step], mode: Mode) -> dict[str, list[str]]:
    """What the lab would feed to the tools."""
    found: dict[str, list[str]] = {}
    for step in wanted:
        tool = step.command[0]
        if tool.endswith("tables-restore"):
            found |= xt_lines(step.text, mode, ipv6=tool.startswith("ip6"))
        elif tool == "ipset":
            found |= set_lines(step.text)
        elif tool == "ipvsadm":
            found |= server_lines(step.text)
    return found


def xt_lines(text: str, mode: Mode, *, ipv6: bool) -> dict[str, list[str]]:
    """Rules of every chain."""
    family = "ip6tables" if ipv6 else "iptables"
    found = {}
    for tables in parse_iptables(text, Unread(family), ipv6=ipv6):
        for table, chains in tables.tables.items():
            for name, chain in chains.items():
                place = f"{family} {table} {name}"
                lines = [rule(line) for line in _counting(chain.lines)]
                found[place] = _ordered(lines) if name in ANY_ORDER[mode] else lines
    return {place: lines for place, lines in found.items() if lines or "KUBE-" in place}


def rule(line: str) -> str:
    """One rule as its parts in order of the alphabet, defaults and counters left out."""
    made = parse_rule(line)
    matches = sorted(_option(option) for option in made.matches if _tells(option))
    jump = f"{'-g' if made.is_goto else '-j'} {made.target}" if made.target else ""
    options = sorted(_option(option) for option in made.options if _tells(option))
    return " ".join([*matches, *filter(None, [jump]), *options, f'"{made.comment}"'])


def set_lines(text: str) -> dict[str, list[str]]:
    """Members of every set."""
    return {
        f"ipset {made.name} {made.kind} {'inet6' if made.ipv6 else 'inet'}": sorted(made.members)
        for made in parse_ipset(text, Unread("ipset"))
    }


def server_lines(text: str) -> dict[str, list[str]]:
    """Real servers of every virtual server."""
    return {
        f"ipvs {server.protocol} {address.text(server.ip)}:{server.port} {server.scheduler} "
        f"{server.persistent_s}": sorted(map(str, server.backends))
        for server in parse_servers(text, Unread("ipvsadm"))
    }


def nft_lines(text: str) -> dict[str, list[str]]:
    """Rules of every chain and elements of every set of kube-proxy's tables."""
    found: dict[str, list[str]] = {}
    for entry in json.loads(text or "{}").get("nftables", ()):
        for kind, made in entry.items():
            if made.get("table", made.get("name")) != "kube-proxy" or kind == "metainfo":
                continue
            kept = {key: value for key, value in made.items() if key not in _HANDLES}
            if kind == "rule":
                found.setdefault(_nft_place("chain", made), []).append(_told(kept["expr"]))
            elif kind in ("set", "map"):
                elements = sorted(map(_told, kept.pop("elem", ())))
                found[_nft_place(kind, made)] = [_told(kept), *elements]
            elif kind == "chain":
                found.setdefault(_nft_place("chain", made), []).insert(0, _told(kept))
    return found


_HANDLES = {"handle", "index"}


def _nft_place(kind: str, made: Mapping[str, object]) -> str:
    return f"nft {made['family']} {kind} {made.get('chain', made.get('name'))}"


def _told(value: object) -> str:
    """JSON text, counts of packets left out."""
    text = json.dumps(value, sort_keys=True)
    return re.sub(r'"(packets|bytes|expires)": \d+', r'"\1": 0', text)


def _ordered(lines: list[str]) -> list[str]:
    """Sorted, but the rule that must be last stays there."""
    last = [line for line in lines if LAST in line]
    return sorted(line for line in lines if LAST not in line) + last


def _counting(lines: Iterable[str]) -> Iterator[str]:
    """Without the rules that are there for their counter only."""
    return (line for line in lines if LOOPBACK_COUNTER not in line)


def _tells(option: Option) -> bool:
    """Whether it says more than the option beside it, or the default."""
    if option.name in ("", COUNTER) or (option.module, option.name) in DEFAULTS:
        return False
    return not (option.name == "--mode" and option.module == "statistic")


def _option(option: Option) -> str:
    name, values = option.name, list(option.values)
    if name in _MARKS:
        number = int(values[0], 16)
        name, values = "--set-xmark", [f"{number:#x}/{number if _MARKS[name] else 0:#x}"]
    elif name == "--vproto":
        values = [str(NUMBERS.get(values[0], values[0]))]
    elif name == "--probability":
        values = [f"{float(values[0]):.6f}"]
    bang = "! " if option.inverted else ""
    return " ".join([f"{bang}{name}", *values])


_MARKS = {"--or-mark": True, "--xor-mark": False}
"""What iptables makes of them: set bits of the mask, or turn them."""
NUMBERS = {name: number for number, name in PROTOCOLS.items()}


def _text(folder: Path, name: str) -> str:
    path = folder / name
    return path.read_text() if path.exists() else ""
