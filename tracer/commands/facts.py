"""What this node offers: looked up in /proc and /sys, without changing anything."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from probes.kernel import Kernel
from tracer.cluster.api.connection import Connection
from tracer.cluster.api.credentials import candidates
from tracer.cluster.api.rights import LACKS, refusals
from tracer.commands.fact import NO, PARTLY, YES, Fact
from tracer.commands.probe_facts import probe_facts
from tracer.errors import InputError

PROXY_MODE_URL = "http://127.0.0.1:10249/proxyMode"
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
_DEGRADES = {
    "CAP_NET_ADMIN": "no live tracing; replay works",
    "CAP_NET_RAW": "no packets are sniffed",
}
_CLOCK_UNSYNCHRONISED = 5
"""``TIME_ERROR`` of adjtimex(2)."""
_RING_BUFFER_SINCE = (5, 8)
_PROBES_SINCE = (4, 18)
_BCC_PATHS = ("usr/lib/python3/dist-packages/bcc", "usr/lib/python3/site-packages/bcc")


def facts(root: Path) -> list[Fact]:
    """All of them, for a file system with this root."""
    release = platform.release()
    return [
        kernel(release),
        types(root),
        headers(root, release),
        bcc(root),
        kprobes(root),
        *probe_facts(root, release),
        ipvs(root),
        conntrack(root),
        accounting(root),
        privileges(root),
        proxy_mode(),
        cluster(root),
        clocks(root),
    ]


def kernel(release: str) -> Fact:
    """Old kernels lack the ring buffer, older ones what the probes need."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    found = f"Linux {release} on {platform.machine()}"
    if version >= _RING_BUFFER_SINCE:
        return Fact("kernel", YES, found)
    if version >= _PROBES_SINCE:
        return Fact(
            "kernel",
            PARTLY,
            found,
            "events come through a perf buffer, which loses more under load (ring buffer: 5.8)",
        )
    return Fact("kernel", NO, found, "no kernel probes", "use --backend conntrack")


def types(root: Path) -> Fact:
    """The kernel's own type information: with it no kernel headers are needed."""
    path = root / "sys/kernel/btf/vmlinux"
    if path.exists():
        return Fact("BTF", YES, f"/sys/kernel/btf/vmlinux, {path.stat().st_size // 1024} KiB")
    return Fact(
        "BTF",
        NO,
        "no /sys/kernel/btf/vmlinux",
        "probes are compiled against kernel headers, if there are any",
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, or install the kernel's headers",
    )


def headers(root: Path, release: str) -> Fact:
    """Only wanted where there is no BTF."""
    path = root / "lib/modules" / release / "build/include"
    if path.exists():
        return Fact("headers", YES, f"/lib/modules/{release}/build")
    if (root / "sys/kernel/btf/vmlinux").exists():
        return Fact("headers", YES, "none, and none needed: BTF is there")
    return Fact(
        "headers",
        NO,
        "none",
        "no kernel probes without BTF and without headers",
        f"apt install linux-headers-{release}",
    )


def bcc(root: Path) -> Fact:
    """The compiler and loader of the probes."""
    path = next((place for place in _BCC_PATHS if (root / place).is_dir()), "")
    if path or importlib.util.find_spec("bcc"):
        return Fact("bcc", YES, f"/{path}" if path else "importable")
    return Fact(
        "bcc",
        NO,
        "the Python module bcc is not installed",
        "no kernel probes; conntrack's events still work",
        "apt install python3-bpfcc, or use the container image",
    )


def kprobes(root: Path) -> Fact:
    """Whether functions of this kernel can be probed, and whether that is forbidden."""
    if "[confidentiality]" in _read(root / "sys/kernel/security/lockdown"):
        return Fact(
            "kprobes",
            NO,
            "kernel lockdown: confidentiality",
            "no kernel probes",
            "boot without lockdown=confidentiality, or use --backend conntrack",
        )
    if (root / "sys/bus/event_source/devices/kprobe/type").exists():
        return Fact("kprobes", YES, "perf event source kprobe")
    return Fact(
        "kprobes",
        NO,
        "this kernel has no kprobe event source",
        "no kernel probes",
        "boot a kernel built with CONFIG_KPROBE_EVENTS=y, or use --backend conntrack",
    )


def ipvs(root: Path) -> Fact:
    """The module behind kube-proxy's ipvs mode."""
    if (root / "proc/net/ip_vs").exists():
        return Fact("IPVS", YES, "loaded")
    return Fact(
        "IPVS",
        PARTLY,
        "module ip_vs is not loaded (or not in this network namespace)",
        "nothing, unless kube-proxy runs in ipvs mode here",
    )


