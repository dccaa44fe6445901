"""Flows counted by Service, client, backend or node instead of listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tracer import address
from tracer.cells import Flows, Naming, count_text, service_text
from tracer.cluster.model import Cluster
from tracer.pipeline import Pipeline
from tracer.plain import harmless
from tracer.view.charts import share_text
from tracer.view.query import ViewQuery
from tracer.view.sheet import Heading, Line, Sheet, Tone, sheet_of
from tracer.view.tally import (
    CountPace,
    Groups,
    Tally,
    address_keys,
    chosen,
    grouped,
    keys_of,
    tally,
)

NOBODY = "(unknown)"

_COUNTS = (
    Heading("Flows", right=True),
    Heading("Active", right=True),
    Heading("New/s", right=True),
    Heading("Bad", right=True),
    Heading("Answer", right=True),
    Heading("Share"),
)


@dataclass(frozen=True, slots=True)
class Group:
    """One way to count flows: which belong together, what they are called."""

    titles: tuple[str, ...]
    split: Callable[[Flows, Naming, Cluster], tuple[Groups, Groups]]
    names: Callable[[Flows, Naming, Cluster], list[tuple[str, ...]]]
    """The texts under the titles for one flow of each group."""
    term: str = ""
    """Filter term whose value is the last of the texts; empty where there is none."""


class GroupPage:
    """Counts anew once a second where there are many flows."""

    def __init__(self) -> None:
        self._pace = CountPace()
        self._lines: list[Line] = []

    def sheet(self, flows: Flows, naming: Naming, pipeline: Pipeline, query: ViewQuery) -> Sheet:
        """The flows counted as the query wants, the largest group on top."""
        group, cluster = GROUPS[query.group], pipeline.cluster
        if self._pace.is_due(len(flows), naming.now_ns, query):
            self._lines = _lines(group, flows, naming, cluster, pipeline.started_ns)
        headings = (*map(Heading, group.titles), *_COUNTS)
        return sheet_of(headings, self._lines, query.start, query.height, query.row)


def _lines(
    group: Group, flows: Flows, naming: Naming, cluster: Cluster, began_ns: int
) -> list[Line]:
    example, groups = group.split(flows, naming, cluster)
    counted = tally(flows, groups, example, naming.now_ns, began_ns)
    names = group.names(chosen(flows, example), naming, cluster)
    order = sorted(range(len(names)), key=lambda at: (-counted.flows[at], names[at]))
    return [_line(group, names[at], counted, at, len(flows)) for at in order]


def _line(group: Group, names: tuple[str, ...], counted: Tally, at: int, total: int) -> Line:
    cells = (*names, *figures(counted, at), share_text(int(counted.flows[at]), total))
    return Line((group.titles, names), cells, Tone.BAD if counted.bad[at] else Tone.PLAIN)


def figures(counted: Tally, at: int) -> tuple[str, ...]:
    """Flows, active ones, rate, bad ones and the time to answer of one group."""
    answer_ns = float(counted.answer_ns[at])
    return (
        count_text(int(counted.flows[at])),
        count_text(int(counted.active[at])),
        f"{counted.rate[at]:.1f}" if counted.rate[at] else "",
        count_text(int(counted.bad[at])) if counted.bad[at] else "",
        f"{answer_ns / 1e6:.2f}ms" if answer_ns else "",
    )


def _by_service(flows: Flows, _: Naming, __: Cluster) -> tuple[Groups, Groups]:
    return grouped(flows["service"])


def _service_names(flows: Flows, naming: Naming, _: Cluster) -> list[tuple[str, ...]]:
    hits = [naming.hit(number) for number in flows["service"].tolist()]
    return [(service_text(hit) or NOBODY,) for hit in hits]


def _by_client(flows: Flows, _: Naming, __: Cluster) -> tuple[Groups, Groups]:
    return grouped(address_keys(flows, "client"))


def _client_names(flows: Flows, naming: Naming, _: Cluster) -> list[tuple[str, ...]]:
    names = [harmless(naming.name(number)) for number in flows["client_name"].tolist()]
    return list(zip(names, address.texts(flows["client"]), strict=True))


def _by_backend(flows: Flows, _: Naming, __: Cluster) -> tuple[Groups, Groups]:
    return grouped(keys_of(flows, "backend"))


def _backend_names(flows: Flows, naming: Naming, _: Cluster) -> list[tuple[str, ...]]:
    names = [harmless(naming.name(number)) for number in flows["backend_name"].tolist()]
    ports = flows["backend_port"].tolist()
    rows = range(len(ports))
    ends = [address.endpoint(address.packed_at(flows["backend"], row), ports[row]) for row in rows]
    return list(zip(names, ends, strict=True))


def _by_node(flows: Flows, _: Naming, cluster: Cluster) -> tuple[Groups, Groups]:
    """Backends first, as there are few; then those of one node together."""
    example, groups = grouped(address_keys(flows, "backend"))
    names = _nodes(chosen(flows, example), cluster)
    distinct = sorted(set(names))
    merged = np.array([distinct.index(name) for name in names], dtype=np.intp)
    firsts = np.array([names.index(name) for name in distinct], dtype=np.intp)
    return example[firsts] if len(firsts) else example, merged[groups] if len(names) else groups


def _node_names(flows: Flows, _: Naming, cluster: Cluster) -> list[tuple[str, ...]]:
    return [(name,) for name in _nodes(flows, cluster)]


def _nodes(flows: Flows, cluster: Cluster) -> list[str]:
    """The node of each flow's backend."""
    return [
        _node_of(address.packed_at(flows["backend"], row), cluster) for row in range(len(flows))
    ]


def _node_of(ip: bytes, cluster: Cluster) -> str:
    pod, node = cluster.pod_by_address.get(ip), cluster.node_by_address.get(ip)
    return harmless(pod.node if pod else node.name if node else "") or NOBODY


GROUPS: Mapping[str, Group] = {
    "service": Group(("Service",), _by_service, _service_names, "service"),
    "client": Group(("Client name", "Client"), _by_client, _client_names, "client"),
    "backend": Group(("Backend name", "Backend"), _by_backend, _backend_names, "backend"),
    "node": Group(("Node of the backend",), _by_node, _node_names),
}
"""In the order in which a key walks through them."""


def opened_group(query: ViewQuery, sheet: Sheet, row: int) -> str:
    """The filter that leaves the flows counted in this row; empty where there is none."""
    group = GROUPS[query.group]
    if row not in sheet.ids or not group.term:
        return ""
    value = sheet.cells[sheet.ids.index(row)][len(group.titles) - 1]
    return f'{query.filter} {group.term}="{value}"'.strip()
