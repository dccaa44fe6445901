"""The six kinds of Service in one run, for each mode: what each does, and what it does not."""

from __future__ import annotations

from lab.rules.apply import MODES, Mode
from lab.scenario import Scenario, Traffic
from lab.traffic import Load

REFUSED, TIMEOUT = frozenset({"refused"}), frozenset({"timeout"})
PATIENT_S = 8.0
"""Long enough that silence means something: three retransmissions."""

WELL = (
    Traffic("shell", Load("10.96.0.41", 80, tcp=5)),
    Traffic("client", Load("172.18.0.3", 30003, tcp=5)),
    Traffic("client", Load("172.18.0.224", 80, tcp=5)),
    Traffic("shell", Load("10.96.0.45", 80, tcp=3)),
)
"""ClusterIP, NodePort, externalIP, and the ClusterIP of the one with source ranges."""
NOBODY = Traffic("shell", Load("10.96.0.46", 80, tcp=3), REFUSED, translated=False)
OUT_OF_RANGE = Traffic(
    "client", Load("172.18.0.245", 80, tcp=2, timeout_s=PATIENT_S), TIMEOUT, translated=False
)
NOT_HERE = Load("172.18.0.242", 80, tcp=2, timeout_s=PATIENT_S)


def six_services(mode: Mode) -> Scenario:
    """ipvs mode has no drop for a Local policy without endpoints here: it goes elsewhere."""
    is_ipvs = mode == "ipvs"
    elsewhere = "etp-local-ipvs-wrong-source" if is_ipvs else "no-local-endpoint-drop"
    return Scenario(
        name=f"six-services-{mode}",
        title=f"Six kinds of Service in {mode} mode: three answer, three do not",
        cluster="six-services",
        mode=mode,
        node="worker-1",
        traffic=(
            *WELL,
            NOBODY,
            OUT_OF_RANGE,
            Traffic("client", NOT_HERE, TIMEOUT, translated=is_ipvs),
        ),
        findings=("svc-no-endpoints", "lb-source-ranges-drop", elsewhere),
        kernel_only=is_ipvs,
    )


SERVICE_SCENARIOS: tuple[Scenario, ...] = tuple(map(six_services, MODES))
