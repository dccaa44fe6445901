"""What works on which kernel: facts of runs in the VM, and the page that tells them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from lab.kernels import SUITES
from lab.suite import Case, Result

UNSUPPORTED = {("5.10", "nftables"): "kube-proxy's nftables mode needs Linux 5.13"}
"""What no kube-proxy does, by kernel series and mode."""
SUITE_FILE, PROBES_FILE = "suite.json", "probes.xml"
HEAD = """# Kernels

What was run on Debian's kernels in the lab's VM, made from those runs by `make kernel-matrix`.

- **Probes**: the tests of `tests/kernel`: every kind of translation, drop, refusal, state and
  loss told once and with the right tuple.
- **Modes**: `viptrace live` with kernel probes on a node of each kube-proxy mode; the connections
  of a client compared tuple by tuple with what the kernel's own tables say. *n of m*: m connections
  were answered, n of them were shown, once and equal.

Guests are emulated, with two processors; the newest kernel has one, with two it does not stay up.
What older kernels lack: [Limitations](limitations.md#kernels).

"""


Place = tuple[str, int]
"""Mode and address family."""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One mode and family."""

    mode: str
    family: int
    good: bool
    expected: int = 0
    equal: int = 0
    attached_s: float = 0.0
    failure: str = ""
    """Its first line."""


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """Everything that was run on one kernel; parts that were not are empty."""

    series: str
    version: str
    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Why, by name."""
    cases: tuple[CaseFacts, ...] = field(default=())
    stopped: tuple[str, ...] = ()
    """Parts in which the guest did not last; what they had found until then is in the rest."""


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Keep the acceptance's results; again after every case, because the guest may stop."""
    plain = [asdict(_case_facts(result.case, result)) for result in results]
    (folder / SUITE_FILE).write_text(json.dumps(plain, indent=1) + "\n")


def _case_facts(case: Case, result: Result) -> CaseFacts:
    found = result.comparison
    failure = "" if result.good else (result.failure or (found.report() if found else ""))
    return CaseFacts(
        mode=case.mode,
        family=case.family,
        good=result.good,
        expected=found.expected if found else 0,
        equal=found.equal if found else 0,
        attached_s=round(result.ready_s, 1),
        failure=failure.partition("\n")[0],
    )


def with_results(facts: KernelFacts, folder: Path) -> KernelFacts:
    """The facts with what a run of one part left in its folder; other parts' stay."""
    suite, probes = folder / SUITE_FILE, folder / PROBES_FILE
    if suite.exists():
        found = {(case.mode, case.family): case for case in facts.cases}
        for each in json.loads(suite.read_text()):
            found[each["mode"], each["family"]] = CaseFacts(**each)
        facts = replace(facts, cases=tuple(found[place] for place in sorted(found)))
    if probes.exists():
        facts = _with_probes(facts, ElementTree.parse(probes).getroot())
    return facts


def _with_probes(facts: KernelFacts, tests: ElementTree.Element) -> KernelFacts:
    """pytest's report; a test that could not be set up failed."""
    failed, skipped, passed = [], {}, 0
    for test in tests.iter("testcase"):
        name, children = test.get("name", ""), {child.tag: child for child in test}
        if "skipped" in children:
            skipped[name] = children["skipped"].get("message", "").rstrip(".")
        elif children.keys() & {"failure", "error"}:
            failed.append(name)
        else:
            passed += 1
    return replace(facts, passed=passed, failed=tuple(failed), skipped=skipped)


def load(folder: Path) -> list[KernelFacts]:
    """Facts of every kernel that was looked at, in the order of the series."""
    found = []
    for series in SUITES:
        path = folder / f"{series}.json"
        if path.exists():
            found.append(_read(json.loads(path.read_text())))
    return found


def _read(plain: Mapping[str, object]) -> KernelFacts:
    made = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
    cases = made.pop("cases", ())
    facts = KernelFacts(**made)  # type: ignore[arg-type]
    return replace(facts, cases=tuple(CaseFacts(**each) for each in cases))  # type: ignore[attr-defined]


def keep(folder: Path, series: str, version: str, part: str, results: Path, lasted: bool) -> None:
    """Add what one part gave to what is known of this kernel; another version begins anew."""
    known = {facts.series: facts for facts in load(folder)}
    facts = known.get(series)
    if facts is None or facts.version != version:
        facts = KernelFacts(series, version)
    stopped = set(facts.stopped) - {part} | (set() if lasted else {part})
    save(replace(with_results(facts, results), stopped=tuple(sorted(stopped))), folder)


def save(facts: KernelFacts, folder: Path) -> None:
    """Keep the facts of one kernel beside those of the others."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(facts), indent=1)
    (folder / f"{facts.series}.json").write_text(text + "\n")


def page(every: Iterable[KernelFacts]) -> str:
    """The whole page as Markdown."""
    every = list(every)
    places = sorted({(case.mode, case.family) for facts in every for case in facts.cases})
    titles = ["series", "kernel", "probes", *(f"{mode} IPv{family}" for mode, family in places)]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for facts in every:
        cells = [facts.series, facts.version, _probes(facts)]
        cases = {(case.mode, case.family): case for case in facts.cases}
        cells += [_cell(facts.series, place, cases) for place in places]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [note for facts in every for note in _notes(facts)]
    return HEAD + "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _probes(facts: KernelFacts) -> str:
    count = facts.passed + len(facts.failed)
    return f"{facts.passed} of {count}" if count else "not run"


def _cell(series: str, place: Place, cases: Mapping[Place, CaseFacts]) -> str:
    case = cases.get(place)
    if case is None:
        return "none" if (series, place[0]) in UNSUPPORTED else "not run"
    mark = "" if case.good else " (see below)"
    return f"{case.equal} of {case.expected}{mark}"


def _notes(facts: KernelFacts) -> Iterable[str]:
    """What did not work, or has nothing to work with, in words."""
    for (series, mode), why in UNSUPPORTED.items():
        if series == facts.series:
            yield f"- {series}, {mode}: none, {why}."
    for part in facts.stopped:
        yield f"- {facts.series}: the guest did not last through `{part}`."
    for name in facts.failed:
        yield f"- {facts.series}: `{name}` failed."
    for reason in dict.fromkeys(facts.skipped.values()):
        names = [f"`{name}`" for name, why in facts.skipped.items() if why == reason]
        yield f"- {facts.series}: {', '.join(names)} skipped: {reason}."
    for case in facts.cases:
        if not case.good:
            yield f"- {facts.series}, {case.mode} IPv{case.family}: {case.failure}"
