import pytest

from lab.kubectl import answered
from lab.objects import read, slice_of, with_zones
from lab.remedy import commands, typed
from tracer.errors import UnableError

HINTED = with_zones("default", "echo", "a", worker_1="b")


def service_of(objects, name):
    return next(o for o in objects if o["kind"] == "Service" and name == o["metadata"]["name"])


def patched(patch, name="echo", kind="strategic", objects=None):
    command = f"kubectl patch service {name} -n default --type={kind} -p '{patch}'"
    return answered(command, objects or read("default"), None)


def test_only_what_can_be_typed_is_typed():
    remedy = (
        "sysctl -w net.ipv4.ip_forward=1   # at once",
        "Keep it so: a file in /etc/sysctl.d",
        "kubectl get pods",
        "kubectl edit service echo -n default",
        "ip route add default via <gateway>",
        "conntrack -D -p udp --orig-dst 10.96.0.10",
        "Keep the address: kubectl patch service echo -n default -p '{}'",
        "kubectl -n kube-system rollout restart daemonset kube-proxy   # writes all rules again",
        "sysctl -w a.b=1; kubectl -n kube-system rollout restart daemonset kube-proxy   # both",
    )
    assert commands(remedy) == [
        "sysctl -w net.ipv4.ip_forward=1",
        "conntrack -D -p udp --orig-dst 10.96.0.10",
        "kubectl patch service echo -n default -p '{}'",
        "kubectl -n kube-system rollout restart daemonset kube-proxy",
        "sysctl -w a.b=1; kubectl -n kube-system rollout restart daemonset kube-proxy",
    ]
    assert typed("In iptables mode only: sysctl -w net.ipv4.ip_forward=1") == ""


def test_a_patch_changes_what_it_names():
    objects = read("default")
    merged = patched('{"spec":{"externalTrafficPolicy":"Cluster"}}', "echo-local", objects=objects)
    assert service_of(merged, "echo-local")["spec"]["externalTrafficPolicy"] == "Cluster"
    assert service_of(objects, "echo-local")["spec"]["externalTrafficPolicy"] == "Local"


def test_a_json_patch_removes_only_what_is_there():
    removal = '[{"op":"remove","path":"/spec/externalIPs"}]'
    removed = patched(removal, "echo-external", "json")
    assert "externalIPs" not in service_of(removed, "echo-external")["spec"]
    with pytest.raises(UnableError, match="the server rejected the patch"):
        patched(removal, "echo", "json")


def test_a_restart_of_kube_proxy_changes_no_object():
    objects = read("default")
    restart = "kubectl -n kube-system rollout restart daemonset kube-proxy"
    assert answered(restart, objects, None) == objects


def test_a_service_gives_up_any_family_but_its_first():
    single = '{"spec":{"ipFamilyPolicy":"SingleStack","ipFamilies":["%s"]}}'
    assert service_of(patched(single % "IPv4"), "echo")["spec"]["clusterIPs"] == ["10.96.0.10"]
    with pytest.raises(UnableError, match="may not change"):
        patched(single % "IPv6")


@pytest.mark.parametrize(
    ("asks", "command"),
    [
        ({"trafficDistribution": "PreferClose"}, "patch"),
        ({"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}, "annotate"),
    ],
)
def test_hints_go_with_what_asks_for_them(asks, command):
    objects = HINTED(read("default"))
    service = service_of(objects, "echo")
    service["spec"].update({k: v for k, v in asks.items() if k != "annotations"})
    service["metadata"].update({k: v for k, v in asks.items() if k == "annotations"})
    if command == "patch":
        assert hints(patched("{}", objects=objects))
        assert not hints(patched('{"spec":{"trafficDistribution":null}}', objects=objects))
    else:
        line = "kubectl annotate service echo -n default service.kubernetes.io/topology-mode-"
        assert not hints(answered(line, objects, None))


def hints(objects):
    slices = [item for item in objects if slice_of(item, "default", "echo")]
    return [entry["hints"] for item in slices for entry in item["endpoints"] if "hints" in entry]


def test_a_deleted_pod_is_started_again():
    class Machines:
        started = ()

        def start_server(self, pod):
            self.started += (pod,)

    machines = Machines()
    answered("kubectl delete pod echo-3 -n default", read("default"), machines)
    assert machines.started == ("default/echo-3",)
