"""Errors a user can mend: what happened, why, and what to do about it."""

from __future__ import annotations


class TracerError(Exception):
    """One failure in three sentences; ``cli`` prints it and exits with ``exit_code``."""

    exit_code = 1

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[TracerError], tuple[str, str, str]]:
        """As it goes from one process to another: whole."""
        return type(self), (self.what, self.why, self.remedy)

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.remedy) if line)


class InputError(TracerError):
    """Bad usage or input that cannot be read (exit code 2)."""

    exit_code = 2


class UnableError(TracerError):
    """This node, kernel or these privileges cannot do it (exit code 3)."""

    exit_code = 3
