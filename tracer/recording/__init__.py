"""A recording: one pcapng that holds all inputs of a run, and none of its conclusions.

Packets stand in ordinary blocks, everything else in local blocks (``envelope``) that
other readers skip: a ``header``, ``batches`` (kernel records, and where a batch of
packets ends), and ``states`` of node and cluster (``objects`` turns a cluster back into
what kubectl prints). ``content`` puts them into blocks and reads them back in order;
``names``, ``comments`` and ``journal`` are decoration for Wireshark, which replay ignores;
``restated`` tells a rotated file about flows that are older than it. ``privacy`` shortens
and pseudonymises on the way. A file whose end is missing is read as far as it goes.
"""

from __future__ import annotations

from tracer.recording.content import ContentReader, ContentWriter, StateAt
from tracer.recording.header import Header, is_recording

__all__ = ["ContentReader", "ContentWriter", "Header", "StateAt", "is_recording"]
