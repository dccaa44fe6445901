"""The one table of columns: what text, JSON lines and the screen say about a flow.

A column turns many rows at once into texts, JSON values or sort keys; whoever
shows flows picks from ``COLUMNS`` and adds nothing of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer import cells, orders, rate_cells, tunnel_cells
from tracer.cells import Order, Texts, Values


@dataclass(frozen=True, slots=True)
class Column:
    """One property of a flow; a part that is None is not offered there."""

    name: str
    """Key in JSON and name of the order on screen."""
    title: str
    help: str
    width: int = 0
    """Characters it wants on screen; text lines are padded to it."""
    text: Texts | None = None
    json: Values | None = None
    key: Order | None = None
    right: bool = False
    """Numbers stand to the right."""


_PROTOCOL = cells.named_number("protocol", cells.protocol_name)
_ENGINE = cells.named_number("engine", cells.engine_name)
_STATE = cells.named_number("state", cells.state_name)

COLUMNS: tuple[Column, ...] = (
    Column("id", "Id", "Number of the flow in this run", json=cells.number_in("id")),
    Column(
        "first",
        "Time",
        "When the flow was first seen, UTC",
        width=12,
        text=cells.clock_time,
        json=cells.time_in("first_ns"),
    ),
    Column("last", "Last", "When it was last seen", json=cells.time_in("last_ns")),
    Column(
        "protocol",
        "Proto",
        "tcp, udp, sctp or icmp",
        width=5,
        text=_PROTOCOL,
        json=_PROTOCOL,
        key=orders.by_number("protocol"),
    ),
    Column(
        "client",
        "Client",
        "Who connected",
        width=21,
        text=cells.endpoint_text("client"),
        json=cells.endpoint_json("client", named="client_name"),
        key=orders.by_endpoint("client"),
    ),
    Column(
        "client_name",
        "Client name",
        "Pod or node with the client's address",
        width=20,
        text=cells.name_in("client_name"),
        key=orders.by_text("client_name", lambda number, naming: naming.name(number)),
    ),
    Column(
        "virtual",
        "VIP",
        "The address it asked for",
        width=21,
        text=cells.endpoint_text("virtual"),
        json=cells.endpoint_json("virtual"),
        key=orders.by_endpoint("virtual"),
    ),
    Column(
        "service",
        "Service",
        "Service and port name behind that address",
        width=24,
        text=cells.services,
        json=cells.service_json,
        key=orders.by_text("service", lambda number, n: cells.service_text(n.hit(number))),
    ),
    Column(
        "kind",
        "Kind",
        "Which of the Service's addresses: ClusterIP, NodePort, ExternalIP, LoadBalancer, HostPort",
        width=12,
        text=cells.kinds,
    ),
    Column(
        "backend",
        "Backend",
        "The address it was translated to",
        width=21,
        text=cells.only(cells.endpoint_text("backend"), cells.redirected),
        json=cells.null_unless(
            cells.redirected, cells.endpoint_json("backend", named="backend_name")
        ),
        key=orders.by_endpoint("backend"),
    ),
    Column(
        "backend_name",
        "Backend name",
        "Pod or node with the backend's address",
        width=20,
        text=cells.only(cells.name_in("backend_name"), cells.redirected),
        key=orders.by_text("backend_name", lambda number, naming: naming.name(number)),
    ),
    Column(
        "source_nat",
        "SNAT",
        "The source address the backend sees, if it is not the client's",
        width=21,
        text=cells.only(cells.endpoint_text("source"), cells.source_changed),
        json=cells.null_unless(cells.source_changed, cells.endpoint_json("source")),
        key=orders.by_endpoint("source"),
    ),
    Column(
        "engine",
        "Engine",
        "What chose the backend: ipvs, iptables or nftables",
        width=8,
        text=_ENGINE,
        json=_ENGINE,
        key=orders.by_number("engine"),
    ),
    Column(
        "state",
        "State",
        "new, answered, established, closing, closed, refused or lost",
        width=11,
        text=_STATE,
        json=_STATE,
        key=orders.by_number("state"),
    ),
    Column(
        "packets",
        "Packets",
        "Request/reply packets, where the kernel counts or packets are sniffed",
        width=11,
        text=cells.pair_text("packets"),
        json=cells.pair_json("packets"),
        key=orders.by_sum("packets"),
        right=True,
    ),
    Column(
        "bytes",
        "Bytes",
        "Request/reply bytes",
        width=13,
        text=cells.pair_text("bytes"),
        json=cells.pair_json("bytes"),
        key=orders.by_sum("bytes"),
        right=True,
    ),
    Column(
        "rate",
        "Pkt/s",
        "Packets a second in both directions, on average over the time it was seen",
        width=6,
        text=rate_cells.texts,
        key=rate_cells.keys,
        right=True,
    ),
    Column(
        "retransmits",
        "Retr",
        "How often the request was repeated",
        width=4,
        text=cells.count_in("retransmits"),
        json=cells.number_in("retransmits"),
        key=orders.by_number("retransmits"),
        right=True,
    ),
    Column(
        "age",
        "Age",
        "Time since it was first seen",
        width=6,
        text=cells.span_since("first_ns"),
        key=orders.by_time_since("first_ns"),
        right=True,
    ),
    Column(
        "idle",
        "Idle",
        "Time since it was last seen",
        width=6,
        text=cells.span_since("last_ns"),
        key=orders.by_time_since("last_ns"),
        right=True,
    ),
    Column(
        "departed_s",
        "Departed",
        "Seconds by which the backend had left the Service's slices when the flow began",
        text=cells.departed,
        json=cells.departed_json,
    ),
    Column(
        "drop",
        "Drop reason",
        "The kernel's reason for dropping a packet of it",
        width=16,
        text=cells.drops,
        json=cells.drops_json,
        key=orders.by_text("drop_reason", lambda number, naming: naming.text(number)),
    ),
    Column(
        "cause",
        "Cause",
        "The finding that explains what became of it",
        width=24,
        text=cells.causes,
        json=cells.causes_json,
        key=orders.by_text("explained", lambda mark, naming: cells.cause_of(naming.finding(mark))),
    ),
    Column(
        "tunnel",
        "Tunnel",
        "What its packets were captured inside: vxlan, geneve, gre, ipip or udp, and between whom",
        text=tunnel_cells.texts,
        json=tunnel_cells.values,
    ),
    Column("upstream", "From", "Flow whose translation this flow is", json=cells.link("upstream")),
    Column("downstream", "To", "Flow this one goes on as", json=cells.link("downstream")),
    Column("node", "Node", "Where it was seen", json=cells.node),
    Column("netns", "Netns", "Network namespace", json=cells.link("netns")),
    Column("origin", "Origin", "kernel, conntrack, packets", json=cells.origins),
)

BY_NAME: Mapping[str, Column] = {column.name: column for column in COLUMNS}

LINE_COLUMNS = tuple(
    BY_NAME[name]
    for name in (
        "first",
        "protocol",
        "client",
        "virtual",
        "backend",
        "source_nat",
        "engine",
        "state",
        "service",
        "kind",
        "client_name",
        "backend_name",
        "drop",
        "cause",
    )
)
"""What a text line shows: numbers first, names of any length last."""

SCREEN_COLUMNS = tuple(
    BY_NAME[name]
    for name in (
        "client",
        "service",
        "virtual",
        "backend",
        "state",
        "engine",
        "source_nat",
        "backend_name",
        "client_name",
        "kind",
        "protocol",
        "packets",
        "rate",
        "retransmits",
        "age",
        "idle",
        "drop",
        "cause",
    )
)
"""What the table on screen shows, the most wanted to the left: narrow terminals cut the rest."""

JSON_COLUMNS = tuple(column for column in COLUMNS if column.json is not None)
"""The members of a translation line in order."""
