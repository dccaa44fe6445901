"""What a snapshot derives from its parts, and keeps while they stay the same."""

from tracer.address import parse
from tracer.cluster.model import Cluster, ClusterChange, Endpoint, Node, Pod, Turn

HERE = Pod("shop", "web-1", "one", (parse("10.244.1.1"),))


def endpoint(ip, pod, node):
    return Endpoint("shop/web", "http", 6, parse(ip), 8080, node, pod)


def test_slices_tell_of_pods_that_are_not_read():
    cluster = Cluster(
        endpoints=(
            endpoint("10.244.1.1", "shop/web-1", "one"),
            endpoint("10.244.1.2", "shop/gone", "one"),
            endpoint("10.244.2.1", "shop/web-2", "two"),
            endpoint("192.168.1.2", "shop/agent", "two"),
        ),
        pods=(HERE,),
        nodes=(Node("two", (parse("192.168.1.2"),)),),
        pods_of="one",
    )
    pods = cluster.pod_by_address
    assert pods[parse("10.244.1.1")] is HERE
    assert pods[parse("10.244.2.1")] == Pod("shop", "web-2", "two", (parse("10.244.2.1"),))
    assert pods.get(parse("10.244.1.2")) is None, "this node's pods are all read"
    assert pods.get(parse("192.168.1.2")) is None, "a node's address is no pod's"
    assert len(pods) == len(list(pods)) == 2


def test_where_all_pods_are_read_slices_add_none():
    cluster = Cluster(endpoints=(endpoint("10.244.2.1", "shop/web-2", "two"),), pods=(HERE,))
    assert list(cluster.pod_by_address) == [parse("10.244.1.1")]


def test_a_successor_keeps_what_was_derived_from_the_same_parts():
    first = Cluster(pods=(HERE,), generation=3)
    derived = first.pod_by_address, first.endpoints_by_service
    later = first.successor(endpoints=(endpoint("10.244.1.1", "shop/web-1", "one"),))
    assert later.generation == 4
    assert later.read_pod_by_address is derived[0]
    assert later.endpoints_by_service is not derived[1]
    grouped = {"shop/web": later.endpoints}
    assert later.successor(grouped).endpoints_by_service is grouped


def test_an_endpoint_that_came_back_has_not_left():
    one, other = (endpoint(ip, "", "") for ip in ("10.244.1.1", "10.244.1.2"))
    changes = [(1, Turn.LEFT, one), (2, Turn.LEFT, other), (3, Turn.JOINED, one)]
    cluster = Cluster(changes=tuple(ClusterChange(at, t, "shop/web", e) for at, t, e in changes))
    assert cluster.departures == {("shop/web", 6, parse("10.244.1.2"), 8080): 2}
    assert cluster.arrivals == {("shop/web", 6, parse("10.244.1.1"), 8080): 3}
