"""Walks through recorded incidents, a page each: what happened, what viptrace shows, what to do.

Text and pictures come from replaying the recording; only the story is written by hand.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lab.objects import CLUSTERS
from lab.scenarios import BY_NAME

PCAPS = CLUSTERS.parent.parent / "pcaps"
_MADE = "<!-- Made by `make docs`; the story is in lab/incidents.py. -->"
_LINES = 26
_ANSWER_LINES = 48
_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Incident:
    """One story over one recording."""

    scenario: str
    title: str
    story: str
    """What happened in the cluster, as its operator would tell it."""
    look: str
    """What to look at on the picture."""
    keys: tuple[str, ...] = ()
    """What is pressed for the picture."""
    findings: bool = False
    """Show what was found rather than the flows."""
    asked: tuple[str, ...] = ()
    """A command that answers from the node's state alone."""

    @property
    def picture(self) -> str:
        """Name of its picture, without folder and ending."""
        return f"incident-{self.scenario}"


INCIDENTS = (
    Incident(
        "external-ip-hidden-port",
        "A port that nobody listens on, and that answers",
        "Somebody wants the API server on port 6444 as well. A Service `port-forward` selects the"
        " kube-apiserver pods and names the three masters' own addresses as `externalIPs`. In"
        " iptables mode it works: each master now serves 6444 besides 6443. But `netstat` and `ss`"
        " show no listener, and whoever looks for the process behind the port finds none.",
        "The *Service* column names who serves the address, and as which kind (ExternalIP). The"
        " *Backend* is another master as often as not, and then *SNAT* shows that the API server"
        " sees this node instead of the client.",
        ("down", "down"),
        asked=("explain", "172.18.0.100", "172.18.0.11:6444", "--from", "iface:eth0"),
    ),
    Incident(
        "ipvs-external-ip-is-node-ip",
        "The same Service in IPVS mode: the control plane goes dark",
        "The same manifest on a cluster in ipvs mode. kube-proxy binds every external address to"
        " `kube-ipvs0`, on every node. From that moment each node takes packets for the masters as"
        " its own, on every port. etcd's peers talk to themselves, the control plane loses its"
        " quorum, and not even ping gets through. Deleting the Service needs the API that is down.",
        "The blackholes page is open at once, before any flow has failed: the fault is in the"
        " state. The evidence names address, device, Service and the connections that were"
        " swallowed; the steps come in the only order that works, with the real names filled in.",
        ("2",),
        findings=True,
    ),
    Incident(
        "external-ip-hijack",
        "A tenant's Service takes over an address of the world",
        "Somebody whose rights end at one namespace creates a Service there, and writes 8.8.8.8"
        " into its `externalIPs`. No right on nodes is needed for that. From then on every pod and"
        " node of the cluster that asks this resolver is answered by the tenant's pods.",
        "The finding names the Service, the namespace it is from and the ports it takes; the steps"
        " end with what keeps the next one out. `viptrace audit` finds such Services without a"
        " packet, and `--guard` prints a policy against them.",
        ("2",),
        findings=True,
        asked=("audit",),
    ),
    Incident(
        "endpoint-removal-lag",
        "A pod is gone, and the rules still choose it",
        "A Deployment of three is scaled down. The pod leaves its EndpointSlice, but the node's"
        " rules follow later (or never, if kube-proxy hangs). One connection in three still goes to"
        " an address that nobody has any more. Clients see it as sporadic refusals.",
        "The Services page holds what the slices say beside what the kernel does: the departed"
        " address still gets new connections, and the page counts for how long.",
        ("3", "down"),
        findings=True,
    ),
    Incident(
        "cluster-ip-keeps-source",
        "A ClusterIP keeps the client's address",
        "A pod asks a Service by its ClusterIP. Only the destination is rewritten: the backend sees"
        " the pod's own address, on the same node or another. This is the healthy case to compare"
        " others with.",
        "The *SNAT* column is empty. The way of the flow has one rewriting step out, and its"
        " mirror on the way back.",
        ("down", "enter"),
    ),
    Incident(
        "dns-lookup",
        "A lookup is a translated datagram",
        "A pod asks the cluster's DNS, which its `resolv.conf` calls 10.96.0.10. No machine has"
        " that address: each datagram is sent on to one of the pods behind `kube-system/kube-dns`,"
        " and the answer comes back as if 10.96.0.10 had given it. Long answers are fetched over"
        " TCP, by a second port of the same Service. A name that resolves slowly *now and then* is"
        " often one of these pods, or the way to it.",
        "Every lookup is a flow of its own, with the pod that answered it and the port's name:"
        " `dns` over UDP, `dns-tcp` over TCP. `new` in the *State* column is a question that nobody"
        " has answered; here all are answered. The way of a flow, opened, shows both tuples and"
        " the rules that chose the pod.",
        (*("down",) * 5, "enter"),
        asked=("explain", "10.244.1.8", "10.96.0.10:53/udp", "--from", "pod:default/curl"),
    ),
    Incident(
        "service-two-ports",
        "Which port is it? A Service of two",
        "`my-nginx` serves http on 8080 and https on 443, as NodePort 31704 and 32453 as well."
        " Behind both stand the same pods, on ports 80 and 443. Whoever reads addresses alone has"
        " to look up four numbers to see which of the two a client has used.",
        "The *Service* column ends in the port's name, whichever way the client came. The head of"
        " a flow's details tells the way: ClusterIP, or NodePort, whose clients come rewritten"
        " (*Backend sees*).",
        ("down",) * 9,
    ),
    Incident(
        "node-port-rewrites-source",
        "A NodePort hides the client",
        "A client outside reaches a pod through a node that does not run it. The node rewrites both"
        " ends: the destination to the pod, the source to itself, because the answer must come back"
        " the same way. The pod's log shows the node's address, and allow-lists break.",
        "*SNAT* holds the node's own address: that is what the pod logs. The way shows why: the"
        " rule that marks the packet, and the one that masquerades it.",
        ("down", "enter"),
    ),
    Incident(
        "no-local-endpoint-drop",
        "externalTrafficPolicy: Local on a node without a pod",
        "To keep client addresses, `externalTrafficPolicy` was patched to Local. Nodes that run no"
        " pod of the Service now drop its traffic, by design: load balancers are to ask the health"
        " check port and stay away. A client that picks nodes by itself hangs.",
        "The finding says which policy, which Service and which node, and that a pod elsewhere is"
        " ready: no fault in the network, a decision.",
        ("2",),
        findings=True,
    ),
    Incident(
        "load-balancer-local",
        "A load balancer that keeps the client's address",
        "`externalTrafficPolicy: Local` at a Service of type LoadBalancer. The balancer is to send"
        " only to nodes that run a pod of it; it asks each node's `healthCheckNodePort`, here"
        " 32122, and kube-proxy answers 200 where there is one and 503 where there is none. A"
        " cloud's balancer takes some ten seconds to notice a change: in between, connections to a"
        " node that has just lost its last pod are dropped. A balancer that ends connections itself"
        " instead of passing packets on shows its own address whatever the policy.",
        "*Health check port* on the Services page is what this node answers to the balancer: here"
        " 200, for one endpoint; a node without a pod says 503. Where that differs from what the"
        " slices say, it is told. On the translations page *SNAT* is empty: the pod sees the"
        " client.",
        ("3", "down"),
        asked=("explain", "172.18.0.100", "203.0.113.140:80", "--from", "iface:eth0"),
    ),
    Incident(
        "session-affinity-dead-pod",
        "One client stays on its pod, even when it is dead",
        "A Service with `sessionAffinity: ClientIP`. Every client keeps the pod that it was given"
        " first, which is what was asked for. Then one pod dies without leaving its endpoints'"
        " rules. All clients but those of this pod are fine; for them, every new attempt goes to"
        " where the pod was, for up to three hours.",
        "On the translations page all connections of a client have the same *Backend*. The finding"
        " names the client that sticks to a pod that is gone, while another client of the same"
        " Service is answered.",
        ("2",),
        findings=True,
    ),
    Incident(
        "node-port-chain-walk",
        "Which chains a NodePort walks in iptables mode",
        "Nothing listens on port 31500, and yet three pods answer there in turn. kube-proxy's rules"
        " do it: `KUBE-SERVICES`, `KUBE-NODEPORTS`, `KUBE-EXT-…` (which marks for masquerading),"
        " `KUBE-SVC-…` (one third, one half, the rest) and `KUBE-SEP-…`.",
        "Open a flow: its way lists the chains it has passed. `viptrace explain` walks them rule by"
        " rule for a packet that was never sent, with the chance of each backend.",
        ("down", "enter"),
        asked=("explain", "172.18.0.100", "172.18.0.5:31500", "--from", "iface:eth0"),
    ),
    Incident(
        "external-ip-iptables",
        "externalIPs that belong to no node",
        "192.168.10.101 is routed to a node, and a Service names it as external address. In"
        " iptables mode no interface holds it: a rule takes packets for it before routing would.",
        "The kind of address is ExternalIP, the engine iptables; the node page shows that no device"
        " holds the address.",
        ("down", "down"),
        asked=("audit",),
    ),
    Incident(
        "kube-ipvs0",
        "kube-ipvs0 holds every Service address",
        "The same cluster in ipvs mode. A device `kube-ipvs0`, down and without ARP, holds every"
        " Service address as /32, so that packets for them are taken locally, where IPVS finds"
        " them.",
        "The node page names the Service behind each of its addresses, and warns where one belongs"
        " to somebody else.",
        ("6",),
        asked=("explain", "172.18.0.100", "192.168.10.101:9000", "--from", "iface:eth0"),
    ),
    Incident(
        "ipvs-round-robin",
        "How evenly does IPVS spread connections?",
        "Three pods behind one virtual server, scheduler rr. `ipvsadm -Ln --stats` counts, but"
        " knows addresses only.",
        "The Services page has `ipvsadm`'s figures with names: weight, active and inactive"
        " connections, and the share that each pod really got.",
        ("3", "down"),
        asked=("audit",),
    ),
    Incident(
        "svc-no-endpoints-iptables",
        "A Service without endpoints",
        "The selector has a typo, or no pod is ready. kube-proxy answers for the Service with a"
        " REJECT rule; clients see *connection refused*, as if a server had said no.",
        "The finding tells that refusal apart from a server's: the node itself refused, because the"
        " Service has nobody behind it.",
        ("2",),
        findings=True,
    ),
    Incident(
        "stale-udp-conntrack",
        "DNS that stays dead for one client",
        "A resolver's pod was replaced. One client keeps its source port and sends without a pause,"
        " so its old mapping in the connection table never expires: every packet goes to where"
        " the pod was. All other clients are fine.",
        "The finding shows the mapping, how long it has been kept alive, and the one command that"
        " removes it.",
        ("2",),
        findings=True,
    ),
)


