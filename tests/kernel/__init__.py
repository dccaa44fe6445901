"""Suites that need a kernel with kprobes and IPVS: they run inside the lab's VM."""
