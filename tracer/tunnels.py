"""Tunnels around flows, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracer import address
from tracer.events import TUNNEL_NAMES, Flag, Tunnel
from tracer.plain import harmless


@dataclass(frozen=True, slots=True)
class Carrier:
    """A tunnel that packets of a flow were captured inside."""

    kind: Tunnel
    number: int
    """Network identifier of VXLAN and Geneve, key of GRE; 0 where there is none."""
    one: bytes
    """Address of one end, 16 bytes."""
    other: bytes


def around(record: np.void) -> str:
    """``vxlan 42 between 192.168.0.1 and 192.168.0.2``; empty for a packet in no tunnel."""
    if not record["flags"] & Flag.TUNNELLED:
        return ""
    number = int(record["nat_src_port"]) << 16 | int(record["nat_dst_port"])
    ends = (record["nat_src"].tobytes(), record["nat_dst"].tobytes())
    return TunnelEnds(Carrier(Tunnel(int(record["reason"])), number, *ends), "", "").text()


@dataclass(frozen=True, slots=True)
class TunnelEnds:
    """A tunnel, and what its ends are called."""

    carrier: Carrier
    one_name: str
    """Empty if the address has no name."""
    other_name: str

    def text(self) -> str:
        """``vxlan 42 between 192.168.0.1 (node-a) and 192.168.0.2``, harmless."""
        one, other = (
            f"{end['ip']} ({harmless(end['name'])})" if end["name"] else end["ip"]
            for end in self.ends()
        )
        number = f" {self.carrier.number}" if self.carrier.number else ""
        return f"{TUNNEL_NAMES[self.carrier.kind]}{number} between {one} and {other}"

    def ends(self) -> list[dict[str, str | None]]:
        """Address and name of both ends, for JSON."""
        both = ((self.carrier.one, self.one_name), (self.carrier.other, self.other_name))
        return [{"ip": address.text(ip), "name": name or None} for ip, name in both]

    def json(self) -> dict[str, object]:
        """As the lines have it."""
        kind, number = TUNNEL_NAMES[self.carrier.kind], self.carrier.number
        return {"kind": kind, "id": number or None, "between": self.ends()}
