"""``sysctl -a`` as text."""

from __future__ import annotations

from tracer.node.lines import Unread


def parse(text: str, unread: Unread) -> dict[str, str]:
    """Value by dotted name; the last of two equal names wins."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.partition("=")
        name = name.strip()
        if equals and name and not any(c.isspace() for c in name):
            values[name] = value.strip()
        elif line.strip() and not line.lstrip().startswith("#"):
            unread.add(number, "not a sysctl", line)
    return values
