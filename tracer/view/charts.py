"""Numbers as little pictures of text."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """A share from 0 to 1 as a bar, as wide as it is large, and padded to ``width``."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float]) -> str:
    """One character a value; the largest one is as high as a line, nothing is a blank."""
    most = max(values, default=0.0)
    return "".join(_LEVELS[min(int(value / most * 8), 7)] if value > 0 else " " for value in values)


def share_text(part: float, whole: float, width: int = 10) -> str:
    """A bar with its percentage; empty where there is nothing to share."""
    if not whole:
        return ""
    return f"{bar(part / whole, width)} {part / whole:4.0%}"
