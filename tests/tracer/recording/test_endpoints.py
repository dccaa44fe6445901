"""Of endpoints that change only those of the Services concerned are stored again."""

import pytest

from tracer.address import parse
from tracer.cluster.model import Cluster, Endpoint
from tracer.recording.states import decode_cluster, encode_cluster


def backends(service, *lasts):
    return tuple(
        Endpoint(service, "http", 6, parse(f"10.244.2.{last}"), 8080, "two", f"shop/pod-{last}")
        for last in lasts
    )


WEB, API, DNS = (
    backends(f"shop/{name}", *n) for name, n in (("a", (1, 2)), ("b", (3,)), ("c", (4,)))
)


def read_back(*states):
    """The last of these snapshots, as a recording of all of them gives it."""
    before, told = None, Cluster()
    for endpoints in states:
        cluster = Cluster(endpoints=endpoints)
        told = decode_cluster(encode_cluster(cluster, 1, before), told).state
        before = cluster
    return told.endpoints


@pytest.mark.parametrize(
    "states",
    [
        ((*WEB, *API, *DNS), (*API, *DNS, *backends("shop/a", 2, 5))),
        ((*WEB, *API, *DNS), (*API, *DNS)),
        ((*WEB, *API), (*WEB, *API, *DNS)),
        ((*WEB, *API), ()),
        ((), WEB),
        ((*WEB, *API), API, (*API, *WEB)),
    ],
)
def test_endpoints_are_read_back_as_they_were(states):
    assert sorted(read_back(*states), key=repr) == sorted(states[-1], key=repr)


def test_a_change_of_one_service_is_stored_alone():
    many = [backends(f"shop/s{number}", 1, 2, 3) for number in range(500)]
    before = Cluster(endpoints=tuple(one for found in many for one in found))
    after = Cluster(endpoints=before.endpoints[1:])
    assert len(encode_cluster(after, 1, before)) < len(encode_cluster(after, 1, None)) / 10
