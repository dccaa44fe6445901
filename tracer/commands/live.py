"""``viptrace live``: trace this node now."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tracer.commands.output import chosen_output, output_options
from tracer.errors import InputError
from tracer.privileges import identity_of
from tracer.settings import LiveSettings, RecordSettings


@click.command(short_help="Trace this node now (the default).")
@click.argument("filter", required=False, default="", metavar="[FILTER]")
@output_options
@click.option(
    "--backend",
    type=click.Choice(["auto", "bpf", "conntrack"]),
    default="auto",
    show_default=True,
    help="Kernel probes, or conntrack's own events where probes cannot run.",
)
@click.option("--iface", multiple=True, metavar="NAME", help="Sniff here only; repeatable.")
@click.option("--no-packets", is_flag=True, help="Do not sniff packets at all.")
@click.option(
    "--cluster",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Names from this file: kubectl get nodes,services,endpointslices,pods -A -o json.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Names from this API server, instead of the one that is found.",
)
@click.option("--no-cluster", is_flag=True, help="No names, addresses only.")
@click.option(
    "--all-pods",
    is_flag=True,
    help="Name clients on other nodes that are behind no Service, too: a large list.",
)
@click.option(
    "--no-health-checks",
    is_flag=True,
    help="Do not ask this node's health check node ports, as the screen and recordings do.",
)
@click.option("--node", default="", metavar="NAME", help="This node's name in Kubernetes.")
@click.option(
    "--duration", type=click.FloatRange(min=0), default=0.0, metavar="S", help="Stop after this."
)
@click.option("--deep", is_flag=True, help="Probes that fire for every packet, too.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Written when everything is attached.",
)
@click.option("--all-namespaces", is_flag=True, help="Every network namespace of this kernel.")
@click.option(
    "--metrics",
    default="",
    metavar="ADDR:PORT",
    help="Serve Prometheus metrics there, by Service and cause; :9464 means every address.",
)
@click.option(
    "--events",
    is_flag=True,
    help="Write findings as Kubernetes Events, a few a minute; needs the right to create them.",
)
@click.option(
    "--max-flows",
    type=click.IntRange(min=1000, max=1 << 24),
    default=1 << 20,
    show_default=True,
    metavar="N",
    help="Flows remembered at once, about 1 kB each; beyond that the oldest ended ones go.",
)
@click.option(
    "--user",
    default="",
    metavar="NAME|UID[:GID]",
    help="Become this user once everything is attached; files are written as that user.",
)
@click.option(
    "--keep-privileges",
    is_flag=True,
    help="Do not give up capabilities then: probes of modules loaded later can still be attached.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Record headers too, for replay and Wireshark; see also: viptrace record.",
)
def live(
    json_lines: bool,
    text: bool,
    updates: bool,
    all_flows: bool,
    summary: bool,
    fail_on: str | None,
    record: Path | None,
    **options: Any,
) -> int:
    """Show which client reached which VIP, the pod behind it, and the flows that are lost.

    The screen on a terminal, else text. FILTER chooses flows.
    """
    settings = live_settings(**options)
    output = chosen_output(json_lines, text, updates, all_flows, summary, fail_on, settings.filter)
    recording = RecordSettings(record) if record else None
    if recording and str(recording.target) == "-":
        raise InputError(
            "--record - would mix the recording with what is printed.",
            "",
            "Type: viptrace record -o -",
        )
    # NumPy and all sources hang on this: help and mistakes in options must not wait for them.
    from tracer.commands.live_run import trace

    return trace(replace(settings, record=recording, all_flows=all_flows), output)


def live_settings(
    *,
    filter: str,
    backend: str,
    iface: tuple[str, ...],
    no_packets: bool,
    cluster: Path | None,
    kubeconfig: Path | None,
    no_cluster: bool,
    all_pods: bool,
    no_health_checks: bool,
    node: str,
    duration: float,
    deep: bool,
    ready_file: Path | None,
    all_namespaces: bool,
    metrics: str,
    events: bool,
    user: str,
    keep_privileges: bool,
    max_flows: int,
) -> LiveSettings:
    """What is to be traced; InputError where options exclude each other."""
    if user:
        identity_of(user)
        if keep_privileges:
            raise InputError(
                "--user and --keep-privileges exclude each other.", "", "Leave one of them out."
            )
    _require_interfaces(iface)
    _require_one(cluster, kubeconfig, no_cluster)
    return LiveSettings(
        backend=backend,
        interfaces=iface,
        packets=not no_packets,
        deep=deep,
        all_namespaces=all_namespaces,
        cluster=cluster,
        kubeconfig=kubeconfig,
        no_cluster=no_cluster,
        all_pods=all_pods,
        health_checks=not no_health_checks,
        node=node,
        duration_s=duration,
        ready_file=ready_file,
        filter=filter,
        metrics=metrics,
        events=events,
        user=user,
        keep_privileges=keep_privileges,
        max_flows=max_flows,
    )


def _require_one(cluster: Path | None, kubeconfig: Path | None, no_cluster: bool) -> None:
    flags = {"--cluster": cluster, "--kubeconfig": kubeconfig, "--no-cluster": no_cluster}
    given = [flag for flag, value in flags.items() if value]
    if len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} exclude each other.", "", "Leave all but one of them out."
        )


def _require_interfaces(wanted: tuple[str, ...]) -> None:
    present = [name for _, name in socket.if_nameindex()]
    for name in wanted:
        if name not in present:
            raise InputError(
                f"No interface '{name}'.",
                f"This network namespace has: {', '.join(present) or 'none'}.",
                "Name one of these with --iface, or leave it out to sniff on all.",
            )
