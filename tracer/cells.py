"""From numbers to what people read: functions over many rows, from which columns are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from tracer import address
from tracer.clock import rfc3339
from tracer.cluster.model import KIND_NAMES, ServiceKind
from tracer.diagnosis.finding import Finding
from tracer.events import PROTOCOL_NAMES, Origin
from tracer.flow import ENGINE_NAMES, STATE_NAMES, Rows, Seen
from tracer.plain import harmless
from tracer.tunnels import TunnelEnds


class Flows(Protocol):
    """Rows to show, by column: an array of dtype ``FLOW``, or ``Gathered``."""

    def __len__(self) -> int:
        """How many rows."""

    def __getitem__(self, field: str, /) -> npt.NDArray[Any]:
        """One column, of the type that ``FLOW`` gives it."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Some rows of a table, each column fetched when asked for: a whole copy costs 30 MB."""

    flows: Flows | npt.NDArray[np.void]
    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, field: str, /) -> npt.NDArray[Any]:
        return self.flows[field][self.rows]


T = TypeVar("T")
Keys = npt.NDArray[np.int64] | npt.NDArray[np.uint64] | npt.NDArray[np.intp]
"""Shape (n,): ascending order of a column."""


class Hit(Protocol):
    """The Service address a client used."""

    @property
    def namespace(self) -> str:
        """Namespace of the Service."""

    @property
    def name(self) -> str:
        """Name of the Service."""

    @property
    def port_name(self) -> str:
        """Name of the Service port; empty if it has none."""

    @property
    def kind(self) -> ServiceKind:
        """Which kind of its addresses was used."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The meaning of the numbers in a row, at one moment."""

    hit: Callable[[int], Hit | None]
    """Service by the ``service`` column."""
    name: Callable[[int], str]
    """Pod, node or client by the ``client_name`` and ``backend_name`` columns."""
    text: Callable[[int], str]
    """Drop reasons and locations."""
    tunnel: Callable[[int], TunnelEnds | None]
    """By the ``tunnel`` column."""
    node: str
    """This node's name, empty if unknown."""
    now_ns: int
    """Record time from which ages are counted."""
    finding: Callable[[int], Finding | None]
    """The finding behind the ``explained`` column."""
    departed_s: Callable[[Flows], Sequence[float | None]]
    """How long before it began each flow's backend had left its Service's slices."""


Texts = Callable[[Flows, Naming], list[str]]
Values = Callable[[Flows, Naming], Sequence[object]]
Order = Callable[[Flows, Naming], Keys]
Condition = Callable[[Flows], npt.NDArray[np.bool_]]


def translated(flows: Flows) -> npt.NDArray[np.bool_]:
    """Which rows this node has translated."""
    return np.asarray((flows["seen"] & Seen.TRANSLATED) != 0)


def redirected(flows: Flows) -> npt.NDArray[np.bool_]:
    """Which rows have another destination after translation."""
    return _differs(flows, "virtual", "backend")


def source_changed(flows: Flows) -> npt.NDArray[np.bool_]:
    """Which rows have another source after translation."""
    return _differs(flows, "client", "source")


def duration_text(span_ns: int) -> str:
    """``0.2s``, ``45s``, ``3m10s``, ``2h05m`` or ``4d03h``."""
    seconds = max(span_ns, 0) / 1e9
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02d}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02d}h"


def count_text(number: int) -> str:
    """``999``, ``12.3k``, ``4.5M`` or ``6.7G``."""
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= limit:
            return f"{number / (1000 if unit == 'k' else limit):.1f}{unit}"
    return str(number)


def service_text(hit: Hit | None) -> str:
    """``namespace/name:port``, or empty."""
    if hit is None:
        return ""
    port = f":{hit.port_name}" if hit.port_name else ""
    return harmless(f"{hit.namespace}/{hit.name}{port}")


def _differs(flows: Flows, one: str, other: str) -> npt.NDArray[np.bool_]:
    changed = (flows[one] != flows[other]).any(axis=1)
    return np.asarray(changed | (flows[f"{one}_port"] != flows[f"{other}_port"]))


def endpoint_text(side: str) -> Texts:
    """``1.2.3.4:80`` or ``[fd00::1]:80`` of one side of each flow."""

    def texts(flows: Flows, _: Naming) -> list[str]:
        hosts, ports = address.texts(flows[side]), flows[f"{side}_port"].tolist()
        return [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in zip(hosts, ports, strict=True)
        ]

    return texts


