"""One page for each cause, from its table, its rule and the lab's scenarios."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from lab.scenario import Scenario
from lab.scenarios import SCENARIOS
from tracer.diagnosis import causes
from tracer.diagnosis.causes import CAUSES_BY_ID
from tracer.diagnosis.explanation import Explanation, explain

MODULE = Path(causes.__file__).with_name("reproduced.py")
BY_INPUT = "seen.md"
"""Made from the recordings, by `make causes`."""
_BY_DESIGN = (
    "A backend that sees a node's address instead of its client's is no fault and has no page: "
    "nodes rewrite the source where a node port, an external or a load balancer address with "
    "policy Cluster is asked, so that answers come back through them. The column SNAT shows it "
    "of every flow, `viptrace explain` says which rule does it; `externalTrafficPolicy: Local` "
    "keeps the client."
)
_MADE = "<!-- Made by `make docs`; change tracer/diagnosis instead. -->"


def pages() -> dict[str, str]:
    """Text by file name: a page for each cause, and their list."""
    found = {f"{name}.md": "\n".join(_page(explain(name))) + "\n" for name in CAUSES_BY_ID}
    return {"README.md": "\n".join(_index()) + "\n", **found}


def module() -> str:
    """The same reproductions for ``viptrace explain-cause``, which knows no lab."""
    lines = [
        '"""How the lab makes each cause happen: written by ``make docs``."""',
        *("", "from __future__ import annotations", ""),
        *("from collections.abc import Mapping", "", "# fmt: off"),
        "REPRODUCED: Mapping[str, tuple[str, ...]] = {",
    ]
    for name in CAUSES_BY_ID:
        made = [scenario for scenario in SCENARIOS if name in scenario.findings]
        if made:
            lines += [f"    {json.dumps(name)}: (", *map(_entry, made), "    ),"]
    return "\n".join([*lines, "}", ""])


def _entry(scenario: Scenario) -> str:
    parts = f"{scenario.title} ", f"({scenario.mode} mode): ", f"{_command(scenario)},"
    *first, last = [json.dumps(part, ensure_ascii=False) for part in parts]
    return "\n".join(f"        {part}" for part in (*first, last[:-2] + '",'))


def write(folder: Path, wanted: dict[str, str] | None = None) -> None:
    """Write every page; pages of what is no more are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages() if wanted is None else wanted
    for old in folder.glob("*.md"):
        if old.name not in wanted and old.name != BY_INPUT:
            old.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)


def _index() -> Iterator[str]:
    yield from ("# Causes", "", _MADE, "")
    yield "What viptrace can name, in the order in which rules are asked. The columns say which"
    yield "input shows it: live with probes (bpf), live with conntrack and packets, packets alone,"
    yield "state alone."
    yield from ("", *textwrap.wrap(_BY_DESIGN, 100))
    yield from ("", "| cause | severity | modes | bpf | conntrack | packets | state |")
    yield "|---|---|---|---|---|---|---|"
    for name, cause in CAUSES_BY_ID.items():
        marks = ["yes" if text else "no" for _, text in explain(name).sights]
        link = f"[`{name}`]({name}.md): {_plain(cause.title)}"
        cells = [link, cause.severity.label, ", ".join(cause.modes), *marks]
        yield f"| {' | '.join(cells)} |"


def _page(told: Explanation) -> Iterator[str]:
    cause = told.cause
    yield from (f"# {cause.id}", "", _MADE, "", f"**{_plain(cause.title)}.**", "")
    yield f"Severity {cause.severity.label}; kube-proxy modes: {', '.join(cause.modes)}."
    for title, text in (("Symptom", cause.symptom), ("Mechanism", cause.summary)):
        yield from ("", f"## {title}", "", _plain(text))
    yield from ("", "## How viptrace sees it", "", f"- Claims: {_plain(told.claims)}")
    yield f"- Evidence: {_plain(told.evidence)}"
    yield f"- Cannot know: {_plain(told.limits)}"
    yield from ("", "| input | shows |", "|---|---|")
    for title, text in told.sights:
        yield f"| {title} | {_plain(text) or 'nothing'} |"
    yield from ("", "## Reproduction", "", *_reproduction(cause.id))
    yield from ("", "## Remedy", "")
    for number, step in enumerate(told.remedy, start=1):
        yield f"{number}. {_step(step)}"
    if cause.sources:
        yield from ("", "## Sources", "", *(f"- <{source}>" for source in cause.sources))


def _step(step: str) -> str:
    """A command as code, its remark as text; sentences as they are."""
    if step[0].isupper():
        return _plain(step)
    command, mark, remark = step.partition("   # ")
    return f"`{command}`" + (f": {_plain(remark)}" if mark else "")


def _reproduction(name: str) -> Iterator[str]:
    made = [scenario for scenario in SCENARIOS if name in scenario.findings]
    if not made:
        yield "No scenario of the lab makes it; its rule is tested with made-up records only."
    for scenario in made:
        yield f"- {_plain(scenario.title)} ({scenario.mode} mode): `{_command(scenario)}`"


def _command(scenario: Scenario) -> str:
    command = f"python -m lab record {scenario.name} -o /tmp"
    return f"python -m lab vm -- {command}" if scenario.kernel_only else command


def _plain(text: str) -> str:
    """Text in which Markdown sees no markup, but for the double back-quotes of docstrings."""
    return re.sub(r"([<>|*_])", r"\\\1", text.replace("``", "`"))
