"""Traffic in which nothing is lost but what a pod itself refuses, of every kind."""

from __future__ import annotations

from lab.cause_scenarios import NODE, REFUSED, TIMEOUT, VIP
from lab.faults import both, commands, killed, later, synced
from lab.objects import unchanged, without_pod
from lab.rules.apply import Mode
from lab.scenario import Scenario, Traffic
from lab.traffic import Load

RESET = frozenset({"reset"})
POD, OTHER_NODE = "10.244.1.11", "172.18.0.4"
FEWER = without_pod("default", "echo-3")
BY_DESIGN = Load(VIP, 53, udp=2, line=b"!count\n", repeats=1, one_way=True)
RETRIED = Load(VIP, 53, udp=1, line=b"wait 2.5\n", repeats=2, timeout_s=8)


def kinds(mode: Mode) -> Scenario:
    """Short, long, idle, half-closed, reset by either side, slow; datagrams of every sort."""
    return Scenario(
        name=f"healthy-kinds-{mode}",
        title=f"Healthy connections and datagrams of every kind, {mode} mode",
        cluster="default",
        mode=mode,
        node="worker-1",
        traffic=(
            Traffic("shell", Load(VIP, 80, tcp=3)),
            Traffic("client", Load(NODE, 30080, tcp=3)),
            Traffic("shell", Load(VIP, 80, tcp=1, again=6, idle_s=0.5)),
            Traffic("shell", Load(VIP, 80, tcp=1, idle_s=6)),
            Traffic("shell", Load(VIP, 80, tcp=2, ending="half")),
            Traffic("client", Load(NODE, 30080, tcp=2, ending="reset")),
            Traffic("shell", Load(VIP, 80, tcp=2, again=1, last=b"bye\n"), RESET),
            Traffic("shell", Load(VIP, 80, tcp=1, line=b"wait 4.5\n", timeout_s=8)),
            Traffic("shell", Load(VIP, 53, udp=6)),
            Traffic("shell", BY_DESIGN),
            Traffic("shell", RETRIED),
        ),
        kernel_only=mode == "ipvs",
    )


def rolling(mode: Mode) -> Scenario:
    """An endpoint leaves and comes back while clients go on."""
    return Scenario(
        name=f"healthy-rolling-update-{mode}",
        title=f"A rolling update under load, {mode} mode: nothing is lost",
        cluster="default",
        mode=mode,
        node="worker-1",
        traffic=(
            Traffic(
                "shell",
                Load(VIP, 80, tcp=40, pause_s=0.2),
                meanwhile=both(synced(FEWER), later(2), synced(unchanged)),
                after_s=1,
            ),
        ),
        kernel_only=mode == "ipvs",
    )


HEALTHY_SCENARIOS: tuple[Scenario, ...] = (
    kinds("iptables"),
    kinds("nftables"),
    kinds("ipvs"),
    rolling("iptables"),
    rolling("nftables"),
    Scenario(
        name="healthy-one-way-only",
        title="A node that passes on requests whose answers take another way",
        cluster="default",
        mode="nftables",
        node="worker-2",
        traffic=(Traffic("client", Load(POD, 8080, tcp=4, again=2), translated=False),),
        fault=both(
            commands("client", f"ip route replace {POD}/32 via {OTHER_NODE}"),
            commands("worker-2", "sysctl -q -w net.ipv4.conf.all.send_redirects=0"),
            commands("worker-2", "sysctl -q -w net.ipv4.conf.eth0.send_redirects=0"),
        ),
    ),
    Scenario(
        name="pod-killed-in-mid-flow",
        title="A pod dies in mid-flow while its endpoint is listed: what it refuses, and no more",
        cluster="default",
        mode="iptables",
        node="worker-1",
        traffic=(
            Traffic(
                "shell",
                Load(VIP, 80, tcp=40, pause_s=0.1),
                REFUSED,
                sometimes=RESET,
                meanwhile=killed("default/echo-3"),
                after_s=1,
            ),
            Traffic("shell", Load(VIP, 53, udp=12, timeout_s=1), REFUSED, sometimes=TIMEOUT),
        ),
        findings=("refused-by-backend",),
    ),
)
