"""Text of findings: facts in plain words, with names of tenants made harmless.

Names stand in sentences escaped for a terminal, and in commands quoted for a shell
as well, so that a name can neither act on the screen nor on the prompt.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tracer.address import endpoint, is_ipv4, packed_at, text
from tracer.diagnosis.finding import Evidence, FlowSubject
from tracer.diagnosis.rule import Scene
from tracer.events import PROTOCOL_NAMES
from tracer.flow import Rows, Seen
from tracer.plain import harmless

MAX_FLOW_LINES = 4
"""Flows written out as evidence for one finding; the count tells of the rest."""


def plain(name: str) -> str:
    """A name for a sentence."""
    return harmless(name)


def word(name: str) -> str:
    """A name as one word of a shell command."""
    return shlex.quote(harmless(name))


def rule_words(rule: str) -> str:
    """A line of iptables-save from its chain on, quoted anew for a shell; empty if it is none.

    Comments of rules are tenants' texts, too.
    """
    try:
        words = shlex.split(rule.partition("-A ")[2])
    except ValueError:
        return ""
    return " ".join(map(word, words))


def service_word(key: str) -> tuple[str, str]:
    """Namespace and name of ``namespace/name`` as words of a shell command."""
    namespace, _, name = key.partition("/")
    return word(namespace), word(name)


def prefix(address: bytes) -> str:
    """A host route: ``1.2.3.4/32`` or ``fd00::1/128``."""
    return f"{text(address)}/{32 if is_ipv4(address) else 128}"


def protocol_name(number: int) -> str:
    """``tcp``, or the number where there is no name."""
    return PROTOCOL_NAMES.get(number, str(number))


def flow_subject(scene: Scene, row: int) -> FlowSubject:
    """The tuple of one row as its client sees it."""
    flows = scene.table.flows
    return FlowSubject(
        int(flows["protocol"][row]),
        packed_at(flows["client"], row),
        int(flows["client_port"][row]),
        packed_at(flows["virtual"], row),
        int(flows["virtual_port"][row]),
    )


def flow_text(scene: Scene, row: int) -> str:
    """``10.0.0.1:1024 -> 10.96.0.10:80/tcp``, with the backend where there is one."""
    flow, flows = flow_subject(scene, row), scene.table.flows
    written = (
        f"{endpoint(flow.src, flow.src_port)} -> {endpoint(flow.dst, flow.dst_port)}"
        f"/{protocol_name(flow.protocol)}"
    )
    if int(flows["seen"][row]) & Seen.TRANSLATED:
        backend = endpoint(packed_at(flows["backend"], row), int(flows["backend_port"][row]))
        written += f" (translated to {backend})"
    return written


def drop_text(scene: Scene, row: int) -> str:
    """Why and where the kernel freed the last dropped packet of a row."""
    flows = scene.table.flows
    reason = harmless(scene.text(int(flows["drop_reason"][row]))) or "no reason given"
    location = harmless(scene.text(int(flows["drop_location"][row]))) or "an unknown place"
    netns = int(flows["drop_netns"][row])
    return f"{reason} at {location}" + (f", netns {netns}" if netns else "")


def refusal_text(scene: Scene, row: int) -> str:
    """What came back instead of an answer."""
    flows = scene.table.flows
    refused_by = packed_at(flows["refused_by"], row)
    sender = f" from {text(refused_by)}" if any(refused_by) else ""
    if int(flows["seen"][row]) & Seen.ICMP_REFUSED:
        kind, code = divmod(int(flows["refusal"][row]), 256)
        return f"ICMP {kind}/{code}{sender}"
    return f"a reset{sender}"


def flow_lines(scene: Scene, rows: Rows, kind: str, told: str) -> tuple[Evidence, ...]:
    """One line a flow for the first few; ``told`` says what happened to them."""
    return tuple(
        Evidence(kind, f"{flow_text(scene, int(row))}: {told}") for row in rows[:MAX_FLOW_LINES]
    )


def listed(names: Iterable[str], nothing: str) -> str:
    """Names in a sentence, ``nothing`` when there is none."""
    return ", ".join(plain(name) for name in names) or nothing
