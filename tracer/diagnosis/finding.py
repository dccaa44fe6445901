"""What a rule says: a cause, whom it hits, the evidence, and what to type."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """Ordered, so that findings sort by it."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def label(self) -> str:
        """Lower-case name, as in the JSON contract."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class FlowSubject:
    """The tuple a finding is about, as the client sees it; addresses are 16 packed bytes."""

    protocol: int
    src: bytes
    src_port: int
    dst: bytes
    dst_port: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a finding is about; the parts that identify it are those of ``key``."""

    service: str | None = None
    """``namespace/name``."""
    address: bytes | None = None
    node: str | None = None
    flow: FlowSubject | None = None
    """An example flow, not part of the identity unless nothing else is known."""

    @property
    def key(self) -> tuple[object, ...]:
        """Identity: one finding per cause and key."""
        named = (self.service, self.address, self.node)
        return named if any(part is not None for part in named) else (self.flow,)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact behind a finding."""

    kind: str
    """``kernel``, ``packet``, ``rule``, ``object``, ``sysctl``, ``conntrack`` or ``ipvs``."""
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: one per cause and subject, with a count, never one per packet."""

    cause: str
    severity: Severity
    confidence: float
    """0 to 1; lowered when the conclusion rests on absence and records were lost."""
    since_ns: int
    subject: Subject
    summary: str
    evidence: tuple[Evidence, ...]
    remedy: tuple[str, ...]
    count: int = 1
    """Flows or refusals seen so far."""
    last_ns: int = 0
    open: bool = True
    consequence_of: str = ""
    """Cause id of the root this finding is only a symptom of."""
