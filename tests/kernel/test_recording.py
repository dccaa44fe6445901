"""What the probes told is recorded, and told again by a replay: the same rows and findings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.tracing import Tracing
from tests.kernel import field
from tracer.capture_file import CaptureReader, CaptureStream

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(1800)]

CONNECTIONS = 7
CLUSTER = """
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd96::10"]
  ports: [{name: http, protocol: TCP, port: 80}, {name: none, protocol: TCP, port: 81}]
---
kind: Service
apiVersion: v1
metadata: {name: rules, namespace: shop}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20, "fd96::20"]
  ports: [{name: http, protocol: TCP, port: 80}]
"""


@pytest.fixture(scope="module")
def network():
    field.run(f"modprobe -a {' '.join(field.MODULES)}")
    field.remove()
    field.build()
    echo = field.Echo()
    yield
    echo.close()
    field.remove()


def talk() -> None:
    """Connections that IPVS and iptables translate, refuse and lose."""
    for engine in ("ipvs", "iptables"):
        for family in (4, 6):
            for _ in range(CONNECTIONS):
                with field.connect(field.VIPS[engine][family], 80) as peer:
                    field.exchange(peer)
    for host, port in ((field.VIPS["ipvs"][4], 81), (field.BACKENDS[4], 9999)):
        with pytest.raises(OSError, match=r"refused|timed out"):
            field.connect(host, port, timeout=3)


def replayed(path: Path) -> list[dict]:
    command = [sys.executable, "-m", "tracer", "replay", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def told(lines: list[dict], kind: str) -> list[str]:
    """Lines of a kind without the numbers of flows: those hold for one run."""
    numbers = {"id", "upstream", "downstream"}
    plain = ({k: v for k, v in line.items() if k not in numbers} for line in lines)
    return sorted(json.dumps(line, sort_keys=True) for line in plain if line["type"] == kind)


def _names_the_lost(line: dict) -> bool:
    return line["type"] == "finding" and line["subject"]["service"] == "shop/web"


def test_a_replay_says_what_the_live_run_said(network, tmp_path):
    cluster, path = tmp_path / "cluster.yaml", tmp_path / "run.pcapng"
    cluster.write_text(CLUSTER)
    tracing = Tracing(
        *(field.NODE, tmp_path / "live", ("--cluster", str(cluster)), "w1", "bpf"),
        options=("--record", str(path)),
    )
    with tracing:
        talk()
        tracing.wait_for(_names_the_lost, 120, "the connection that was lost")
        assert tracing.stop() in (0, 130)
    live, again = list(tracing.lines()), replayed(path)
    assert len(told(live, "translation")) >= 4 * CONNECTIONS
    assert told(live, "finding")
    for kind in ("translation", "finding"):
        assert told(again, kind) == told(live, kind)
    first, second = live[-1], again[-1]
    assert first["type"] == second["type"] == "summary"
    for figure in ("packets", "events", "translations", "findings", "lost"):
        assert second[figure] == first[figure], figure


def test_a_recorder_that_is_killed_leaves_what_the_probes_told(network, tmp_path):
    cluster, path = tmp_path / "cluster.yaml", tmp_path / "run.pcapng"
    cluster.write_text(CLUSTER)
    tracing = Tracing(
        *(field.NODE, tmp_path / "live", ("--cluster", str(cluster)), "w1", "bpf"),
        options=("--record", str(path)),
    )
    with tracing:
        talk()
        tracing.wait_for(_names_the_lost, 120, "the connection that was lost")
        talk()  # The last second may be lost: what came before it is asked for below.
    stream = CaptureStream(path)
    reader = CaptureReader(stream.bytes, str(path))
    packets = 0
    while (chunk := reader.read()) is not None:
        packets += len(chunk.times_ns)
    stream.close()
    assert packets > CONNECTIONS
    again = replayed(path)
    assert len(told(again, "translation")) >= 4 * CONNECTIONS
    assert any(map(_names_the_lost, again))
