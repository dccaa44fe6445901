"""Imports go one way: every edge between our modules is checked against one table.

The table is read from the bottom: a module may import from the lines above its own. A name
ending in ``.*`` stands for modules that do not know each other (no source knows a sink, no rule
knows a rule); a package without it is one unit, whose files may use each other without a cycle.
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
    ("tracer", "tracer.errors", "tracer.plain", "tracer.index"),
    ("tracer.address", "tracer.clock", "tracer.names", "tracer.settings", "tracer.tuples"),
    ("tracer.events", "tracer.cluster.model", "tracer.node.model"),
    ("tracer.flow", "tracer.packets", "tracer.cluster", "tracer.node.*"),
    ("tracer.cells", "tracer.filters", "tracer.flows", "tracer.enrich"),
    ("tracer.columns", "tracer.diagnosis.finding"),
    ("tracer.diagnosis.rule",),
    ("tracer.diagnosis.*",),
    ("tracer.diagnosis.catalogue",),
    ("tracer.pipeline", "tracer.view"),
    ("tracer.sources.*", "tracer.sinks.*"),
    ("tracer.session",),
    ("tracer.tui",),
    ("tracer.commands.*",),
    ("tracer.cli",),
    ("tracer.__main__",),
)

CORE = 9
"""Layers up to the pipeline's: inputs in, values out; no threads, files, sockets or processes."""

IMPURE = {"asyncio", "logging", "multiprocessing", "queue", "select", "subprocess", "threading"}

HOMES = {
    "bcc": ("probes.loader",),
    "click": ("tracer.cli", "tracer.commands"),
    "msgspec": ("tracer.sinks", "tracer.cluster", "tracer.node", "tracer.commands"),
    "numpy": ("tracer",),
    "pyroute2": ("tracer.node", "tracer.sources.conntrack"),
    "rich": ("tracer.tui", "tracer.sinks.text"),
    "scapy": ("tracer.sources.sniff", "tracer.tui.widgets.packet"),
    "textual": ("tracer.tui",),
    "yaml": ("tracer.cluster",),
}
"""Where each third-party package may be imported; everything else is the standard library."""


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
    return [
        Edge(importer, imported, f"{path.relative_to(root)}:{node.lineno}")
        for importer, path in known.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in imported_names(node, importer, known)
    ]


def place_of(module: str) -> tuple[int, str]:
    """Layer and unit of a module, by the most exact entry; (-1, "") where there is none."""
    best = (-1, -1, "")
    for layer, entries in enumerate(LAYERS):
        for entry in entries:
            stem = entry.removesuffix(".*")
            package = stem != "tracer" and module.startswith(f"{stem}.")
            if module == stem or package:
                best = max(best, (len(stem), layer, module if entry.endswith(".*") else stem))
    return best[1:]


def internal_offence(edge: Edge) -> str | None:
    importer, imported = edge.importer, edge.imported
    if importer.startswith("probes"):
        return "probes/ knows nothing of tracer" if imported.startswith("tracer") else None
    if imported.startswith("probes") or importer.startswith(f"{imported}."):
        return None
    (own_layer, own_unit), (layer, unit) = place_of(importer), place_of(imported)
    if layer < own_layer or unit == own_unit:
        return None
    return "siblings do not know each other" if layer == own_layer else "imports go down only"


def external_offence(edge: Edge) -> str | None:
    package = edge.imported.partition(".")[0]
    if package not in sys.stdlib_module_names:
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
        ours = edge.imported.partition(".")[0] in ("tracer", "probes")
        reason = internal_offence(edge) if ours else external_offence(edge)
        if reason:
            found.append(f"{edge.place}: {edge.importer} imports {edge.imported}: {reason}")
    return found


def test_every_import_goes_down():
    assert offences_of(ROOT) == []


def test_every_module_has_its_place():
    ours = [module for module in modules_of(ROOT) if module.startswith("tracer")]
    assert [module for module in ours if place_of(module)[0] < 0] == []


def test_there_is_no_cycle():
    known = modules_of(ROOT)
    graph: dict[str, set[str]] = {module: set() for module in known}
    for edge in edges_of(ROOT):
        if edge.imported in known and not edge.importer.startswith(f"{edge.imported}."):
            graph[edge.importer].add(edge.imported)
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("module", "text", "reason"),
    [
        ("tracer/flows/table.py", "from tracer import session", "imports go down only"),
        ("tracer/sources/a.py", "import tracer.sources.b", "siblings do not know each other"),
        ("tracer/view.py", "def f():\n    import textual", "textual belongs to tracer.tui"),
        ("tracer/pipeline.py", "from threading import Thread", "the core is pure"),
        ("tracer/cli.py", "import bcc", "bcc belongs to probes.loader"),
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
