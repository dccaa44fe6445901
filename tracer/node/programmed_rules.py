"""This node's rules and routes, live: listed by the host's own tools, seldom and when they change.

Netlink tells when nftables' rules change, legacy iptables' must be listed to see it. A listing
costs up to seconds on a large node, so that it is repeated only after a hundred times as long: as
much as it takes of a processor, which a busy node does not lengthen.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tracer.node.existing import PROC
from tracer.node.lines import Unread
from tracer.node.model import NodeState
from tracer.node.netlink import NETLINK_NETFILTER, Requests
from tracer.node.state_dir import Rules, Ways, rules_of, ways_of
from tracer.node.state_files import PARTS, Absent, Part, host_tools, output_of

EVERY_S = 10.0
REST = 100
"""How many times a reading's processor time nothing is read after it: one percent of one."""
AFTER_CHANGE = 20
"""The same after the kernel told of a change."""
LARGEST_BYTES = 8 << 20
"""About 50,000 lines of iptables-save. Larger listings are left to audits: a recording would have
to store every change of them."""
PATIENCE_S = 10.0
_LATER_S = 600.0
_FILES = frozenset(
    {"iptables-save.txt", "ip6tables-save.txt", "nft.json", "ipset-save.txt",
     "route.json", "rule.json", "neigh.json"}
)  # fmt: skip
_GET_GENERATION = 10 << 8 | 16
_PASSING = re.compile(
    rb"^#.*$|\[\d+:\d+\]|\"(?:packets|bytes|expires|handle)\": ?\d+| (?:timeout|packets|bytes) \d+",
    re.MULTILINE,
)
"""What differs from listing to listing of the same rules."""


def _spent_s() -> float:
    """Processor time of this thread, and of the tools that have ended."""
    spent = os.times()
    return time.thread_time() + spent.children_user + spent.children_system


def _without_counters(part: Part) -> Part:
    return replace(part, arguments=()) if part.arguments == ("-c",) else part


WATCHED = tuple(_without_counters(part) for part in PARTS if part.file in _FILES)


@dataclass(slots=True)
class _Texts:
    """Files in memory."""

    texts: Mapping[str, str]
    unread: list[Unread] = field(default_factory=list)

    def text(self, name: str) -> tuple[str, Unread] | None:
        """A file, if it is there."""
        if name not in self.texts:
            return None
        self.unread.append(Unread(name))
        return self.texts[name], self.unread[-1]


class ProgrammedRules:
    """Keeps the latest listing, and hands out the same values while it stays the same."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._enter = host_tools(proc)
        self._due_at = self._early_at = float("-inf")
        self._generation: bytes | None = None
        self._seen: dict[str, int] = {}
        self._complaints: list[str] = []
        self._rules, self._ways = Rules(), Ways()
        self._notes: tuple[str, ...] = ()

    def refresh(self) -> None:
        """List again what is due; takes as long as the tools do."""
        now = time.monotonic()
        generation = self._current_generation() if now >= self._early_at else self._generation
        if now < self._due_at and generation == self._generation:
            return
        self._generation = generation
        began_s = _spent_s()
        followed = self._read()
        took = _spent_s() - began_s
        rest = max(EVERY_S, REST * took) if followed else _LATER_S
        self._due_at = now + rest
        self._early_at = now + (AFTER_CHANGE * took if followed else rest)

    def on(self, state: NodeState) -> NodeState:
        """A state with these rules and routes as well."""
        rules, ways = self._rules, self._ways
        return replace(
            state,
            xtables=rules.xtables,
            address_sets=rules.sets,
            nft=rules.nft,
            routes=ways.routes,
            policy_rules=ways.rules,
            neighbours=ways.neighbours,
            known=state.known | rules.known | ways.known,
            unparsed=state.unparsed + self._notes,
        )

    def _read(self) -> bool:
        """Whether it can be done often: everything was small enough."""
        texts, notes = self._listed()
        large = [name for name, data in texts.items() if len(data) > LARGEST_BYTES]
        for name in large:
            size = len(texts.pop(name)) >> 20
            notes.append(f"{name}: {size} MiB of rules are not followed live; viptrace audit can")
        self._take(texts, notes)
        return not large

    def _take(self, texts: Mapping[str, bytes], notes: list[str]) -> None:
        seen = {name: hash(_PASSING.sub(b"", data)) for name, data in texts.items()}
        if (seen, notes) == (self._seen, self._complaints):
            return
        self._seen, self._complaints = seen, notes
        files = _Texts({name: data.decode("utf-8", "replace") for name, data in texts.items()})
        self._rules, self._ways = rules_of(files), ways_of(files)
        unread = (line for one in files.unread for line in one.listed())
        self._notes = (*notes, *unread)

    def _listed(self) -> tuple[dict[str, bytes], list[str]]:
        """Output by file, and why some have none."""
        texts: dict[str, bytes] = {}
        notes = []
        for part in WATCHED:
            if not part.needed(self._proc):
                continue
            output = output_of(part, self._enter, PATIENCE_S)
            if isinstance(output, str):
                if not isinstance(output, Absent):  # its part of the state is unknown, that is all
                    notes.append(f"{part.file}: {output}")
            else:
                texts[part.file] = texts.get(part.file, b"") + output
        return texts, notes

    def _current_generation(self) -> bytes | None:
        """A number that changes with every change of nftables' rules; None if it is not told."""
        try:
            requests = Requests(NETLINK_NETFILTER)
        except OSError:
            return None
        try:
            answers = requests.ask(_GET_GENERATION, [bytes(4)])
        except OSError:
            return None
        finally:
            requests.close()
        return answers[0][20:28] if answers else None
