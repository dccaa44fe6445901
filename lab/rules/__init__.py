"""What kube-proxy programs on one node, as text for the system's own tools.

``plan`` turns cluster objects into one ``PortPlan`` per Service port and IP family; ``iptables``,
``ipvs`` and ``nftables`` turn plans into input for ``iptables-restore``, ``ipset restore``,
``ipvsadm -R`` and ``nft -f``; ``apply`` feeds it to a namespace. Everything but ``apply`` is pure.
Names and verdicts are kube-proxy's own (``naming``): tools that read rules must recognise them.
"""
