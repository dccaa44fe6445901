"""Imports go one way: every edge between our modules is checked against one table.

A module may import from the lines above its own. ``package.*`` stands for modules that do not know
each other (no source knows another, no rule knows a rule). A package named without it is one unit:
its files may use each other, without a cycle.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = (
    # Values that the vocabulary is made of.
    (
        *("tracer.node.xtables", "tracer.node.nft_ruleset"),
        *("tracer.node.routing", "tracer.node.sets", "tracer.node.health", "tracer.fields"),
    ),
    # The vocabulary: knows nothing, known by all.
    (
        *("tracer", "tracer.errors", "tracer.plain", "tracer.settings", "tracer.names"),
        *("tracer.address", "tracer.clock", "tracer.index", "tracer.events", "tracer.flow"),
        *("tracer.cluster.model", "tracer.node.model", "tracer.diagnosis.finding"),
        "tracer.diagnosis",
    ),
    ("tracer.tunnels",),
    ("tracer.tuples", "tracer.cells", "tracer.packets", "tracer.cluster"),
    (
        *("tracer.flows", "tracer.enrich", "tracer.orders", "tracer.departed"),
        *("tracer.tunnel_cells", "tracer.rate_cells", "tracer.capture_file", "tracer.node"),
    ),
    ("tracer.pairing", "tracer.recording", "tracer.path", "tracer.drift", "tracer.server_turns"),
    ("tracer.columns", "tracer.filters", "tracer.lag"),
    ("tracer.detail", "tracer.diagnosis.rule", "tracer.diagnosis.causes"),
    ("tracer.diagnosis.signs", "tracer.diagnosis.wording", "tracer.diagnosis.ledger"),
    ("tracer.diagnosis.drops",),
    ("tracer.diagnosis.places", "tracer.diagnosis.subjects"),
    (
        *("tracer.diagnosis.local_policy", "tracer.diagnosis.departures"),
        *("tracer.diagnosis.outside_clients", "tracer.diagnosis.service_addresses"),
        *("tracer.diagnosis.state_findings", "tracer.diagnosis.virtual_servers"),
        "tracer.diagnosis.walked",
    ),
    ("tracer.diagnosis.*",),
    ("tracer.diagnosis.catalogue", "tracer.diagnosis.audit_catalogue"),
    ("tracer.diagnosis.engine", "tracer.diagnosis.explanation", "tracer.diagnosis.audit"),
    ("tracer.pipeline",),
    ("tracer.naming",),
    ("tracer.view",),
    # The edges: sockets, files, threads.
    ("tracer.node.netlink", "tracer.privileges"),
    (
        *("tracer.node.programmed", "tracer.node.rtnetlink", "tracer.node.existing"),
        "tracer.node.ipvs_netlink",
    ),
    ("tracer.node.state_files",),
    ("tracer.node.programmed_rules",),
    ("tracer.node.collect", "tracer.node.ipvs_poll", "tracer.node.health_poll"),
    ("tracer.node.reader", "tracer.node.verifier", "tracer.node.health_file"),
    (
        *("tracer.sources", "tracer.sinks", "tracer.sinks.due", "tracer.cluster.api"),
        "tracer.tempo",
    ),
    ("tracer.cluster.watch",),
    ("tracer.sinks.jsonl", "tracer.sinks.text", "tracer.metrics"),
    ("tracer.sinks.report",),
    ("tracer.sources.slots",),
    ("tracer.sources.*", "tracer.sources.sniff", "tracer.sinks.*"),
    ("tracer.inbox",),
    ("tracer.session",),
    ("tracer.tui",),
    ("tracer.commands.fact",),
    ("tracer.commands.probe_facts",),
    ("tracer.commands.facts", "tracer.commands.output", "tracer.commands.reel"),
    ("tracer.commands.screen",),
    ("tracer.commands.clock_option", "tracer.commands.ahead"),
    ("tracer.commands.clocks",),
    ("tracer.commands.captures", "tracer.commands.recorder", "tracer.commands.record_options"),
    ("tracer.commands.progress", "tracer.commands.api_objects"),
    ("tracer.commands.node_input",),
    ("tracer.commands.play", "tracer.commands.live_cluster"),
    ("tracer.commands.live_beside", "tracer.commands.live_health"),
    ("tracer.commands.live_run", "tracer.commands.replay_run", "tracer.commands.audit_run"),
    ("tracer.commands.live", "tracer.commands.export_run"),
    ("tracer.commands.*",),
    ("tracer.commands",),
    ("tracer.cli",),
    ("tracer.__main__",),
)

CORE = LAYERS.index(("tracer.view",))
"""Layers up to this one: inputs in, values out; no threads and no processes."""

IMPURE = {"asyncio", "logging", "multiprocessing", "queue", "select", "subprocess"}

HOMES = {
    "bcc": ("probes.loader",),
    "click": ("tracer.cli", "tracer.commands"),
    "kubernetes": ("tracer.cluster.api.connection",),
    "msgspec": (
        *("tracer.cells", "tracer.cluster.json_documents", "tracer.cluster.api.wire"),
        *("tracer.sinks.jsonl", "tracer.sinks.parquet"),
    ),
    "numpy": ("tracer",),
    "probes": ("probes", "tracer.sources.kernel", "tracer.commands"),
    "prometheus_client": ("tracer.metrics",),
    "pyarrow": ("tracer.sinks.parquet",),
    "rich": ("tracer.tui",),
    "scapy": ("tracer.sources.sniff", "tracer.tui"),
    "textual": ("tracer.tui",),
    "threading": (
        *("tracer.inbox", "tracer.session", "tracer.cluster.watch"),
        *("tracer.commands.screen", "tracer.commands.reel", "tracer.tempo"),
    ),
    "urllib3": ("tracer.cluster.api.connection",),
    "yaml": ("tracer.cluster.yaml_documents", "tracer.cluster.api.credentials"),
}
"""Where the kernel side, threads and each third-party package may be imported."""


class Edge(NamedTuple):
    """One import: who, what, where it is written."""

    importer: str
    imported: str
    place: str


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(root: Path) -> dict[str, Path]:
    files = (path for package in ("tracer", "probes") for path in (root / package).rglob("*.py"))
    return {module_name(path, root): path for path in sorted(files)}


def imported_names(node: ast.AST, importer: str, known: dict[str, Path]) -> Iterator[str]:
    """What an import statement reaches: the submodule where there is one, else the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, f"{importer}: relative import"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in known else str(node.module)


