"""A small cluster on a real kernel, to test viptrace in and to record ``pcaps/`` with.

- *kernel*, *vm*: a Debian kernel out of the package archive, booted in software emulation on this
  machine's own file system (copy on write), because the host's kernel may lack kprobes or IPVS.
- *topology*: an external client, nodes on one LAN and pods behind veths, all network namespaces,
  made from the same cluster objects that viptrace reads.
- *rules*: what kube-proxy programs on each node in ipvs, iptables and nftables mode.
- *traffic*: a counted number of connections, with the truth written down by both ends.
- *scenario*: cluster file + mode + fault + traffic + expected findings; *record* keeps one.
- *compare*: viptrace's JSON lines against that truth and the kernel's own tables.
"""
