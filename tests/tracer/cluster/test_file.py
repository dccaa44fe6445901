"""Cluster files as people make them: from kubectl, by hand, cut off, and hostile."""

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer import address
from tracer.cluster.file import load, parse
from tracer.cluster.model import Cluster, Endpoint, HostPort, Node, Pod, Service, ServicePort
from tracer.errors import InputError

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::a"]
  externalIPs: [192.168.10.101]
  externalTrafficPolicy: Local
  healthCheckNodePort: 32122
  loadBalancerSourceRanges: [10.0.0.0/8]
  sessionAffinity: ClientIP
  trafficDistribution: PreferClose
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: web, nodePort: 31704}
  - {name: dns, port: 53, protocol: UDP}
status:
  loadBalancer:
    ingress:
    - {ip: 203.0.113.7, ipMode: Proxy}
    - {hostname: lb.example.com}
    - {ip: 203.0.113.8}
"""
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-abc
  namespace: shop
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
ports:
- {name: http, port: 8080, protocol: TCP}
endpoints:
- addresses: [10.244.1.10]
  nodeName: worker1
  targetRef: {kind: Pod, name: web-1}
- addresses: [10.244.2.10, 10.244.2.99]
  conditions: {ready: false, serving: true, terminating: true}
- addresses: [10.244.2.11]
  conditions: {ready: false}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop}
spec:
  nodeName: worker1
  containers:
  - ports: [{containerPort: 8080, hostPort: 80, hostIP: 192.168.50.2}]
  initContainers:
  - {restartPolicy: Always, ports: [{containerPort: 9000, hostPort: 9001, protocol: UDP}]}
  - ports: [{containerPort: 1, hostPort: 1}]
status:
  phase: Running
  podIP: 10.244.1.10
  podIPs: [{ip: 10.244.1.10}, {ip: "fd00:244::10"}]
"""
NODE = """\
apiVersion: v1
kind: Node
metadata:
  name: master1
  labels: {node-role.kubernetes.io/control-plane: ""}
spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24, "fd00:244::/64"]}
status:
  addresses:
  - {type: InternalIP, address: 192.168.50.1}
  - {type: Hostname, address: master1}
  - {type: ExternalIP, address: 198.51.100.1}
"""
OLD_ENDPOINTS = """\
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets:
- addresses: [{ip: 10.244.1.10, nodeName: worker1, targetRef: {kind: Pod, name: web-1}}]
  notReadyAddresses: [{ip: 10.244.2.11}]
  ports: [{name: http, port: 8080}]
"""
ip = address.parse


def read(text: str) -> Cluster:
    return parse(text.encode(), "cluster.yaml")


def documents(*texts: str) -> Cluster:
    return read("---\n".join(texts))


def test_a_service_with_everything():
    assert read(SERVICE).services == (
        Service(
            namespace="shop",
            name="web",
            type="LoadBalancer",
            ports=(
                ServicePort("http", 6, 80, "web", 31704),
                ServicePort("dns", 17, 53, "53"),
            ),
            cluster_ips=(ip("10.96.0.10"), ip("fd00:96::a")),
            external_ips=(ip("192.168.10.101"),),
            load_balancer_ips=(ip("203.0.113.7"), ip("203.0.113.8")),
            load_balancer_modes=("Proxy", "VIP"),
            external_policy="Local",
            affinity_seconds=10800,
            health_check_node_port=32122,
            source_ranges=("10.0.0.0/8",),
            selector={"app": "web"},
            load_balancer_names=("lb.example.com",),
            traffic_distribution="PreferClose",
        ),
    )


def test_a_headless_service_and_an_external_name():
    headless, external = documents(
        "kind: Service\nmetadata: {name: a}\nspec: {clusterIP: None, clusterIPs: [None]}\n",
        "kind: Service\nmetadata: {name: b}\nspec: {type: ExternalName, externalName: x.org}\n",
    ).services
    assert (headless.key, headless.headless, headless.cluster_ips) == ("default/a", True, ())
    assert (external.headless, external.external_name) == (False, "x.org")