def only(texts: Texts, where: Condition) -> Texts:
    """The same texts, empty where the condition does not hold."""

    def kept(flows: Flows, naming: Naming) -> list[str]:
        shown = where(flows).tolist()
        return [t if keep else "" for t, keep in zip(texts(flows, naming), shown, strict=True)]

    return kept


class EndpointValue(msgspec.Struct, gc=False, frozen=True):
    """An address with its port, as JSON."""

    ip: str
    port: int


class NamedEndpointValue(msgspec.Struct, gc=False, frozen=True):
    """An address with its port and owner, as JSON."""

    ip: str
    port: int
    name: str | None


def endpoint_json(side: str, named: str = "") -> Values:
    """``{"ip", "port"}``, with ``"name"`` if there is a column of names."""

    def values(flows: Flows, naming: Naming) -> list[object]:
        hosts, ports = address.texts(flows[side]), flows[f"{side}_port"].tolist()
        if not named:
            return list(map(EndpointValue, hosts, ports))
        names = looked_up(flows[named], lambda number: naming.name(number) or None)
        return list(map(NamedEndpointValue, hosts, ports, names))

    return values


def looked_up(numbers: npt.NDArray[Any], look_up: Callable[[int], T]) -> list[T]:
    """What each number means; each distinct one is looked up once."""
    listed = numbers.tolist()
    known = {number: look_up(number) for number in set(listed)}
    return list(map(known.__getitem__, listed))


def null_unless(where: Condition, values: Values) -> Values:
    """The same values, null where the condition does not hold; only the others are made."""

    def kept(flows: Flows, naming: Naming) -> list[object]:
        places = np.flatnonzero(where(flows))
        if len(places) == len(flows):
            return list(values(flows, naming))
        result: list[object] = [None] * len(flows)
        for place, value in zip(
            places.tolist(), values(Gathered(flows, places), naming), strict=True
        ):
            result[place] = value
        return result

    return kept


def number_in(field: str) -> Callable[[Flows, Naming], list[int]]:
    """The numbers as they are."""

    def numbers(flows: Flows, _: Naming) -> list[int]:
        values: list[int] = flows[field].tolist()
        return values

    return numbers


def count_in(field: str) -> Texts:
    """A number, empty when it is 0."""
    return lambda flows, _: [count_text(n) if n else "" for n in flows[field].tolist()]


def node(flows: Flows, naming: Naming) -> list[str | None]:
    """This node's name on every row, null if it is not known."""
    return [naming.node or None] * len(flows)


def link(field: str) -> Callable[[Flows, Naming], list[int | None]]:
    """Number of another flow, null if there is none."""
    return lambda flows, _: [number or None for number in flows[field].tolist()]


def time_in(field: str) -> Texts:
    """RFC 3339 with nanoseconds."""

    def times(flows: Flows, _: Naming) -> list[str]:
        seconds, rest = np.divmod(flows[field], 1_000_000_000)
        # The part before the nanoseconds, with the dot.
        known = {each: rfc3339(each * 10**9)[:20] for each in np.unique(seconds).tolist()}
        pairs = zip(seconds.tolist(), rest.tolist(), strict=True)
        return [f"{known[second]}{nanoseconds:09d}Z" for second, nanoseconds in pairs]

    return times


def clock_time(flows: Flows, _: Naming) -> list[str]:
    """Time of day of the first sign, UTC, milliseconds."""
    return [rfc3339(time_ns)[11:23] for time_ns in flows["first_ns"].tolist()]


def span_since(begin: str) -> Texts:
    """Time passed since then, in words of a few characters."""
    return lambda flows, naming: [
        duration_text(naming.now_ns - begun) for begun in flows[begin].tolist()
    ]


def named_number(field: str, table: Callable[[int], str]) -> Texts:
    """Numbers of an enumeration by name."""
    return lambda flows, _: looked_up(flows[field], table)


def protocol_name(number: int) -> str:
    """``tcp``; the number if it has no name here."""
    return PROTOCOL_NAMES.get(number, str(number))


