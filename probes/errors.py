"""What the kernel side cannot do, in three sentences; ``tracer`` turns it into exit code 3."""

from __future__ import annotations


class ProbeError(Exception):
    """Probing is impossible here: what failed, why, and what would let it work."""

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.remedy) if line)