def edges_of(root: Path) -> list[Edge]:
    """Every import, those inside functions included."""
    known = modules_of(root)
    found = [
        Edge(importer, imported, f"{path.relative_to(root)}:{node.lineno}")
        for importer, path in known.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in imported_names(node, importer, known)
    ]
    return list(dict.fromkeys(found))


def place_of(module: str) -> tuple[int, str]:
    """Layer and unit of a module, by the most exact entry; (-1, "") where there is none."""
    best = (-1, -1, "")
    for layer, entries in enumerate(LAYERS):
        for entry in entries:
            stem = entry.removesuffix(".*")
            inside = stem != "tracer" and module.startswith(f"{stem}.")
            if entry.endswith(".*") and inside:
                best = max(best, (len(entry), layer, module))
            elif entry == module or (entry == stem and inside):
                best = max(best, (len(entry), layer, entry))
    return best[1:]


def internal_offence(edge: Edge) -> str | None:
    importer, imported = edge.importer, edge.imported
    if importer.startswith("probes"):
        return "probes/ knows nothing of tracer"
    (own_layer, own_unit), (layer, unit) = place_of(importer), place_of(imported)
    if layer < own_layer or unit == own_unit:
        return None
    return "siblings do not know each other" if layer == own_layer else "imports go down only"


def external_offence(edge: Edge) -> str | None:
    package = edge.imported.partition(".")[0]
    if package in HOMES or package not in sys.stdlib_module_names:
        homes = HOMES.get(package, ())
        at_home = any(f"{edge.importer}.".startswith(f"{home}.") for home in homes)
        return None if at_home else f"{package} belongs to {', '.join(homes) or 'no module'}"
    if package in IMPURE and 0 <= place_of(edge.importer)[0] <= CORE:
        return "the core is pure"
    return None


def offences_of(root: Path) -> list[str]:
    """Every forbidden edge, as one line."""
    found = []
    for edge in edges_of(root):
        ours = edge.imported.partition(".")[0] == "tracer"
        reason = internal_offence(edge) if ours else external_offence(edge)
        if reason:
            found.append(f"{edge.place}: {edge.importer} imports {edge.imported}: {reason}")
    return found


def test_every_import_goes_down():
    assert offences_of(ROOT) == []


def test_every_module_has_its_place():
    ours = [module for module in modules_of(ROOT) if module.startswith("tracer")]
    assert [module for module in ours if place_of(module)[0] < 0] == []


def test_the_table_names_only_what_is_there():
    known = modules_of(ROOT)
    stems = [entry.removesuffix(".*") for entries in LAYERS for entry in entries]
    assert [stem for stem in stems if stem not in known] == []


def test_there_is_no_cycle():
    known = modules_of(ROOT)
    graph: dict[str, set[str]] = {module: set() for module in known}
    for edge in edges_of(ROOT):
        if edge.imported in known:
            graph[edge.importer].add(edge.imported)
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("module", "text", "reason"),
    [
        ("tracer/flows/table.py", "from tracer import session", "imports go down only"),
        ("tracer/sources/a.py", "import tracer.sources.b", "siblings do not know each other"),
        ("tracer/view.py", "def f():\n    import textual", "textual belongs to tracer.tui"),
        ("tracer/pipeline.py", "from subprocess import run", "the core is pure"),
        ("tracer/cli.py", "import bcc", "bcc belongs to probes.loader"),
        ("tracer/view.py", "import probes.ring", "tracer.sources.kernel, tracer.commands"),
        ("probes/ring.py", "import numpy", "numpy belongs to tracer"),
        ("probes/ring.py", "from tracer import events", "probes/ knows nothing of tracer"),
    ],
)
def test_an_offending_edge_is_named(tmp_path, module, text, reason):
    for name in ("tracer/session.py", "tracer/events.py", "tracer/sources/b.py", module):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / module).write_text(text)
    (offence,) = offences_of(tmp_path)
    assert offence.startswith(f"{module}:")
    assert offence.endswith(reason)
