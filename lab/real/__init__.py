"""The lab with Kubernetes' own parts instead of rules that the lab writes itself.

- *releases*: ``kube-proxy`` and ``kube-apiserver`` built from the published Go modules, cached.
- *control_plane*: etcd and the API server on this machine; *access*: how to reach it, and as whom.
- *keeper*: the lab as kubelet and endpoint controller: a cluster value becomes API objects.
- *relay*: a node's namespace reaches the API server through a port of its own loopback.
- *proxies*: ``kube-proxy`` in each node's namespace, and when it has followed a change.
"""
