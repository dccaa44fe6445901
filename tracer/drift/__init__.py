"""Drift: what a node's rules serve, against what the cluster says they should.

A *place* is protocol, address and port that clients ask for; node ports have no address.
*Served* is what the rules of one engine make of a place, *wanted* what kube-proxy would
make of it from the Services and EndpointSlices. A *difference* is one disagreement. All
are values of texts: rules are texts, and a large node has 100,000 endpoints.
"""
