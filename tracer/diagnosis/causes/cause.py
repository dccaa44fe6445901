"""What a cause is, and the words that several share."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

from tracer.diagnosis.finding import Severity

ISSUE = "https://github.com/kubernetes/kubernetes/issues/"
SOURCE_IP = "https://kubernetes.io/docs/tutorials/services/source-ip/"
DEBUG_SERVICE = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/"
EVERY_MODE = ("ipvs", "iptables", "nftables")
RULE_MODES = ("iptables", "nftables")
SHOW_ENDPOINTS = (
    "kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={name} -o wide"
)
TABLES_ANEW = (
    "nft delete table ip kube-proxy; nft delete table ip6 kube-proxy"
    "   # nftables mode: a kube-proxy that starts takes endpoints' chains that are there for right"
)
"""A step for nftables mode alone, before kube-proxy's restart; its first sync writes no chain of an
endpoint that exists (``epChainSkipUpdate`` in pkg/proxy/nftables/proxier.go, seen with 1.34.2)."""


@dataclass(frozen=True, slots=True)
class Sight:
    """From which inputs a cause can be told, and how; an empty one shows nothing of it."""

    bpf: str = ""
    """Live, with probes in the kernel."""
    conntrack: str = ""
    """Live, with conntrack's events and packets."""
    capture: str = ""
    """From packets alone, with the cluster file."""
    state: str = ""
    """From the node's and the cluster's state, without traffic."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One way in which traffic is lost, misdelivered or refused."""

    id: str
    title: str
    severity: Severity
    """The usual weight; a rule may say less."""
    modes: tuple[str, ...]
    """kube-proxy modes it occurs in."""
    symptom: str
    """What people notice."""
    summary: str
    """What happens, in general."""
    remedy: tuple[str, ...]
    """Steps and commands, in order."""
    sight: Sight
    sources: tuple[str, ...] = ()
    fallback: bool = False
    """Said only of what no named cause explains."""

    def steps(self, **names: str) -> tuple[str, ...]:
        """The remedy with these words filled in; they are never themselves templates."""
        return tuple(step.format(**names) for step in self.remedy)

    def sketched(self, **names: str) -> tuple[str, ...]:
        """The same where not every word is known: the others stand in angle brackets."""
        parts = [part for step in self.remedy for part in Formatter().parse(step)]
        wanted = {name: f"<{name.replace('_', ' ')}>" for _, name, _, _ in parts if name}
        return self.steps(**{name: names.get(name, blank) for name, blank in wanted.items()})


def in_mode(steps: tuple[str, ...], mode: str) -> tuple[str, ...]:
    """Those of a remedy's steps that make sense where kube-proxy runs in this mode."""
    return tuple(step for step in steps if step != TABLES_ANEW or mode == "nftables")
