"""Pairing: which tuples are one translated flow, told by packets alone.

A packet that is translated is seen twice, under two tuples, and much of it stays: its
sequence numbers, identification, length, payload; its TTL falls on the way. ``traces``
reads what stays from packet records; ``conversations`` remembers which tuples still have
to be explained; ``window`` brings together equal traces of nearly equal times;
``sightings`` puts the tuples of one packet in the order it had them; ``evidence`` weighs
how much of a chance that may be; ``pairer`` is the whole. Whatever is ambiguous stays
unknown: a wrong translation is worse than none.
"""

from __future__ import annotations

from tracer.pairing.pairer import WINDOW_NS, Pairer

__all__ = ["WINDOW_NS", "Pairer"]
