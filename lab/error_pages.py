"""Every error message of the program, with its reason and what to do: read from the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "InputError": "Bad usage, or input that cannot be read (exit code 2)",
    "UnableError": "This node, kernel or these privileges cannot do it (exit code 3)",
    "ProbeError": "Probes cannot run (with `--backend bpf` exit code 3, else conntrack is used)",
    "Problem": "Tracing goes on without something (listed as degraded, exit code unchanged)",
}
_MADE = "<!-- Made by `make docs` from the code. -->"


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One message; parts that are known only when it happens stand as ``…``."""

    what: str
    why: str
    remedy: str


def messages() -> dict[str, list[Message]]:
    """All of them by the class that carries them, each once."""
    found: dict[str, set[Message]] = {kind: set() for kind in KINDS}
    for package in ("tracer", "probes"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for kind, message in _raised(ast.parse(path.read_text())):
                found[kind].add(message)
    return {kind: sorted(items) for kind, items in found.items()}


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from ("# Error messages", "", _MADE, "")
    yield "An error has up to three lines: what happened, why, and what to do. `…` stands for what"
    yield "depends on the occasion: a name, a file, the operating system's words. A traceback is"
    yield "always a bug of viptrace: please report it."
    for kind, items in messages().items():
        yield from ("", f"## {KINDS[kind]}", "", "| message | why | what to do |", "|---|---|---|")
        for item in items:
            cells = (_cell(text) for text in (item.what, item.why, item.remedy))
            yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    plain = re.sub(r"([<>|*_`])", r"\\\1", " ".join(text.split()))
    return plain or "-"


def _raised(tree: ast.Module) -> Iterator[tuple[str, Message]]:
    constants = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id not in KINDS or not node.args:
            continue
        texts = [_text(argument, constants) for argument in node.args[:3]]
        if texts[0].strip(" …:"):
            yield node.func.id, Message(*texts, *[""] * (3 - len(texts)))


def _text(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    """A message's text as far as it is written in the code."""
    if isinstance(node, ast.Constant):
        return str(node.value or "")
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, constants) for part in node.values)
    if isinstance(node, ast.Name) and node.id.isupper() and node.id in constants:
        return _text(constants[node.id], constants)
    if isinstance(node, ast.BoolOp):
        return _text(node.values[-1], constants) or "…"
    return "…"
