"""A pod's host port, mapped as the CNI plugin portmap does, beside the rules of each mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.objects import Objects, dump, read, to_cluster
from lab.topology import Topology
from lab.tracing import Tracing
from lab.traffic import Load

pytestmark = pytest.mark.root

NODE, NODE_IP, POD, PORT = "worker-1", "172.18.0.3", "10.244.1.11", 8081
SHELL = "10.244.1.100"
CHAIN = {"iptables": "CNI-DN-5e1b6a0d8c3f4b7a92c10", "nftables": "hostports"}
"""Where the port is translated."""
IPTABLES = f"""
iptables-nft -t nat -N CNI-HOSTPORT-SETMARK
iptables-nft -t nat -N CNI-HOSTPORT-MASQ
iptables-nft -t nat -N CNI-HOSTPORT-DNAT
iptables-nft -t nat -N CNI-DN-5e1b6a0d8c3f4b7a92c10
iptables-nft -t nat -A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
iptables-nft -t nat -A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
iptables-nft -t nat -A CNI-DN-5e1b6a0d8c3f4b7a92c10 -s 10.244.1.0/24 -p tcp -m tcp --dport {PORT} -j CNI-HOSTPORT-SETMARK
iptables-nft -t nat -A CNI-DN-5e1b6a0d8c3f4b7a92c10 -s 127.0.0.1/32 -p tcp -m tcp --dport {PORT} -j CNI-HOSTPORT-SETMARK
iptables-nft -t nat -A CNI-DN-5e1b6a0d8c3f4b7a92c10 -p tcp -m tcp --dport {PORT} -j DNAT --to-destination {POD}:8080
iptables-nft -t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'dnat name: "cbr0" id: "0a1b"' -m multiport --dports {PORT} -j CNI-DN-5e1b6a0d8c3f4b7a92c10
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
iptables-nft -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
iptables-nft -t nat -I POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
"""
NFTABLES = f"""
nft add table inet cni_hostport
nft add chain inet cni_hostport hostports
nft add chain inet cni_hostport prerouting '{{ type nat hook prerouting priority dstnat; }}'
nft add chain inet cni_hostport output '{{ type nat hook output priority -100; }}'
nft add chain inet cni_hostport masquerading '{{ type nat hook postrouting priority srcnat; }}'
nft add rule inet cni_hostport hostports ip daddr {NODE_IP} tcp dport {PORT} dnat ip to {POD}:8080
nft add rule inet cni_hostport prerouting fib daddr type local jump hostports
nft add rule inet cni_hostport output fib daddr type local jump hostports
nft add rule inet cni_hostport masquerading ip saddr 10.244.1.0/24 ip daddr {POD} masquerade
"""
PORTMAP = {"iptables": IPTABLES, "nftables": NFTABLES}
HOST_IP = {"iptables": None, "nftables": NODE_IP}
"""Taken on every address of the node, or on one."""


def with_host_port(host_ip: str | None) -> Objects:
    objects = read("default")
    for item in objects:
        if item["metadata"]["name"] == "echo-1" and item["kind"] == "Pod":
            taken = {"hostPort": PORT, "hostIP": host_ip} if host_ip else {"hostPort": PORT}
            item["spec"]["containers"][0]["ports"][0].update(taken)
    return objects


def viptrace(namespace: str, *words: str) -> list[dict]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tracer", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_a_host_port_is_named_walked_and_in_order(mode, tmp_path: Path):
    objects = with_host_port(HOST_IP[mode])
    file = tmp_path / "cluster.yaml"
    file.write_text(dump(objects))
    names = ["--cluster", str(file)]
    with Topology(to_cluster(objects), f"labh{os.getpid()}") as topology:
        topology.program(mode)
        namespace = topology.namespace(NODE)
        script = ["ip", "netns", "exec", namespace, "sh", "-ec", PORTMAP[mode]]
        subprocess.run(script, check=True)
        with Tracing(namespace, tmp_path, names, NODE, "conntrack") as tracing:
            outside = topology.traffic("client", Load(NODE_IP, PORT, tcp=5))
            inside = topology.traffic("shell", Load(NODE_IP, PORT, tcp=2))
            tracing.stop()
        lines = list(tracing.lines())
        where = [*names, "--node", NODE]
        paths = [
            viptrace(namespace, "explain", source, f"{NODE_IP}:{PORT}", *where)[0]
            for source in ("172.18.0.100", SHELL)
        ]
        *found, _ = viptrace(namespace, "audit", *where)
    assert [one.answered_by for one in (*outside, *inside)] == ["echo-1"] * 7
    told = [line for line in lines if line["type"] == "translation"]
    assert {line["client"]["port"] for line in told} == {
        one.client_port for one in (*outside, *inside)
    }
    service = {"namespace": "default", "name": "echo-1", "port": "", "kind": "HostPort"}
    for line in told:
        assert line["virtual"] == {"ip": NODE_IP, "port": PORT}
        assert line["service"] == service
        assert line["backend"] == {"ip": POD, "port": 8080, "name": "default/echo-1"}
    assert [line for line in lines if line["type"] == "finding"] == []
    masqueraded = {line["client"]["ip"]: line["source_nat"] is not None for line in told}
    assert masqueraded == {"172.18.0.100": False, SHELL: True}
    for path, source in zip(paths, masqueraded, strict=True):
        assert (path["verdict"], path["masquerade"]) == ("delivered", masqueraded[source])
        (backend,) = path["backends"]
        assert (backend["ip"], backend["port"], backend["name"]) == (POD, 8080, "default/echo-1")
        assert any(step["chain"] == CHAIN[mode] for step in path["steps"])
    assert {f["cause"] for f in found if f["severity"] != "info"} <= {"svc-no-endpoints"}
