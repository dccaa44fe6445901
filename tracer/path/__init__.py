"""The way a packet would take through a node, worked out from a NodeState alone.

A ``Packet`` is what the kernel's hooks look at. A ``Flight`` is one packet on its way with the
steps behind it; chance (``statistic``, ``numgen``) and what the state does not tell (doubt) make
several flights of one. ``Ground`` holds what the node's rules are asked about: addresses, routes,
sets, sysctls. The engines ``xt_*`` and ``nft_*`` run chains, ``hooks`` puts them in the kernel's
order, ``walk`` goes from hook to hook, and ``path`` sums the endings up into one answer.
"""
