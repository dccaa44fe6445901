"""Packets off the interfaces: scapy's AF_PACKET sockets, read in bulk and undissected.

``program`` builds the kernel's filter, ``receive`` fills an arena with one system
call for many packets, ``source`` makes batches of them.
"""

from __future__ import annotations

from tracer.sources.sniff.program import DEFAULT_EXPRESSION
from tracer.sources.sniff.source import DEFAULT_SNAP, SniffSource

__all__ = ["DEFAULT_EXPRESSION", "DEFAULT_SNAP", "SniffSource"]
