"""Capture files: pcap and pcapng as batches of undissected packets.

``stream`` opens a path or standard input, compressed or not; ``classic`` indexes
pcap records and ``blocks`` pcapng blocks of one segment in memory; ``reader`` goes
through a file segment by segment and counts what is damaged; ``writer`` makes pcapng.
"""

from __future__ import annotations

from tracer.capture_file.chunk import Chunk, Note
from tracer.capture_file.interface import Interface
from tracer.capture_file.reader import CaptureReader
from tracer.capture_file.stream import CaptureStream
from tracer.capture_file.writer import CaptureWriter

__all__ = ["CaptureReader", "CaptureStream", "CaptureWriter", "Chunk", "Interface", "Note"]
