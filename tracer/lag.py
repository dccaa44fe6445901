"""How long the kernel kept behind the API: from a slice's change to the first translation to a
new endpoint, and to the last one to an endpoint that had left.

Translations show it, so it is an upper bound for additions (someone must connect first) and
a lower bound for removals (nobody may have connected). In ipvs mode the servers themselves show
it too, whoever connects: late by the time between two readings of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracer.cluster.lookup import KeyTable, rest, rest_of
from tracer.cluster.model import AHEAD_NS, ClusterChange, EndpointKey, Turn, endpoint_key
from tracer.enrich import Enricher
from tracer.flow import Flows, Rows, Seen
from tracer.server_turns import ServerTurns

_SERVICE_SHIFT = 32
"""Above port and protocol, which take 24 bits of a key's second word."""
_FOR_EVER = np.iinfo(np.int64).max

Times = npt.NDArray[np.int64]
_NEVER: Times = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Lags:
    """Lags of one sort, in nanoseconds; negative where the kernel was ahead of our news."""

    changes: int
    """Changes that were watched."""
    measured: tuple[int, ...]
    """Of those that something is known about, in order of size."""


@dataclass(frozen=True, slots=True)
class ServiceLag:
    """One Service's lags."""

    service: str
    joined: Lags
    left: Lags
    ipvs_joined: Lags | None = None
    """Until IPVS used the new endpoint; None where its servers were not watched."""
    ipvs_left: Lags | None = None
    """Until IPVS had let go of it, or given it the weight 0."""

    @property
    def worst_ns(self) -> int:
        """The longest of all."""
        every = (self.joined, self.left, self.ipvs_joined, self.ipvs_left)
        return max((lag for lags in every if lags for lag in lags.measured[-1:]), default=0)


def lags(
    flows: Flows,
    rows: Rows,
    enricher: Enricher,
    changes: Iterable[ClusterChange],
    servers: ServerTurns | None = None,
) -> list[ServiceLag]:
    """Lags of every Service whose endpoints changed, the longest first."""
    spans = _spans(changes)
    keys = {key: number for number, key in enumerate(spans)}
    starts = _starts(flows, rows, enricher, keys)
    served = _served(servers) if servers is not None and servers.watched else None
    found: dict[str, _Found] = {}
    for key, turns in spans.items():
        times = starts.get(keys[key], _NEVER)
        own = found.setdefault(key[0], _Found())
        for turn, begin, end in turns:
            told = _first if turn is Turn.JOINED else _last
            own.translated[turn].append(told(times, begin, end))
            if served is not None:
                own.served[turn].append(_first(served.get((turn, key), _NEVER), begin, end))
    made = [own.of(name, watched=served is not None) for name, own in found.items()]
    return sorted(made, key=lambda lag: (-lag.worst_ns, lag.service))


def _both() -> dict[Turn, list[int | None]]:
    return {Turn.JOINED: [], Turn.LEFT: []}


@dataclass(frozen=True, slots=True)
class _Found:
    """Lags of one Service's changes so far; None where nothing tells."""

    translated: Mapping[Turn, list[int | None]] = field(default_factory=_both)
    served: Mapping[Turn, list[int | None]] = field(default_factory=_both)

    def of(self, service: str, *, watched: bool) -> ServiceLag:
        """The sum; ``watched``: IPVS' servers were read."""
        joined, left = (_lags(self.translated[turn]) for turn in (Turn.JOINED, Turn.LEFT))
        if not watched:
            return ServiceLag(service, joined, left)
        return ServiceLag(
            service, joined, left, _lags(self.served[Turn.JOINED]), _lags(self.served[Turn.LEFT])
        )


def _served(servers: ServerTurns) -> dict[tuple[Turn, EndpointKey], Times]:
    """When IPVS took up each endpoint, and when it let go of it, in order."""
    found: dict[tuple[Turn, EndpointKey], list[int]] = {}
    for one in servers:
        found.setdefault((one.turn, one.endpoint), []).append(one.at_ns)
    return {key: np.array(sorted(times), dtype=np.int64) for key, times in found.items()}