def pages() -> dict[str, str]:
    """Text by file name: their list, and a page for each."""
    found = {f"{item.scenario}.md": "\n".join(_page(item)) + "\n" for item in INCIDENTS}
    return {"README.md": "\n".join(_index()) + "\n", **found}


def _index() -> Iterator[str]:
    yield from ("# Incidents, step by step", "", _MADE, "")
    yield "Each was recorded in the lab on a real kernel, and replays on your machine. Where none"
    yield "of them is yours: [all causes](../causes/README.md) with symptom and remedy."
    yield from ("", "| incident | mode | finding |", "|---|---|---|")
    for item in INCIDENTS:
        scenario = BY_NAME[item.scenario]
        named = ", ".join(f"[`{cause}`](../causes/{cause}.md)" for cause in scenario.findings)
        title = f"[{item.title}]({item.scenario}.md)"
        yield f"| {title} | {scenario.mode} | {named or 'none: healthy'} |"


def _page(item: Incident) -> Iterator[str]:
    scenario = BY_NAME[item.scenario]
    yield from (f"# {item.title}", "", _MADE, "", "## What happened", "", item.story, "")
    yield from (
        "## What viptrace shows",
        "",
        f"![{item.title}](../pictures/{item.picture}.svg)",
        "",
    )
    yield from (item.look, "", "The same as text:", "", "```text", *_told(item), "```", "")
    if item.asked:
        words = shlex.join(item.asked)
        yield from ("## Without a packet", "", "The same node's state answers, too:", "")
        yield from ("```console", f"viptrace {words} --state DIR --cluster FILE", "```", "")
        yield from ("```text", *_answered(item), "```", "")
    yield from ("## What to do", "")
    for cause in scenario.findings:
        yield f"- [`{cause}`](../causes/{cause}.md): mechanism, evidence, and the remedy's steps."
    if not scenario.findings:
        yield "Nothing: this is how it is meant to be. Compare with it what you see on your node."
    yield from ("", "## Try it", "", "```console", f"viptrace replay pcaps/{item.scenario}")
    how = "python -m lab vm -- " if scenario.kernel_only else "sudo "
    yield f"{how}python -m lab record {item.scenario} -o /tmp    # makes it again"
    yield "```"


