"""What flows were captured inside, for columns."""

from __future__ import annotations

from tracer.cells import Flows, Naming, looked_up


def texts(flows: Flows, naming: Naming) -> list[str]:
    """``vxlan 42 between 192.168.0.1 and 192.168.0.2``, or empty."""

    def told(number: int) -> str:
        found = naming.tunnel(number)
        return found.text() if found else ""

    return looked_up(flows["tunnel"], told)


def values(flows: Flows, naming: Naming) -> list[object]:
    """Kind, identifier and both ends, or null."""

    def told(number: int) -> object:
        found = naming.tunnel(number)
        return found.json() if found else None

    return looked_up(flows["tunnel"], told)
