"""Live tracing of real translation in a namespace, with names and lags from an API server."""

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.api_server import ApiServer
from tests.tracer.cluster.api.made import kubeconfig, slice_of, small_cluster
from tests.tracer.node.namespace import inside, run

pytestmark = pytest.mark.root

OLD, NEW = "10.244.2.5", "10.244.2.6"
BEHIND_S = 0.8
SETUP = f"""
ip link set lo up
for ip in {OLD} {NEW} 10.250.0.1 192.168.1.1; do ip addr add $ip/32 dev lo; done
ip route add 10.96.0.10/32 dev lo src 10.250.0.1
nft add table ip vt
nft add chain ip vt out '{{ type nat hook output priority -100; }}'
"""


def translate_to(backend):
    """What kube-proxy would do, in one step."""
    run(f"nft 'flush chain ip vt out; add rule ip vt out tcp dport 80 dnat to {backend}:8080'")


def serve(ip):
    listener = socket.create_server((ip, 8080))

    def accept():
        while True:
            listener.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()


def a_kernel_that_is_late():
    """Connections all the time, while the slice changes and, later, the rule."""
    run(SETUP)
    translate_to(OLD)
    for ip in (OLD, NEW):
        serve(ip)
    state = small_cluster()
    state.put("endpointslices", slice_of("web", OLD))
    server = ApiServer(state)
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        command = [sys.executable, "-m", "tracer", "live", "--backend", "conntrack", "--no-packets"]
        command += ["--kubeconfig", kubeconfig(Path(folder), server.port), "--json"]
        command += ["--duration", "6", "--ready-file", ready]
        live = subprocess.Popen(command, stdout=subprocess.PIPE)
        while not ready.exists() and live.poll() is None:
            time.sleep(0.02)
        steps = [
            (1.0, lambda: state.put("endpointslices", slice_of("web", NEW))),
            (1.0 + BEHIND_S, lambda: translate_to(NEW)),
            (4.0, None),
        ]
        began = time.monotonic()
        for at, work in steps:
            while time.monotonic() < began + at:
                socket.create_connection(("10.96.0.10", 80)).close()
                time.sleep(0.02)
            if work:
                work()
        output, _ = live.communicate()
    server.close()
    return [json.loads(line) for line in output.splitlines()]


def test_names_and_lags_come_from_the_api_server():
    *lines, summary = inside(a_kernel_that_is_late)
    translations = [line for line in lines if line["type"] == "translation"]
    # Both addresses are this machine's own here, so that a departed one bears its name.
    assert {line["backend"]["name"] for line in translations} == {"shop/web-5", "shop/web-6", "one"}
    assert {line["service"]["name"] for line in translations} == {"web"}
    (lag,) = summary["lag"]
    assert lag["service"] == "shop/web"
    assert BEHIND_S - 0.2 < lag["left"]["max_s"] < BEHIND_S + 0.4
    assert BEHIND_S - 0.2 < lag["joined"]["max_s"] < BEHIND_S + 0.4
    assert "endpoint-removal-lag" not in summary["findings"], "each of them was answered"