def _told(item: Incident) -> Iterator[str]:
    """The beginning of what a replay prints."""
    lines = _printed("replay", str(PCAPS / item.scenario), "--text")
    if item.findings:
        severities = ("CRITICAL ", "WARNING ", "INFO ")
        first = next(n for n, line in enumerate(lines) if line.startswith(severities))
        lines = lines[first:]
    yield from _fitting(lines, _LINES)


def _answered(item: Incident) -> Iterator[str]:
    folder = PCAPS / item.scenario
    with TemporaryDirectory() as copy:
        state = shutil.copytree(folder / "state", Path(copy) / "state")
        # A state is as old as its files, which are as old as the checkout.
        time_ns = int(np.load(folder / "events.npy")["time_ns"].max())
        for file in state.iterdir():
            os.utime(file, ns=(time_ns, time_ns))
        files = ("--state", str(state), "--cluster", str(folder / "cluster.yaml"))
        lines = _printed(*item.asked, *files)
    yield from _fitting(lines, _ANSWER_LINES)


def _printed(*words: str) -> list[str]:
    command = (sys.executable, "-m", "tracer", *words)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _fitting(lines: list[str], count: int) -> Iterator[str]:
    """At most so many of them, cut at the width of a page."""
    for line in lines[:count]:
        yield line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
    if len(lines) > count:
        yield "…"