Turns = list[tuple[Turn, int, int]]
"""What happened to an endpoint, when, and when the next thing happened to it."""


def _spans(changes: Iterable[ClusterChange]) -> dict[EndpointKey, Turns]:
    spans: dict[EndpointKey, Turns] = {}
    for change in changes:
        if change.endpoint is not None:
            turns = spans.setdefault(endpoint_key(change.endpoint), [])
            if turns:
                turn, begin, _ = turns[-1]
                turns[-1] = turn, begin, change.at_ns
            turns.append((change.turn, change.at_ns, _FOR_EVER))
    return spans


def _starts(
    flows: Flows,
    rows: Rows,
    enricher: Enricher,
    keys: Mapping[EndpointKey, int],
) -> dict[int, Times]:
    """When the translations to each of these endpoints began, in order."""
    services = {name: at for at, name in enumerate(dict.fromkeys(key[0] for key in keys))}
    table = KeyTable(
        {
            (ip, rest_of(port, protocol) | services[service] << _SERVICE_SHIFT): number
            for (service, protocol, ip, port), number in keys.items()
        }
    )
    rows = rows[(flows["seen"][rows] & np.uint32(Seen.TRANSLATED)) != 0]
    rows = rows[(flows["seen"][rows] & np.uint32(Seen.EXISTING)) == 0]
    numbers = flows["service"][rows]
    of_hit = {
        number: services.get(_service(enricher, number), -1) for number in set(numbers.tolist())
    }
    which = np.array([of_hit[number] for number in numbers.tolist()], dtype=np.int64)
    rows, which = rows[which >= 0], which[which >= 0]
    if not rows.size:
        return {}
    words = rest(flows["backend_port"][rows], flows["protocol"][rows])
    words |= which.astype(np.uint64) << np.uint64(_SERVICE_SHIFT)
    found = table.find(flows["backend"][rows], words)
    began = flows["first_ns"][rows]
    order = np.lexsort((began, found))
    found, began = found[order], began[order]
    distinct, first = np.unique(found, return_index=True)
    parts = np.split(began, first[1:])
    return {int(number): part for number, part in zip(distinct, parts, strict=True) if number >= 0}


def _service(enricher: Enricher, number: int) -> str:
    hit = enricher.hit(number)
    return hit.key if hit else ""


def _first(times: Times, begin: int, end: int) -> int | None:
    at = int(np.searchsorted(times, begin - AHEAD_NS))
    return int(times[at]) - begin if at < len(times) and times[at] < end else None


def _last(times: Times, begin: int, end: int) -> int | None:
    at = int(np.searchsorted(times, end - AHEAD_NS)) - 1  # about to return: not late, but early
    return int(times[at]) - begin if at >= 0 and times[at] > begin else None


def _lags(found: list[int | None]) -> Lags:
    return Lags(len(found), tuple(sorted(lag for lag in found if lag is not None)))


def lags_json(found: Iterable[ServiceLag]) -> Iterator[dict[str, object]]:
    """One object a Service, in seconds: ``used`` new endpoints, ``late`` use of departed ones.

    In ipvs mode also when the servers had the new ones, and when the departed ones were gone.
    """
    for lag in found:
        said: dict[str, object] = {
            "service": lag.service,
            "joined": _json(lag.joined, "used"),
            "left": _json(lag.left, "late"),
        }
        if lag.ipvs_joined is not None and lag.ipvs_left is not None:
            joined, left = _json(lag.ipvs_joined, "seen"), _json(lag.ipvs_left, "seen")
            said["ipvs"] = {"joined": joined, "left": left}
        yield said


def _json(lags: Lags, counted: str) -> dict[str, object]:
    measured = lags.measured
    return {
        "count": lags.changes,
        counted: len(measured),
        "median_s": round(measured[len(measured) // 2] / 1e9, 3) if measured else None,
        "max_s": round(measured[-1] / 1e9, 3) if measured else None,
    }
