"""The kernel side: bcc probes on IPVS, NAT, conntrack and the places that drop packets.

Imports nothing from ``tracer`` and speaks bytes: whole slots of fixed-size records
as ``bpf/event.h`` describes them. ``hooks`` is the table of probe points, ``loader``
attaches them, ``btf`` and ``fields`` find out where this kernel keeps its fields,
``headers`` spares it kernel headers, ``kernel`` knows what it has, ``ring`` drains.
"""

from probes.errors import ProbeError
from probes.hooks import HOOKS
from probes.loader import Loader

__all__ = ["HOOKS", "Loader", "ProbeError"]
