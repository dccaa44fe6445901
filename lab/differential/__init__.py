"""The walk of ``tracer.path`` against the kernel itself, over random rules and packets.

``universe`` names the addresses and ports that rules and packets draw from; ``xt_rules`` and
``nft_rules`` write random rule sets; ``world`` is a node in a namespace with two links; packets go
in as raw frames or from raw sockets. ``observer`` has the kernel report (NFLOG) each packet as it
leaves the last hook: translated tuple, mark and interface. ``run`` compares.
"""