def test_endpoint_conditions_have_the_defaults_of_the_api():
    cluster = read(SLICE)
    common = {"service": "shop/web", "port_name": "http", "protocol": 6, "port": 8080}
    assert cluster.endpoints == (
        Endpoint(ip=ip("10.244.1.10"), node="worker1", pod="shop/web-1", **common),
        Endpoint(ip=ip("10.244.2.10"), ready=False, serving=True, terminating=True, **common),
        Endpoint(ip=ip("10.244.2.11"), ready=False, serving=False, **common),
    )
    assert cluster.unparsed == ()


def test_zones_and_another_proxy_are_read():
    hinted = SLICE.replace("  nodeName: worker1", "  hints: {forZones: [{name: a}, {name: b}]}")
    node = "kind: Node\nmetadata: {name: n, labels: {topology.kubernetes.io/zone: a}}\n"
    other = SERVICE.replace(
        "  namespace: shop",
        "  namespace: shop\n  labels: {service.kubernetes.io/service-proxy-name: x}",
    )
    cluster = parse("---\n".join((hinted, node, other)).encode(), "c.yaml")
    assert cluster.unparsed == ()
    assert [endpoint.zones for endpoint in cluster.endpoints] == [("a", "b"), (), ()]
    assert (cluster.nodes[0].zone, cluster.services[0].proxied_by) == ("a", "x")


def test_a_slice_without_ports_or_endpoints_is_no_fault():
    cluster = read(
        "kind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: x}}\n"
        "ports: null\nendpoints: null\n"
    )
    assert (cluster.endpoints, cluster.unparsed) == ((), ())


def test_an_address_in_two_slices_counts_once_and_as_ready():
    other = SLICE.replace("web-abc", "web-def").replace("conditions: {ready: false}", "")
    cluster = documents(SLICE, other)
    assert [e.ready for e in cluster.endpoints] == [True, False, True]


def test_old_endpoints_serve_where_there_is_no_slice():
    both = documents(OLD_ENDPOINTS, SLICE)
    assert both.endpoints == read(SLICE).endpoints
    first, second = read(OLD_ENDPOINTS).endpoints
    assert (first.pod, first.node, first.ready) == ("shop/web-1", "worker1", True)
    assert (second.ip, second.ready, second.serving) == (ip("10.244.2.11"), False, False)


def test_an_empty_slice_is_believed_over_old_endpoints():
    empty = SLICE.partition("endpoints:")[0] + "endpoints: []\n"
    assert documents(OLD_ENDPOINTS, empty).endpoints == ()


def test_a_pod_and_a_node():
    cluster = documents(POD, NODE)
    assert cluster.pods == (
        Pod(
            namespace="shop",
            name="web-1",
            node="worker1",
            ips=(ip("10.244.1.10"), ip("fd00:244::10")),
            host_ports=(HostPort(6, 80, 8080, ip("192.168.50.2")), HostPort(17, 9001, 9000)),
        ),
    )
    assert cluster.nodes == (
        Node(
            name="master1",
            addresses=(ip("192.168.50.1"), ip("198.51.100.1")),
            pod_cidrs=("10.244.0.0/24", "fd00:244::/64"),
            control_plane=True,
        ),
    )
    assert cluster.known == {"pods", "nodes"}


def in_a_list(*texts: str) -> str:
    indented = ("- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in texts)
    return "apiVersion: v1\nkind: List\nitems:\n" + "".join(indented)


ALL = (SERVICE, SLICE, POD, NODE)


def as_json(text: str) -> str:
    import yaml

    return json.dumps(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        in_a_list(*ALL),
        as_json(in_a_list(*ALL)),
        "\n".join(as_json(text) for text in ALL),
        "[" + ",".join(as_json(text) for text in ALL) + "]",
        "%YAML 1.1\n---\n# made by hand\n" + "\n---\n".join(ALL) + "---\n",
        "---\r\n".join(ALL).replace("\n", "\r\n"),
        "{kind: List, items: [" + ", ".join(as_json(text) for text in ALL) + "]}",
    ],
    ids=["list", "json-list", "json-row", "json-array", "documents", "crlf", "flow"],
)
def test_every_way_to_write_the_same_cluster(text):
    expected = documents(*ALL)
    assert parse(text.encode(), "x") == expected
    assert parse(b"\xef\xbb\xbf" + text.encode(), "x") == expected
    assert parse(text.encode("utf-16"), "x") == expected


