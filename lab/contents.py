"""The table of recorded scenarios, as it stands in ``pcaps/README.md``."""

from __future__ import annotations

import json
from pathlib import Path

from lab.real.releases import RELEASES, minor
from lab.scenario import Scenario
from lab.scenarios import SCENARIOS

HEAD = """# Recorded scenarios

Each folder is one incident or one healthy way of traffic, recorded in the lab on a real kernel
with kube-proxy's rules in place. The fast tests replay all of them, and so can you:

```console
viptrace replay pcaps/ipvs-external-ip-is-node-ip
```

| in a folder | is |
|---|---|
| `capture.pcapng` | packets of every interface of the node looked at; opens in Wireshark |
| `events.npy`, `texts.json` | what the kernel probes told in the meantime |
| `cluster.yaml` | what Kubernetes said |
| `state/` | the node's tables before the traffic |
| `truth/` | what the clients saw, and the kernel's own tables afterwards |
| `expected.json` | what the scenario says must be found; never taken from viptrace's output |

Rules and virtual servers are those that the lab writes, except in folders that end in
`-kube-proxy-` and a release: there kube-proxy itself programmed the node, from a live API server,
and `python -m lab compare-rules pcaps/*-kube-proxy-*` holds the lab's rules against its own.

Made by `python -m lab vm -- python -m lab record -o pcaps all`, and with kube-proxy by
`python -m lab with-api --vm -- python -m lab record -o … --proxy 1.34.2 NAME…`; this page by
`python -m lab scenarios --table pcaps > pcaps/README.md`.

| folder | mode | kernel | shows | translations | findings |
|---|---|---|---|---|---|
"""


def contents(pcaps: Path) -> str:
    """The whole page."""
    rows = [
        _row(scenario, pcaps / f"{scenario.name}{ending}")
        for ending in ("", *(f"-kube-proxy-{minor(release)}" for release in RELEASES))
        for scenario in SCENARIOS
    ]
    return HEAD + "".join(row for row in rows if row)


def _row(scenario: Scenario, folder: Path) -> str:
    """One line; empty for a scenario that is not recorded here."""
    path = folder / "expected.json"
    if not path.exists():
        return ""
    expected = json.loads(path.read_text())
    findings = ", ".join(f"`{cause}`" for cause in expected["findings"]) or "none"
    cells = (
        f"`{folder.name}`",
        expected["mode"],
        expected["kernel"],
        scenario.title,
        str(expected["translations"]),
        findings,
    )
    return f"| {' | '.join(cells)} |\n"