def engine_name(number: int) -> str:
    """``ipvs``, ``iptables``, ``nftables`` or ``unknown``."""
    return ENGINE_NAMES.get(number, "unknown")


def state_name(number: int) -> str:
    """The state in one word."""
    return STATE_NAMES.get(number, "unknown")


def name_in(field: str) -> Texts:
    """Names of pods and nodes, made harmless."""
    return lambda flows, naming: looked_up(flows[field], lambda n: harmless(naming.name(n)))


def services(flows: Flows, naming: Naming) -> list[str]:
    """``namespace/name:port`` of each flow."""
    return looked_up(flows["service"], lambda number: service_text(naming.hit(number)))


def kinds(flows: Flows, naming: Naming) -> list[str]:
    """``ClusterIP``, ``NodePort``, … of each flow."""
    return looked_up(flows["service"], lambda number: _kind(naming.hit(number)))


def _kind(hit: Hit | None) -> str:
    return KIND_NAMES.get(hit.kind, "") if hit else ""


def service_json(flows: Flows, naming: Naming) -> list[object]:
    """``{"namespace", "name", "port", "kind"}`` or null."""

    def value(number: int) -> object:
        hit = naming.hit(number)
        if hit is None:
            return None
        where = {"namespace": hit.namespace, "name": hit.name, "port": hit.port_name}
        return where | {"kind": _kind(hit)}

    return looked_up(flows["service"], value)


def pair_text(field: str) -> Texts:
    """``request/reply``, empty where nothing was counted."""
    return lambda flows, _: [
        f"{count_text(out)}/{count_text(back)}" if out or back else ""
        for out, back in flows[field].tolist()
    ]


def pair_json(field: str) -> Values:
    """Null where nothing was counted: without accounting the kernel has no figures."""
    return null_unless(
        lambda flows: np.asarray(flows[field].any(axis=1)),
        lambda flows, _: flows[field].tolist(),
    )


def drops(flows: Flows, naming: Naming) -> list[str]:
    """Why the kernel dropped a packet of it, made harmless."""
    return looked_up(flows["drop_reason"], lambda n: harmless(naming.text(n)) if n else "")


def drops_json(flows: Flows, naming: Naming) -> list[object]:
    """Why the kernel dropped a packet of it, or null."""
    return looked_up(flows["drop_reason"], lambda n: naming.text(n) if n else None)


def causes(flows: Flows, naming: Naming) -> list[str]:
    """Cause id of the finding that explains each flow, or empty."""
    return looked_up(flows["explained"], lambda mark: cause_of(naming.finding(mark)))


def causes_json(flows: Flows, naming: Naming) -> list[str | None]:
    """Cause id of the finding that explains each flow, or null."""
    return [cause or None for cause in causes(flows, naming)]


def departed(flows: Flows, naming: Naming) -> list[str]:
    """For how long a flow's backend had been out of the slices when the flow began."""
    return ["" if s is None else duration_text(int(s * 1e9)) for s in naming.departed_s(flows)]


def departed_json(flows: Flows, naming: Naming) -> Sequence[float | None]:
    """The same in seconds; null where it was in the slices, or nobody watched."""
    return naming.departed_s(flows)


def flows_by_cause(flows: Flows, naming: Naming) -> dict[str, npt.NDArray[np.uint64]]:
    """Ids of the flows that each cause explains."""
    marks = flows["explained"]
    marked = np.flatnonzero(marks)
    if not marked.size:
        return {}
    ids, found = flows["id"][marked], np.array(causes(Gathered(flows, marked), naming))
    return {str(cause): ids[found == cause] for cause in np.unique(found) if cause}


def cause_of(finding: Finding | None) -> str:
    """Its cause id; empty for none."""
    return finding.cause if finding else ""


_ORIGIN_BITS = ((Seen.KERNEL, 1), (Seen.CONNTRACK, 2), (Seen.PACKETS, 4))
_ORIGINS = [[str(o.name).lower() for o in Origin if code & o] for code in range(8)]


def origins(flows: Flows, _: Naming) -> list[list[str]]:
    """Which kinds of witness a row rests on, as lists of their names."""
    code = np.zeros(len(flows), dtype=np.uint8)
    for bit, number in _ORIGIN_BITS:
        code[(flows["seen"] & bit) != 0] += number
    return [_ORIGINS[number] for number in code.tolist()]
