"""The table of causes against inputs and modes, the confusion matrix and the times: as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lab.judge import is_fallback
from lab.scenarios import SCENARIOS
from lab.verdicts import BESIDE, INPUTS, KEEP, Verdict
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.causes.cause import Cause
from tracer.diagnosis.finding import Severity

HEALTHY = "(healthy)"
NOTHING = "(nothing)"
_WHY_NOT = {
    "bpf": "no packet is touched: the state shows it",
    "conntrack": "only the kernel's own word of the drop tells it",
    "capture": "packets do not show the state behind it",
    "state": "nothing in the state is wrong until packets come",
}
_NOT_HERE = {
    "bpf": "not in this recording",
    "conntrack": "not in this recording",
    "capture": "not in this recording: the packets that tell it pass elsewhere",
    "state": "not in this recording: its state alone is sound",
}
_OTHERWISE = {
    ("hairpin-no-masquerade", "ipvs", "state"): (
        "an audit says it as `rules-not-synced`: KUBE-LOOP-BACK lacks the endpoint"
    ),
}
"""What shows under another name."""
_NOT_MADE = {
    "conntrack-insert-race": "two packets must race on two processors",
    "ipvs-conn-reuse-delay": "needs a kernel before 5.9",
    "vxlan-checksum-offload": "needs a card or kernel that computes checksums wrongly",
}
_NOT_BOUND = "no Service's address is bound to a node in this mode"
_NOT_IN_MODE = {
    ("local-vip-is-packet-source", "iptables"): _NOT_BOUND,
    ("local-vip-is-packet-source", "nftables"): _NOT_BOUND,
    ("etp-local-nodename-mismatch", "ipvs"): "shows as etp-local-ipvs-wrong-source in this mode",
    ("forward-policy-drop", "ipvs"): "kube-proxy's own rule accepts the answers in this mode",
    ("conntrack-invalid-rst", "ipvs"): "IPVS translates answers, whatever conntrack thinks of them",
}
"""Where what happens depends on the mode, and no scenario of that mode shows it."""
_LATE = {
    "endpoint-unreachable-underlay": (
        "; the kernel asks for a neighbour three seconds long before it says that there is none"
    ),
}
"""Why nobody tells of a loss at once."""
_NEED_IPVS = "needs IPVS: the virtual machine"
_SAME = "not reproduced: the evidence does not depend on the mode"


def table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """One line for each cause and mode."""
    yield "| cause | mode | live bpf | live conntrack | capture | state |"
    yield "|---|---|---|---|---|---|"
    for name, cause in CAUSES_BY_ID.items():
        for mode in cause.modes:
            mine = [v for v in verdicts if name in v.expected and v.mode == mode]
            audited = any(name in v.audited and v.mode == mode for v in verdicts)
            cells = [_cell(cause, mode, which, mine, audited) for which in INPUTS]
            yield f"| `{name}` | {mode} | {' | '.join(cells)} |"


def _cell(cause: Cause, mode: str, which: str, mine: Sequence[Verdict], audited: bool) -> str:
    seen = [v for v in mine if cause.id in v.found[which]]
    if which == "bpf":
        with_probes = [v for v in seen if v.probes]
        if seen and not with_probes:
            return f"seen by what conntrack told{_time(cause, seen)}"
        seen = with_probes or seen
    if seen:
        return f"seen{_time(cause, seen) if which in ('bpf', 'conntrack') else ''}"
    if which == "state" and audited:
        return "seen by an audit"
    if which == "capture" and any(cause.id in v.found[BESIDE] for v in mine):
        return "seen with the state directory beside it"
    if not getattr(cause.sight, which):
        return f"not visible there: {_WHY_NOT[which]}"
    if mine:
        return _OTHERWISE.get((cause.id, mode, which), _NOT_HERE[which])
    return _not_reproduced(cause, mode)


def _time(cause: Cause, seen: Sequence[Verdict]) -> str:
    times = [v.after_s[cause.id] for v in seen if cause.id in v.after_s]
    return f", {max(times):.1f} s" if times else ""


def _not_reproduced(cause: Cause, mode: str) -> str:
    made = [scenario for scenario in SCENARIOS if cause.id in scenario.findings]
    if any(scenario.mode == mode for scenario in made):
        return "not recorded: the lab has a scenario for it"
    if why := _NOT_IN_MODE.get((cause.id, mode)):
        return f"not reproduced: {why}"
    if made:
        return _SAME
    why = _NOT_MADE.get(cause.id, _NEED_IPVS if mode == "ipvs" else "no scenario of the lab yet")
    return f"not reproduced: {why}"


def matrix(verdicts: Sequence[Verdict], which: str = "bpf") -> Iterator[str]:
    """What was there against what was said, of one input; then the precision."""
    pairs: Counter[tuple[str, str]] = Counter()
    critical: Counter[bool] = Counter()
    for verdict in verdicts:
        real, said = set(verdict.expected), set(verdict.found[which])
        pairs.update((cause, cause) for cause in real & said)
        pairs.update((cause, NOTHING) for cause in real - said)
        pairs.update((", ".join(sorted(real)) or HEALTHY, cause) for cause in said - real)
        if not real and not said:
            pairs[HEALTHY, NOTHING] += 1
        for cause in said:
            if CAUSES_BY_ID[cause].severity is Severity.CRITICAL or cause in verdict.grave:
                critical[cause in real] += 1
    yield "| there was | was said | recordings |"
    yield "|---|---|---|"
    for (real_cause, said_cause), number in sorted(pairs.items()):
        yield f"| {real_cause} | {said_cause} | {number} |"
    right = sum(n for (real_cause, said), n in pairs.items() if real_cause == said)
    wrong = sum(
        n
        for (real_cause, said), n in pairs.items()
        if said not in (real_cause, NOTHING) and not is_fallback(said)
    )
    yield ""
    yield (
        f"Named causes: {right} right, {wrong} wrong (precision {_share(right, wrong)}); critical: "
        f"{critical[True]} right, {critical[False]} wrong "
        f"(precision {_share(critical[True], critical[False])})."
    )


def times(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """From the first lost packet to the finding."""
    told: list[tuple[float, str]] = []
    silent: list[tuple[float, str]] = []
    late: list[tuple[float, str]] = []
    for verdict in verdicts:
        for cause, seconds in verdict.after_s.items():
            name = f"{cause} ({verdict.scenario})"
            if cause not in verdict.told:
                silent.append((seconds, name))
                continue
            after_word = verdict.after_word_s.get(cause, seconds)
            told.append((after_word, name))
            late.append((seconds - after_word, name))
    for title, found in (
        ("from somebody's word of the loss", told),
        ("from the first lost packet to that word", late),
        ("from silence", silent),
    ):
        if found:
            slowest, name = max(found)
            middle = sorted(seconds for seconds, _ in found)[len(found) // 2]
            why = _LATE.get(name.partition(" ")[0], "") if found is late else ""
            yield (
                f"- {title}: {len(found)} findings, median {middle:.1f} s, "
                f"slowest {slowest:.1f} s: {name}{why}"
            )


def losses(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """What became of the findings when records were missing."""
    kept = fell = gone = false = runs = 0
    for verdict in verdicts:
        for run in verdict.lossy:
            runs += 1
            named = {cause for cause in run if not is_fallback(cause)}
            false += len(named - set(verdict.expected))
            for cause in set(verdict.found["bpf"]) & set(verdict.expected):
                gone += cause not in run
                kept += cause in run
                fell += run.get(cause, 1.0) < verdict.confidence[cause]
    yield (
        f"With {1 - KEEP:.0%} of packets and events missing ({runs} runs): {false} causes named "
        f"that were not there; of {kept + gone} that were, {kept} were still named, {fell} of them "
        "with less confidence."
    )


def _share(right: int, wrong: int) -> str:
    return f"{right / (right + wrong):.3f}" if right + wrong else "none were said"


def page(verdicts: Sequence[Verdict]) -> str:
    """Everything, as one page."""
    lines = [
        "# What shows which cause",
        "",
        "<!-- Made by `make causes`; change tracer/diagnosis or lab instead. -->",
        "",
        f"From {len(verdicts)} recordings in `pcaps/` and the rules themselves. Times are record",
        "time from the first lost packet to the finding. Recordings without probes were made with",
        "conntrack's socket and packets; probes tell the same and more.",
        "",
        *table(verdicts),
    ]
    for which, title in (("bpf", "Live"), ("capture", "From packets alone")):
        lines += ["", f"## {title}: what was there, what was said", "", *matrix(verdicts, which)]
    lines += ["", "## Time from the first lost packet to the finding", "", *times(verdicts)]
    lines += ["", "## Loss", "", *losses(verdicts)]
    return "\n".join(lines) + "\n"