def test_items_of_a_typed_list_need_no_kind():
    text = as_json(in_a_list(POD)).replace('"kind": "Pod", ', "").replace('"List"', '"PodList"')
    assert parse(text.encode(), "x").pods == read(POD).pods


def test_a_later_object_replaces_an_earlier_one():
    cluster = documents(POD, POD.replace("worker1", "worker2"))
    assert [pod.node for pod in cluster.pods] == ["worker2"]


def test_anchors_and_merge_keys():
    text = POD.replace("spec:", "spec: &spec") + (
        "---\nkind: List\nitems:\n"
        "- {kind: Pod, metadata: {name: a}, spec: &s {nodeName: n1, hostNetwork: true}}\n"
        "- {kind: Pod, metadata: {name: b}, spec: {<<: *s, nodeName: n2}}\n"
        "- {kind: Pod, metadata: {name: c}, spec: *s}\n"
    )
    pods = read(text).pods[1:]
    assert [(p.node, p.host_network) for p in pods] == [("n1", True), ("n2", True), ("n1", True)]


def test_colons_are_addresses_not_numbers_of_base_sixty():
    node = "kind: Node\nmetadata: {name: n}\nstatus:\n  addresses:\n  - type: InternalIP\n"
    assert read(node + "    address: 2001:0:0:0:0:0:0:1\n").nodes[0].addresses == (ip("2001::1"),)


def test_what_is_not_understood_is_listed_with_its_place():
    cluster = documents(
        SERVICE.replace("80,", "80000,").replace("192.168.10.101", "nonsense"),
        "kind: Deployment\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\n",
        "kind: Pod\nspec: [1]\n",
        SLICE.replace("kubernetes.io/service-name", "other"),
        "kind: Node\nmetadata: {name: [1]}\n",
    )
    assert [s.external_ips for s in cluster.services] == [()]
    assert [p.name for p in cluster.services[0].ports] == ["dns"]
    lines = SERVICE.count("\n")
    assert cluster.unparsed == (
        "cluster.yaml:1: Service shop/web: spec.ports[0].port: 80000 is not a number from 1 to 65535",
        "cluster.yaml:1: Service shop/web: spec.externalIPs[0]: 'nonsense' is not an IP address",
        f"cluster.yaml:{lines + 2}: Deployment is not read",
        f"cluster.yaml:{lines + 4}: serving.knative.dev/v1 Service is not read",
        f"cluster.yaml:{lines + 8}: Pod: it has no metadata.name",
        f"cluster.yaml:{lines + 11}: EndpointSlice shop/web-abc: it has no label "
        "kubernetes.io/service-name: kube-proxy ignores it",
        f"cluster.yaml:{lines + 29}: Node: metadata.name: a list is not text",
        f"cluster.yaml:{lines + 29}: Node: it has no metadata.name",
    )


def test_a_broken_document_costs_only_itself():
    cluster = documents(POD, "kind: Node\nmetadata: {name\n", NODE)
    assert [len(cluster.pods), len(cluster.nodes)] == [1, 1]
    (problem,) = cluster.unparsed
    assert problem.startswith("cluster.yaml:18:")


@pytest.mark.parametrize("cut", range(5, 300, 13))
def test_a_list_cut_off_gives_the_objects_before_the_cut(cut):
    text = in_a_list(POD, NODE.replace("master1", "n1"), NODE)
    for whole in (text, as_json(text)):
        cluster = parse(whole[:-cut].encode(), "x")
        assert cluster.pods == read(POD).pods
        assert cluster.nodes[0].name == "n1"
        if whole is not text:
            assert len(cluster.nodes) == 1
            assert "skipped" in cluster.unparsed[-1]


def test_hostile_names_are_kept_and_never_printed_raw():
    name = "x" * 1000 + "\x1b[31m\u202e[bold]../../etc"
    text = json.dumps({"kind": "Pod", "metadata": {"name": name}, "status": {"podIP": "zz"}})
    cluster = parse(text.encode(), "x")
    assert cluster.pods[0].name == name
    (problem,) = cluster.unparsed
    assert problem.isprintable()
    assert len(problem) < 400


