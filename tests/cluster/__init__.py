"""A suite with etcd and kube-apiserver themselves: see ``lab.real``."""