def conntrack(root: Path) -> Fact:
    """The kernel's table of connections."""
    folder = root / "proc/sys/net/netfilter"
    used, limit = (_read(folder / f"nf_conntrack_{name}") for name in ("count", "max"))
    if not limit:
        return Fact(
            "conntrack",
            NO,
            "module nf_conntrack is not loaded",
            "no translations are seen until rules load it",
            "modprobe nf_conntrack",
        )
    full = used.isdigit() and limit.isdigit() and int(used) >= int(limit) * 9 // 10
    found = f"{used or '?'} of {limit} entries"
    if full:
        return Fact(
            "conntrack",
            PARTLY,
            found,
            "new connections are dropped when it is full",
            f"sysctl -w net.netfilter.nf_conntrack_max={int(limit) * 2}",
        )
    return Fact("conntrack", YES, found)


def accounting(root: Path) -> Fact:
    """Counters and times in conntrack entries."""
    folder = root / "proc/sys/net/netfilter"
    off = [n for n in ("acct", "timestamp") if _read(folder / f"nf_conntrack_{n}") != "1"]
    if not off:
        return Fact("accounting", YES, "packets, bytes and start times are kept")
    names = [f"net.netfilter.nf_conntrack_{name}" for name in off]
    return Fact(
        "accounting",
        PARTLY,
        f"off: {', '.join(names)}",
        "flows have no packet and byte counts, or no exact start, from the kernel",
        "sysctl -w " + " ".join(f"{name}=1" for name in names),
    )


def privileges(root: Path) -> Fact:
    """The capabilities this process holds."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", _read(root / "proc/self/status"), re.MULTILINE)
    held = int(found[1], 16) if found else 0
    missing = [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    lost = [_DEGRADES[name] for name in missing]
    if right := Kernel(root).lacking_right():
        missing.append(right)
        lost.append("no kernel probes")
    if not missing:
        return Fact("privileges", YES, "all that is needed")
    remedy = "run as root (sudo viptrace), or add the missing capabilities to the container"
    works = NO if "CAP_NET_ADMIN" in missing else PARTLY
    return Fact("privileges", works, f"missing: {'; '.join(missing)}", "; ".join(lost), remedy)


def proxy_mode(url: str = PROXY_MODE_URL) -> Fact:
    """What kube-proxy says about itself."""
    try:
        # No proxy of the environment: this address is this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=1) as answer:
            return Fact("kube-proxy", YES, f"mode {answer.read(32).decode('utf-8', 'replace')}")
    except (urllib.error.URLError, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Fact(
            "kube-proxy",
            PARTLY,
            f"no answer from {url} ({reason})",
            "the mode is concluded from what is in the kernel",
            "check that kube-proxy runs here: crictl ps --name kube-proxy",
        )


def cluster(root: Path) -> Fact:
    """Where names come from: the API server, with each right, or only a file."""
    failures = []
    for candidate in candidates(None, root):
        try:
            connection = Connection(candidate)
        except InputError as error:
            failures.append(f"{candidate.label}: {error.why or error.what}")
            continue
        refused = refusals(connection, watch=True)
        connection.close()
        if not all(refused.values()):
            return _readable(f"{connection.host} by {candidate.label}", refused)
        why = next(str(error) for error in refused.values() if error is not None)
        failures.append(f"{connection.host} by {candidate.label}: {why}")
    return Fact(
        "names",
        PARTLY,
        "; ".join(failures) or "no configuration for an API server",
        "flows carry addresses only, and rules know no Services, unless --cluster is given",
        "viptrace live --kubeconfig FILE; or"
        " kubectl get nodes,services,endpointslices,pods -A -o json > cluster.json;"
        " viptrace live --cluster cluster.json",
    )


def _readable(where: str, refused: Mapping[str, Exception | None]) -> Fact:
    lost = [name for name, error in refused.items() if error is not None]
    read = ", ".join(name for name in refused if name not in lost)
    found = f"list and watch {read} at {where}"
    if not lost:
        return Fact("names", YES, found)
    why = "; ".join(f"{name}: {refused[name]} (missing: {LACKS[name]})" for name in lost)
    return Fact("names", PARTLY, found, why, "kubectl apply -f deploy/rbac.yaml")


def clocks(root: Path) -> Fact:
    """Whether times of several nodes can be compared."""
    source = _read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    found = f"clock source {source or 'unknown'}, {{}} by NTP or PTP"
    if _clock_state() != _CLOCK_UNSYNCHRONISED:
        return Fact("clocks", YES, found.format("disciplined"))
    return Fact(
        "clocks",
        PARTLY,
        found.format("not disciplined"),
        "captures of several nodes may not line up; one node alone is fine",
        "start chronyd or systemd-timesyncd",
    )


def _clock_state() -> int:
    """The answer of adjtimex(2), asked without changing anything."""
    timex = ctypes.create_string_buffer(256)
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    return state


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536).strip()
    except OSError:
        return ""
