"""The API server is brought to what a cluster value says, step by step and in a working order."""

from __future__ import annotations

from lab.objects import read, to_cluster, with_target_port, without_pod
from lab.real.keeper import OWN_SERVICE, Keeper, wanted_objects, without_nothing

DEFAULT = read("default")


class Told:
    """Stands for the API server: keeps what it is told, and the order."""

    def __init__(self):
        self.calls = []

    def items(self, path):
        return []

    def create(self, path, made):
        self.calls.append(("create", f"{path}/{made['metadata']['name']}"))

    def merge(self, path, change):
        self.calls.append(("merge", path))

    def remove(self, path):
        self.calls.append(("remove", path))


def kept():
    api = Told()
    keeper = Keeper(api)
    touched = keeper.put(to_cluster(DEFAULT))
    first, api.calls = api.calls, []
    return keeper, api, first, touched


def test_objects_read_as_the_cluster_they_were_made_of():
    cluster = to_cluster(DEFAULT)
    made = to_cluster([made for _, made in wanted_objects(cluster)])
    for part in ("services", "pods", "nodes"):
        assert sorted(getattr(made, part), key=repr) == sorted(getattr(cluster, part), key=repr)
    assert set(made.endpoints) == set(cluster.endpoints)


def test_everything_is_made_once_with_its_status():
    _, _, calls, touched = kept()
    assert touched == {"Node", "Pod", "Service", "EndpointSlice"}
    assert calls.count(("create", "/api/v1/nodes/worker-1")) == 1
    assert ("merge", "/api/v1/nodes/worker-1/status") in calls
    pods = "/api/v1/namespaces/default/pods"
    assert calls.index(("create", f"{pods}/echo-1")) < calls.index(
        ("merge", f"{pods}/echo-1/status")
    )


def test_the_same_again_touches_nothing():
    keeper, api, _, _ = kept()
    assert keeper.put(to_cluster(DEFAULT)) == frozenset()
    assert api.calls == []


def test_a_pod_that_is_gone_leaves_its_slices():
    keeper, api, _, _ = kept()
    gone = keeper.put(to_cluster(without_pod("default", "echo-3")(DEFAULT)))
    assert gone == {"Pod", "EndpointSlice"}
    assert ("remove", "/api/v1/namespaces/default/pods/echo-3") in api.calls
    changed = [path for call, path in api.calls if call == "merge"]
    assert changed
    assert all("/endpointslices/" in path for path in changed)


def test_a_change_of_a_service_is_no_other_service():
    keeper, api, _, _ = kept()
    keeper.put(to_cluster(with_target_port("default", "echo", "web", 9999)(DEFAULT)))
    assert ("merge", "/api/v1/namespaces/default/services/echo") in api.calls
    assert not [path for call, path in api.calls if call == "remove"]


def test_an_address_is_free_before_another_service_wants_it():
    keeper, api, _, _ = kept()
    keeper.put(to_cluster(read("external-ip")))
    calls = [call for call, path in api.calls if "/services/" in path]
    assert calls.index("remove") < calls.index("create")
    slices = [call for call, path in api.calls if "/endpointslices/" in path]
    assert slices.index("create") < slices.index("remove")


def test_the_servers_own_service_is_changed_and_never_removed():
    keeper, api, _, _ = kept()
    keeper.put(to_cluster(read("masters")))
    assert ("merge", OWN_SERVICE) in api.calls
    keeper.put(to_cluster(DEFAULT))
    assert ("remove", OWN_SERVICE) not in api.calls


def test_a_node_of_the_same_name_with_other_pod_ranges_is_made_anew():
    keeper, api, _, _ = kept()
    keeper.put(to_cluster(read("masters")))
    calls = [call for call, path in api.calls if path == "/api/v1/nodes/worker-1"]
    assert calls == ["remove", "create"]


def test_what_says_nothing_is_left_out():
    assert without_nothing({"a": None, "b": [], "c": {"d": ""}, "e": 0}) == {"c": {}, "e": 0}
