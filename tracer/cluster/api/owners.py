"""Whose an address was when: pods come and go, their addresses are used again."""

from __future__ import annotations

from tracer.cluster.model import Handover


class Owners:
    """Follows which pod has an address; remembers the latest handovers."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._owner: dict[bytes, str] = {}
        """Whose it is, or was when nobody has had it since."""
        self._handovers: dict[tuple[bytes, str], Handover] = {}
        """By address and former owner, the oldest first."""
        self._told: tuple[Handover, ...] | None = ()

    def claim(self, ip: bytes, pod: str, at_ns: int) -> None:
        """This pod has the address now."""
        before = self._owner.get(ip)
        if before == pod:
            known = self._handovers.get((ip, pod))
            if known is not None and not known.after:
                # It was released by one kind of object before another said that it stays.
                del self._handovers[ip, pod]
                self._told = None
            return
        self._owner[ip] = pod
        if before is not None:
            former = self._handovers.get((ip, before))
            left_ns = former.at_ns if former is not None and not former.after else at_ns
            self._add(Handover(left_ns, ip, before, pod))

    def release(self, ip: bytes, pod: str, at_ns: int) -> None:
        """This pod has the address no longer; its name stays until another pod takes it."""
        if self._owner.get(ip) == pod and (ip, pod) not in self._handovers:
            self._add(Handover(at_ns, ip, pod))

    def handovers(self) -> tuple[Handover, ...]:
        """Those remembered, the oldest first; the same value while there is no new one."""
        if self._told is None:
            self._told = tuple(self._handovers.values())
        return self._told

    def _add(self, handover: Handover) -> None:
        self._told = None
        self._handovers.pop((handover.ip, handover.before), None)
        self._handovers[handover.ip, handover.before] = handover
        if len(self._handovers) > self._limit:
            oldest = next(iter(self._handovers.values()))
            del self._handovers[oldest.ip, oldest.before]
            if not oldest.after and self._owner.get(oldest.ip) == oldest.before:
                del self._owner[oldest.ip]
