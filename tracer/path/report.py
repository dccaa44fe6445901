"""An explanation as JSON and as a tree for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer import address
from tracer.path.ask import Explanation
from tracer.path.packet import UNTOLD, Step
from tracer.path.path import Choice
from tracer.path.translation import shown
from tracer.plain import harmless, shortened

WIDEST_RULE = 160
"""Characters of a rule that are shown in the tree."""
Plain = dict[str, object]


def as_json(explanation: Explanation) -> Plain:
    """The ``path`` object of the JSON lines."""
    path = explanation.path
    return {
        "type": "path",
        "verdict": path.verdict,
        "cause": path.cause or None,
        "steps": [
            {
                "hook": step.hook,
                "table": step.table,
                "chain": step.chain,
                "rule": step.rule,
                "effect": step.effect,
                "meaning": _meaning(explanation, step) or None,
            }
            for step in path.steps
        ],
        "backends": [_backend(explanation, choice) for choice in path.choices],
        "masquerade": path.masquerade,
        "source_nat": {"ip": address.text(path.source), "port": None} if path.source else None,
        "device": path.device or None,
        "refused_with": path.how or None,
        "unknown": list(path.unknown),
        "notes": list(explanation.notes),
    }


def _backend(explanation: Explanation, choice: Choice) -> Plain:
    probability = choice.probability
    return {
        "ip": address.text(choice.ip),
        "port": choice.port,
        "probability": None if probability is None else round(probability, 9),
        "name": explanation.names.of(choice.ip) or None,
        "verdict": choice.verdict,
        "masquerade": choice.masquerade,
    }


def as_tree(explanation: Explanation) -> list[str]:
    """Lines for a terminal; nothing of a rule or a name can act on it."""
    lines = [_picture(explanation), "", *_steps(explanation), ""]
    lines += _verdict(explanation)
    return [harmless(line) for line in lines]


def _picture(explanation: Explanation) -> str:
    packet, path = explanation.packet, explanation.path
    source = _named(explanation, packet.src, packet.sport)
    way = (
        f"[{packet.incoming if packet.incoming != UNTOLD else '?'}]"
        if packet.incoming
        else "[local]"
    )
    target = _named(explanation, packet.dst, packet.dport)
    end = f"[{path.device}]" if path.device and path.verdict == "delivered" else path.verdict
    backends = path.choices
    to = ""
    if len(backends) == 1:
        to = f" ══> {_named(explanation, backends[0].ip, backends[0].port)}"
    elif backends:
        to = f" ══> one of {len(backends)} backends"
    return f"{source} ──{way}──> {target}/{packet.protocol_name}{to} ──> {end}"


def _named(explanation: Explanation, ip: bytes, port: int | None) -> str:
    name = explanation.names.of(ip)
    return shown(ip, port) + (f" ({name})" if name else "")


def _steps(explanation: Explanation) -> Iterator[str]:
    """Steps under their hook, their table and chain."""
    hook = ""
    for group in _grouped(explanation.path.steps):
        if group[0].hook != hook:
            hook = group[0].hook
            yield f"● {hook}"
        for step in group:
            yield from _step(explanation, step)


def _grouped(steps: Sequence[Step]) -> Iterator[list[Step]]:
    group: list[Step] = []
    for step in steps:
        if group and group[-1].hook != step.hook:
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def _meaning(explanation: Explanation, step: Step) -> str:
    """What the chain is for that a step leads to."""
    return explanation.names.chain(step.effect.rpartition(" to ")[2], step.rule)


def _step(explanation: Explanation, step: Step) -> Iterator[str]:
    where = " ".join(word for word in (step.table, step.chain) if word)
    meaning = _meaning(explanation, step)
    effect = f"{step.effect} [{meaning}]" if meaning else step.effect
    yield f"├─ {where + ': ' if where else ''}{effect}"
    if step.rule and not step.rule.isspace():
        yield f"│     {shortened(step.rule.strip(), WIDEST_RULE)}"


def _verdict(explanation: Explanation) -> Iterator[str]:
    path = explanation.path
    how = f" ({path.how})" if path.how else ""
    yield f"{path.verdict}{how}" + (f": {path.cause}" if path.cause else "")
    for reason in path.unknown:
        yield f"  unknown because: {reason}"
    for choice in path.choices:
        chance = "  ?  " if choice.probability is None else f"{choice.probability:6.1%}"
        source = f", source {address.text(choice.source)}" if choice.source else ""
        kept = ", masqueraded" if choice.masquerade else ""
        end = "" if choice.verdict == path.verdict else f", {choice.verdict}"
        yield f"  {chance}  {_named(explanation, choice.ip, choice.port)}{kept}{source}{end}"
    if path.source and not path.choices:
        yield f"  leaves with source {address.text(path.source)}"
    for note in explanation.notes:
        yield f"  {note}"
