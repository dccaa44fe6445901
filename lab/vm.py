"""One command on a Debian kernel: QEMU in software emulation over this machine's file system.

The guest sees the host's files copy on write, so the checkout, its virtual environment and the
unpacked kernel modules are there without an image. KVM is never used: emulation is what every
machine has, and it behaves the same on all of them.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from lab.kernels import KernelImage, cache_root
from tracer.errors import UnableError

CHECKOUT = Path(__file__).resolve().parent.parent
MODULES = (
    *("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack", "nf_nat", "nf_tables"),
    *("nft_compat", "nf_conntrack_netlink", "ip_set", "xt_set", "dummy", "veth", "bridge"),
)
"""Loaded before the command: probes need a module's symbols when they attach."""
ROOT_TAG = "labroot"
ROOT_DEVICE = (
    f"-fsdev local,id={ROOT_TAG},path=/,security_model=none,readonly=on,multidevs=remap "
    f"-device virtio-9p-pci,fsdev={ROOT_TAG},mount_tag={ROOT_TAG}"
)
"""The root file system once more, mounted with a cache: warm imports take a third of the time."""
PROCESSOR = "-cpu max,-avx2"
"""QEMU 7.2 computes a gather of AVX2 wrongly, and NumPy's ``argsort`` is built on it: a quarter
of the sorts of a few hundred keys came out unsorted in the guest."""
CACHED = (
    *(CHECKOUT, Path(sys.prefix), Path(sys.base_prefix), Path("/usr/bin"), Path("/usr/sbin")),
    Path("/usr/lib/x86_64-linux-gnu"),
)
NETWORK = (
    "modprobe virtio_net",
    "for link in /sys/class/net/*; do [ -e $link/device ] && card=${link##*/}; done",
    "ip link set $card up",
    "ip addr add 10.0.2.15/24 dev $card",
)
"""QEMU's user network without asking for an address: it is always the same one."""
STATUS = ".status"
OUTPUT = "output.log"


@dataclass(frozen=True, slots=True)
class VmSettings:
    """Size and limits of one guest."""

    cpus: int = 2
    memory: str = "2G"
    timeout_s: float = 1800.0
    append: str = ""
    """Further kernel parameters."""
    network: bool = False
    """Whether the guest reaches this machine, at ``10.0.2.2``."""


def guest_script(
    command: Sequence[str], results: Path, hide: Sequence[str] = (), network: bool = False
) -> str:
    """What the guest runs: mounts, modules, the command, and its status into ``results``.

    Output and status travel as files of the shared directory: without udev in the guest
    virtme-ng finds no serial ports for them and mixes the output into the console.
    """
    mounts = [f"mount -t tmpfs none {shlex.quote(path)}" for path in hide]
    lines = [
        "export HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LAB_VM=1",
        f"export LAB_RESULTS={shlex.quote(str(results))} PYTHONPATH={shlex.quote(str(CHECKOUT))}",
        f"export XDG_CACHE_HOME={shlex.quote(str(cache_root().parent))}",
        f"export PATH={Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "mount -t debugfs none /sys/kernel/debug 2>/dev/null",
        "mount -t tracefs none /sys/kernel/tracing 2>/dev/null",
        "mount -t bpf none /sys/fs/bpf 2>/dev/null",
        "ulimit -l unlimited",
        f"modprobe -a {' '.join(MODULES)}",
        "ip link set lo up",
        *(NETWORK if network else ()),
        *_cached_mounts(),
        *mounts,
        f"cd {shlex.quote(str(CHECKOUT))}",
        f"{shlex.join(command)} </dev/null >{shlex.quote(str(results / OUTPUT))} 2>&1",
        f"echo $? > {shlex.quote(str(results / STATUS))}",
        "sync",
    ]
    return "\n".join(lines) + "\n"


def _cached_mounts() -> list[str]:
    folder = "/tmp/labroot"
    options = "trans=virtio,version=9p2000.L,cache=loose,ro,msize=512000"
    folders = " ".join(shlex.quote(str(path.resolve())) for path in CACHED if path.exists())
    return [
        f"mkdir -p {folder}",
        f"mount -t 9p -o {options} {ROOT_TAG} {folder} && for place in {folders}; do "
        f'[ "$place" = /usr ] || mount --bind "{folder}$place" "$place"; done',
    ]


def vng_command(image: KernelImage, script: Path, results: Path, settings: VmSettings) -> list[str]:
    """The virtme-ng call; ``-v`` because without it the guest's output was lost."""
    command = [str(Path(sys.executable).with_name("vng")), "-v", "--disable-kvm", "--force-9p"]
    command += ["--run", str(image.vmlinuz), "--cpus", str(settings.cpus)]
    command += ["--memory", settings.memory, "--user", "root", f"--rwdir={results}"]
    command.append(f"--qemu-opts={ROOT_DEVICE} {PROCESSOR}")
    if settings.append:
        command += ["--append", settings.append]
    if settings.network:
        command += ["--network", "user", "--no-dhcp"]
    return [*command, "--exec", f"sh {script}"]


def run_in_vm(
    image: KernelImage,
    command: Sequence[str],
    results: Path,
    settings: VmSettings,
    hide: Sequence[str] = (),
) -> int:
    """Boot, run, stream the output, shut down; the command's own exit status.

    ``results`` is shared with the guest, writable, under the same path; the guest's console is
    kept there as ``console.log``. Raises ``UnableError`` when the guest gave no status.
    """
    results.mkdir(parents=True, exist_ok=True)
    status = results / STATUS
    output = results / OUTPUT
    status.unlink(missing_ok=True)
    output.write_bytes(b"")
    with (
        tempfile.NamedTemporaryFile("w", suffix=".sh", prefix="viptrace-lab-") as script,
        output.open("rb") as stream,
    ):
        script.write(guest_script(command, results, hide, settings.network))
        script.flush()
        call = vng_command(image, Path(script.name), results, settings)
        console = results / "console.log"
        timed_out = _boot(call, console, stream, settings.timeout_s)
    if status.exists() and (text := status.read_text().strip()).isdigit():
        return int(text)
    why = f"no answer within {settings.timeout_s:.0f} s" if timed_out else "the guest stopped"
    tail = console.read_text(errors="replace")[-1500:]
    raise UnableError("the virtual machine gave no exit status", why, f"its console said:\n{tail}")


def _boot(call: Sequence[str], console: Path, output: BinaryIO, timeout_s: float) -> bool:
    """Run QEMU, its console into a file, the growing ``output`` to ours; True when time ran out.

    The console is a pipe: QEMU opens it by path several times, and on a plain file each of its
    writers would start at offset 0.
    """
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    process = subprocess.Popen(
        call,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path},
        start_new_session=True,
    )
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    try:
        with console.open("wb") as log:
            return _pump(process.stdout, log, output, deadline)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _show(output)


def _pump(pipe: IO[bytes], log: BinaryIO, output: BinaryIO, deadline: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            ready = selector.select(timeout=0.2)
            _show(output)
            if not ready:
                continue
            data = os.read(pipe.fileno(), 65536)
            if not data:
                return False
            log.write(data)
            log.flush()
    return True


def _show(output: BinaryIO) -> None:
    if data := output.read():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