def test_half_a_surrogate_pair_does_not_reach_the_output():
    cluster = parse(b'{"kind": "Pod", "metadata": {"name": "a\\ud800"}} {"kind": "x"}', "x")
    assert cluster.pods[0].name.encode() == b"a?"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"hello", "No object in it has a kind"),
        (b"[1, 2]", "No object in it has a kind"),
        (b'{"name": "left-pad"}', "No object in it has a kind"),
        (b"kind: Service\n  metadata: x", "Line 2, column 11"),
        (b"\n{", "Line 2, column 2"),
        (b"\x1f\x8b\x08\x00\x00", "byte 1 is not UTF-8 text"),
        (b"[" * 100_000, "nested|RecursionError"),
        (b"a: " + b"[" * 100_000, "nested more than 100 deep"),
        (b"kind: &a [*a]", "an alias without a finished anchor"),
        (b"? [a]\n: b", "a key that is not text"),
        (b"kind: \x07", "control characters"),
    ],
)
def test_what_is_no_cluster_file_gets_one_clear_error(data, why):
    with pytest.raises(InputError, match=why) as caught:
        parse(data, "cluster.yaml")
    assert "cluster.yaml" in caught.value.what
    assert "kubectl get" in caught.value.remedy


def test_a_bomb_of_aliases_is_refused_quickly():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)
    )
    with pytest.raises(InputError, match="aliases that stand for more than"):
        parse(bomb.encode(), "x")


def test_a_byte_that_is_no_text_costs_only_its_character():
    cluster = parse(POD.encode() + b"# \xff\n", "x")
    assert cluster.pods == read(POD).pods
    assert cluster.unparsed == (f"x:{POD.count(chr(10)) + 1}: byte {len(POD) + 2} is not UTF-8",)


def test_too_many_endpoints_in_one_object_are_refused():
    text = json.dumps(
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "x", "labels": {"kubernetes.io/service-name": "x"}},
            "endpoints": [{"addresses": ["1.1.1.1"]}] * 1001,
            "ports": [{"port": 1}] * 1001,
        }
    )
    assert "1001 addresses with 1001 ports" in parse(text.encode(), "x").unparsed[0]


def test_files_and_standard_input(tmp_path, monkeypatch):
    path = tmp_path / "cluster.txt"
    path.write_text(POD)
    assert load(path).pods == load(str(path)).pods == read(POD).pods
    stdin = io.TextIOWrapper(io.BytesIO(POD.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert load("-").pods == read(POD).pods


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_opened(tmp_path, name):
    with pytest.raises(InputError, match="Cannot read the cluster file"):
        load(f"{tmp_path}/{name}")


SHAPE = (SERVICE, SLICE, POD, NODE, OLD_ENDPOINTS)
KEYS = sorted({key for text in SHAPE for key in re.findall(r"([\w./-]+):", text)})
WORDS = ("Service", "Pod", "Node", "EndpointSlice", "Endpoints", "List", "10.0.0.1", "TCP", "None")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from(WORDS))
def test_no_shape_of_an_object_is_too_odd(value, kind):
    body = value if isinstance(value, dict) else {"spec": value, "status": value}
    text = json.dumps({"metadata": {"name": "x"}} | body | {"kind": kind})
    cluster = parse(text.encode(), "x")
    assert all(line.isprintable() for line in cluster.unparsed)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_to_a_file_raises_anything_but_an_input_error(data):
    text = data.draw(st.sampled_from([in_a_list(*ALL), as_json(in_a_list(*ALL))])).encode()
    at = data.draw(st.integers(0, len(text)))
    upto = data.draw(st.integers(at, min(len(text), at + 40)))
    damage = data.draw(st.binary(max_size=5) | st.sampled_from([b"\n", b"&a", b"*a", b"- ", b'"']))
    try:
        parse(text[:at] + damage + text[upto:], "x")
    except InputError as error:
        assert error.why  # noqa: PT017 (either outcome is right)
