"""Packets: captured bytes become PACKET records by columns, never one at a time.

``ragged`` gathers and copies byte ranges of differing lengths; ``link`` finds the
network header behind each link type; ``network`` reads IPv4 and IPv6 with their
options, extension headers and fragments; ``tunnel`` looks into tunnels; ``transport``
reads TCP, UDP, SCTP and ICMP; ``fingerprint`` hashes what translation leaves alone;
``decode`` puts them together; ``strays`` finds damaged times; ``queue`` keeps decoded
packets in time order.
Every byte is hostile: whatever is not wholly inside its packet reads as zero or as
absent, and nothing raises.
"""

from __future__ import annotations

from tracer.packets.decode import decode, decode_fields, decode_spans
from tracer.packets.link import LinkType
from tracer.packets.queue import PacketQueue
from tracer.packets.ragged import Spans
from tracer.packets.strays import Strays

__all__ = ["LinkType", "PacketQueue", "Spans", "Strays", "decode", "decode_fields", "decode_spans"]
