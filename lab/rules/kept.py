"""What a sync leaves alone: kube-proxy writes its own chains, not those of others.

iptables mode restores with ``--noflush``. The lab writes whole tables instead, so that nothing
of kube-proxy's is left of before, and puts into them what others have there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_OWN = re.compile(r"KUBE-(SVC|SVL|SEP|EXT|FW|XLB)-")
"""Chains that come and go with Services; others of kube-proxy are always there."""
_TARGET = re.compile(r" -j (\S+)")


@dataclass
class Listed:
    """One table of a listing."""

    chains: dict[str, str] = field(default_factory=dict)
    """Declaration by name."""
    rules: list[str] = field(default_factory=list)

    def of(self, chain: str) -> list[str]:
        """Rules of one chain, in order."""
        return [rule for rule in self.rules if _chain(rule) == chain]

    def builtin(self, chain: str) -> bool:
        """Whether the kernel has it by itself: then it has a policy."""
        return self.chains[chain].split()[1] != "-"


def tables(listing: str) -> dict[str, Listed]:
    """The tables of what iptables-save prints, or iptables-restore reads."""
    found: dict[str, Listed] = {}
    current = Listed()
    for line in listing.splitlines():
        if line.startswith("*"):
            current = found.setdefault(line[1:], Listed())
        elif line.startswith(":"):
            current.chains[line[1:].split()[0]] = line
        elif line.startswith("-A "):
            current.rules.append(line)
    return found


def merged(there: str, wanted: str) -> str:
    """``wanted`` with everything in its tables that is not kube-proxy's."""
    old, new = tables(there), tables(wanted)
    return "".join(_table(name, old.get(name, Listed()), new[name]) for name in new)


def _table(name: str, old: Listed, new: Listed) -> str:
    foreign = [c for c in old.chains if c not in new.chains and not _OWN.match(c)]
    kept = {c: old.chains[c] for c in old.chains if c in foreign or old.builtin(c)}
    chains: Mapping[str, str] = {**new.chains, **kept}
    rules = [rule for chain in foreign for rule in old.of(chain)]
    for chain in new.chains:
        rules += _entrance(chain, old, new) if new.builtin(chain) else new.of(chain)
    return "\n".join([f"*{name}", *chains.values(), *rules, "COMMIT", ""])


def _entrance(chain: str, old: Listed, new: Listed) -> list[str]:
    """Rules of one of the kernel's chains: as they stand, behind jumps that were missing."""
    there = [rule for rule in old.of(chain) if not _OWN.match(_target(rule))]
    targets = {_target(rule) for rule in there}
    return [rule for rule in new.of(chain) if _target(rule) not in targets] + there


def _chain(rule: str) -> str:
    return rule.split(maxsplit=2)[1]


def _target(rule: str) -> str:
    found = _TARGET.search(rule)
    return found[1] if found else ""
