"""A finding's remedy, followed as it is printed, until the traffic goes well again."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lab.kubectl import VERBS, answered
from lab.objects import Change, Objects, to_cluster
from lab.scenario import Fault, Scenario, Traffic, drive_all
from lab.shell import run
from lab.topology import Topology
from tracer.errors import UnableError

TOOLS = frozenset(
    {
        *("bridge", "conntrack", "ip", "ip6tables", "iptables", "iptables-legacy"),
        *("iptables-save", "ip6tables-save", "iptables-legacy-save", "ipvsadm", "modprobe"),
        *("nft", "sysctl", "for"),
    }
)
"""What a node's shell has."""
_REMARK = "   # "
_CHANGES = tuple(f"kubectl {verb}" for verb in VERBS)
_THEN_KUBECTL = re.compile(r"; +(?=kubectl )")
_MISTYPED = re.compile(
    r"unknown option|unrecognized|bad argument|syntax error|usage:|not found|no such file"
    r"|no chain/target/match|does not exist",
    re.IGNORECASE,
)
"""What a shell and its tools say of a command that was printed wrongly."""
_PROBE_S, _PATIENT_S = 2.0, 20.0
"""A first look at whether it goes well, and the proof that it does: for a busy machine."""
_FEW = 3


@dataclass
class Operator:
    """Who follows a remedy: types on the node, asks the API server, does what the prose says."""

    topology: Topology
    scenario: Scenario
    objects: Objects
    """What the API server holds."""
    publish: Callable[[Objects], None] = lambda _: None
    """Tells whoever watches the API server of its new objects."""
    by_hand: Mapping[str, Deed] = field(default_factory=dict)
    """What prose means here, by words of the step that says it."""
    step: str = ""
    """The one that is being followed."""

    def follow(self, step: str) -> str:
        """Do what the step says: what was typed or meant, empty where it only informs."""
        self.step = step
        for words, deed in self.by_hand.items():
            if words in step:
                deed(self)
                return words
        command = typed(step)
        for part in _THEN_KUBECTL.split(command):
            if part.startswith(_CHANGES):
                self.objects = answered(part, self.objects, self.topology)
                self._sync()
            elif part and not part.startswith("kubectl "):
                self.type(part, self.scenario.node)
        return command

    def change(self, change: Change) -> None:
        """Somebody changes what the API server holds, and kube-proxy follows."""
        self.objects = change(self.objects)
        self._sync()

    def _sync(self) -> None:
        self.topology.resync(self.scenario.mode, to_cluster(self.objects))
        self.publish(self.objects)

    def type(self, command: str, node: str) -> None:
        """In a node's shell; what it finds, or finds not, is for the operator to read."""
        namespace = self.topology.namespace(node)
        shell = ("ip", "netns", "exec", namespace, "sh", "-c", command)
        done = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode and _MISTYPED.search(done.stderr):
            raise UnableError(f"the printed command is wrong: {command}", done.stderr.strip())


Deed = Callable[[Operator], None]
"""What a step in prose means in the lab."""


def changed(change: Change) -> Deed:
    """Somebody edits the objects."""
    return lambda operator: operator.change(change)


def done(fault: Fault) -> Deed:
    """Somebody works on a machine, or in the network between them."""
    return lambda operator: fault(operator.topology)


def typed_on(*nodes: str) -> Deed:
    """Somebody types on these nodes what the step says after its sentence."""

    def work(operator: Operator) -> None:
        for node in nodes:
            operator.type(_bare(operator.step).partition(": ")[2], node)

    return work


def typed_on_the_machine(operator: Operator) -> None:
    """Somebody types it outside every namespace: the setting is not a namespace's own."""
    run(_bare(operator.step).split())


def _bare(step: str) -> str:
    return step.partition(_REMARK)[0]


def typed(step: str) -> str:
    """The command of a step that can be typed as it stands, without its remark; else empty.

    On the node, or with kubectl; a sentence may lead to the latter.
    """
    command = _bare(step)
    if command.split(maxsplit=1)[0] not in TOOLS:
        at = max(map(command.find, _CHANGES))
        command = command[at:] if at >= 0 else ""
    return "" if re.search(r"<\w", command) else command


def commands(remedy: Iterable[str]) -> list[str]:
    """All that can be typed."""
    return [command for command in map(typed, remedy) if command]


def mend(operator: Operator, remedy: Sequence[str], healed: Sequence[Traffic]) -> tuple[str, ...]:
    """Follow step after step until the traffic goes well; what was done.

    And to the last of those that say what is meant here. Where the traffic goes well already
    (the fault is a danger, not a loss), every step.
    """
    unsaid = [words for words in operator.by_hand if not any(words in step for step in remedy)]
    if unsaid:
        raise UnableError("the remedy does not say what mends it", "; ".join((*unsaid, *remedy)))
    followed: list[str] = []
    broken = not goes_well(operator.topology, map(_one, healed))
    for step in remedy:
        if what := operator.follow(step):
            followed.append(what)
            meant = operator.by_hand.keys() <= set(followed)
            if broken and meant and goes_well(operator.topology, map(_one, healed)):
                break
    try:
        drive_all(operator.topology, map(_patient, healed))
    except UnableError as error:
        why = f"{error.why}; followed: {' | '.join(followed)}"
        raise UnableError("the printed remedy does not mend it", why) from error
    return tuple(followed)


def goes_well(topology: Topology, traffic: Iterable[Traffic]) -> bool:
    """Whether all of it goes as the scenario says."""
    try:
        drive_all(topology, traffic)
    except UnableError:
        return False
    return True


def _one(item: Traffic) -> Traffic:
    """One connection instead of a few: what is broken costs its patience only once."""
    load = item.load
    if load.tcp <= _FEW:
        load = replace(load, tcp=min(load.tcp, 1), udp=min(load.udp, 1), timeout_s=_PROBE_S)
    return replace(item, load=load)


def _patient(item: Traffic) -> Traffic:
    return replace(item, load=replace(item.load, timeout_s=_PATIENT_S))
