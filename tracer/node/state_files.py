"""This node's state as plain files: the output of the public tools, one file each.

Only what is in use is asked for: a tool must not load a kernel module by being run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.errors import InputError
from tracer.node import sysctl
from tracer.node.existing import PROC
from tracer.node.programmed import told_mode

PATIENCE_S = 60.0
_SYSCTLS = "net"
Condition = Callable[[Path], bool]


def _always(proc: Path) -> bool:
    return True


def _has(name: str) -> Condition:
    """A file of ``/proc`` that is there and not empty."""

    def has(proc: Path) -> bool:
        try:
            return bool((proc / name).read_bytes())
        except OSError:
            return False

    return has


@dataclass(frozen=True, slots=True)
class Part:
    """One command whose output goes into a file; the first of ``tools`` that is there is run."""

    file: str
    tools: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    needed: Condition = _always


PARTS = (
    Part("iptables-save.txt", ("iptables-nft-save", "iptables-save"), ("-c",)),
    Part("iptables-save.txt", ("iptables-legacy-save",), ("-c",), _has("net/ip_tables_names")),
    Part("ip6tables-save.txt", ("ip6tables-nft-save", "ip6tables-save"), ("-c",)),
    Part("ip6tables-save.txt", ("ip6tables-legacy-save",), ("-c",), _has("net/ip6_tables_names")),
    Part("nft.json", ("nft",), ("-j", "list", "ruleset")),
    Part("ipset-save.txt", ("ipset",), ("save",)),
    Part("ipvsadm-save.txt", ("ipvsadm",), ("-Sn",), _has("net/ip_vs")),
    Part("ipvsadm-conn.txt", ("ipvsadm",), ("-Lnc",), _has("net/ip_vs")),
    Part("addr.json", ("ip",), ("-j", "addr")),
    Part("route.json", ("ip",), ("-j", "route", "show", "table", "all")),
    Part("rule.json", ("ip",), ("-j", "rule")),
    Part("rule.json", ("ip",), ("-j", "-6", "rule")),
    Part("neigh.json", ("ip",), ("-j", "neigh")),
    Part("conntrack.txt", ("conntrack",), ("-L",)),
    Part("conntrack.txt", ("conntrack",), ("-L", "-f", "ipv6")),
)


class Absent(str):
    """Why nothing was collected: there is no such tool."""


_KUBECTL = ("get", "nodes,services,endpointslices,pods", "-A", "-o", "json")


def write_state(directory: Path, proc: Path = PROC) -> list[str]:
    """Write every file that can be made; ``file: why`` for each that can not."""
    _make(directory)
    enter = host_tools(proc)
    texts: dict[str, list[bytes]] = {}
    notes = []
    for part in PARTS:
        if not part.needed(proc):
            if part.file == "ipvsadm-save.txt":
                texts[part.file] = [b""]  # no IPVS in this kernel: there are no servers
            continue
        output = output_of(part, enter)
        if isinstance(output, str):
            notes.append(f"{part.file}: {output}")
        else:
            texts.setdefault(part.file, []).append(output)
    if settings := sysctl.text(proc, _SYSCTLS):
        texts["sysctl.txt"] = [settings.encode()]
    else:
        notes.append(f"sysctl.txt: nothing can be read in {proc / 'sys' / _SYSCTLS}")
    if mode := told_mode():
        texts["proxy-mode.txt"] = [f"{mode}\n".encode()]
    for name, parts in texts.items():
        (directory / name).write_bytes(b"".join(parts))
    return notes


def write_cluster(directory: Path, source: Path | None) -> str:
    """The cluster's objects from a file or from kubectl; why not, or empty."""
    if source is not None:
        name = "cluster.yaml" if source.suffix in (".yaml", ".yml") else "cluster.json"
        try:
            shutil.copyfile(source, directory / name)
        except OSError as error:
            raise InputError(
                f"Cannot copy {source}.", str(error.strerror or error), "Give another --cluster."
            ) from error
        return ""
    output = output_of(Part("cluster.json", ("kubectl",), _KUBECTL), ())
    if isinstance(output, str):
        return f"cluster.json: {output}"
    (directory / "cluster.json").write_bytes(output)
    return ""


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)  # addresses of everybody who talks to this node
    except OSError as error:
        raise InputError(
            f"Cannot write into {directory}.",
            str(error.strerror or error),
            "Give another directory: viptrace state -o DIR",
        ) from error


def host_tools(proc: Path) -> tuple[str, ...]:
    """How to run the host's own tools from a container that shares its process ids.

    Its iptables is the one that wrote the rules; another version may misread them.
    """
    try:
        own, first = (os.readlink(proc / who / "ns/mnt") for who in ("self", "1"))
    except OSError:
        return ()
    return ("nsenter", "-t", "1", "-m", "--") if own != first else ()


def output_of(part: Part, enter: Sequence[str], patience_s: float = PATIENCE_S) -> bytes | str:
    """What the first tool prints that can be run, or why none can: ``Absent`` if none is there."""
    why: str = Absent(f"there is no {part.tools[0]} here")
    for prefix in dict.fromkeys((tuple(enter), ())):
        for tool in part.tools:
            try:
                done = subprocess.run(
                    [*prefix, tool, *part.arguments],
                    capture_output=True,
                    timeout=patience_s,
                    check=False,
                )
            except FileNotFoundError:
                continue
            except (OSError, subprocess.TimeoutExpired) as error:
                why = f"{tool} failed: {error}"
                continue
            if done.returncode == 0:
                return done.stdout
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = f"{tool} failed: {said[-1] if said else f'status {done.returncode}'}"
    return why
