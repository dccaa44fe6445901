"""viptrace's JSON lines against the kernel's table and the clients' account, flow by flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.truth import Key, Mapped, Place, Truth

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference; ``good`` when there is none."""

    expected: int
    """Connections the clients had answered."""
    translations: int
    """Distinct translations viptrace printed of them."""
    equal: int
    """Of these, those that equal the kernel's table and what the pod saw."""
    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    duplicate: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Translations of connections that nobody made."""
    kernel_differs: tuple[str, ...]
    """Connections where the kernel's table and the pod disagree: the truth itself is unsure."""
    nameless: tuple[str, ...] = ()
    """Translations without the Service's name or the pod's."""
    lost: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Every connection once, equal, nothing else, nothing lost."""
        different = self.missing or self.wrong or self.duplicate or self.unexpected
        different = different or self.nameless
        unsure = self.kernel_differs or self.equal != self.expected
        return not different and not unsure and not any(self.lost.values())

    def report(self, limit: int = 5) -> str:
        """What to read when it is not good: counts, then examples."""
        lines = [
            f"expected {self.expected}, translations {self.translations}, equal {self.equal}, "
            f"lost {dict(self.lost)}, findings {dict(self.findings)}"
        ]
        for title, found in (
            ("missing", self.missing),
            ("wrong", self.wrong),
            ("twice", self.duplicate),
            ("unexpected", self.unexpected),
            ("without a name", self.nameless),
            ("kernel and pod disagree", self.kernel_differs),
        ):
            lines += [f"  {title} ({len(found)}): {item}" for item in found[:limit]]
        return "\n".join(lines)


def compare(
    lines: Iterable[Line], clients: Truth, kernel: Truth, ipvs: Mapping[Key, Place] | None = None
) -> Comparison:
    """``clients`` says which connections there were; ``kernel`` and ``ipvs`` how they were sent."""
    records = list(lines)
    printed = translations(records)
    told: dict[Key, list[Mapped]] = {}
    for key, mapped in printed:
        told.setdefault(key, []).append(mapped)
    wrong, equal = [], 0
    for key, truth in clients.items():
        answers = told.get(key, [])
        agreed = {truth, kernel.get(key, truth)}
        if answers and set(answers) == agreed == {truth}:
            equal += 1
        elif answers:
            wrong.append(f"{key}: viptrace {answers[0]}, kernel {kernel.get(key)}, pod {truth}")
    return Comparison(
        expected=len(clients),
        translations=sum(key in clients for key in told),
        equal=equal,
        missing=_texts(key for key in clients if key not in told),
        wrong=tuple(wrong),
        duplicate=_texts(key for key, answers in told.items() if len(answers) > 1),
        unexpected=_texts(key for key in told if key not in clients and key not in kernel),
        kernel_differs=_disagreements(clients, kernel, ipvs or {}),
        lost=_summary(records).get("lost", {}),
        findings=Counter(line["cause"] for line in records if line["type"] == "finding"),
    )


def translations(lines: Sequence[Line]) -> list[tuple[Key, Mapped]]:
    """Translations of a run, the last line of each id."""
    latest = {line["id"]: line for line in lines if line["type"] == "translation"}
    return [(_key(line), _mapped(line)) for line in latest.values() if line["backend"] is not None]


def nameless(lines: Iterable[Line]) -> tuple[str, ...]:
    """Translations of a run whose last line names no Service, or no pod behind it."""
    latest = {line["id"]: line for line in lines if line["type"] == "translation"}
    return _texts(
        _key(line)
        for line in latest.values()
        if line["backend"] is not None and not (line["service"] and line["backend"]["name"])
    )


def _key(line: Line) -> Key:
    return Key(line["protocol"], _place(line["client"]), _place(line["virtual"]))


def _mapped(line: Line) -> Mapped:
    return Mapped(_place(line["backend"]), _place(line["source_nat"] or line["client"]))


def _place(value: Mapping[str, Any]) -> Place:
    return value["ip"], value["port"]


def _texts(keys: Iterable[Key]) -> tuple[str, ...]:
    return tuple(str(key) for key in keys)


def _disagreements(clients: Truth, kernel: Truth, ipvs: Mapping[Key, Place]) -> tuple[str, ...]:
    found = []
    for key, truth in clients.items():
        if kernel.get(key) != truth:
            found.append(f"{key}: conntrack {kernel.get(key)}, pod {truth}")
        if ipvs and ipvs.get(key) != truth.backend:
            found.append(f"{key}: ipvs {ipvs.get(key)}, pod {truth}")
    return tuple(found)


def _summary(lines: Sequence[Line]) -> Line:
    return next((line for line in reversed(lines) if line["type"] == "summary"), {})
