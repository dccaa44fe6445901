"""Rules that drop or fail to masquerade, found by reading and walking them without a flow.

The causes are those of the rules that judge flows; here nobody has asked yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tracer.address import endpoint, is_ipv4
from tracer.cluster.model import Endpoint
from tracer.diagnosis.causes.host import FORWARD_POLICY_DROP
from tracer.diagnosis.causes.nat import HAIRPIN_NO_MASQUERADE, MASQUERADE_MISSING
from tracer.diagnosis.causes.tracking import FOREIGN_FIREWALL
from tracer.diagnosis.finding import Evidence, Finding, Subject
from tracer.diagnosis.rule import Scene
from tracer.diagnosis.state_findings import chains, proxy_tables, state_finding
from tracer.diagnosis.subjects import this_node
from tracer.diagnosis.walked import is_policy
from tracer.diagnosis.wording import plain
from tracer.node.nft_ruleset import NftChain, NftTable
from tracer.path.ask import explain
from tracer.path.packet import Packet, Step
from tracer.path.path import Path

_TRIES = 3
"""Walks of each direction and family: one pod may be denied by a policy of its own."""
_SHOWN = 5


class PodsNotForwarded:
    """Judges the state: whether packets between pods here and elsewhere would pass.

    What ends them all is the FORWARD chain's policy, or one rule that is not Kubernetes'.
    """

    name = FORWARD_POLICY_DROP.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding for each address family."""
        for ipv6 in (False, True):
            ends = [_walked(scene, packet) for packet in _packets(scene, ipv6)]
            causes = {path.cause for path in ends}
            last = {path.steps[-1] for path in ends if path.steps}
            if causes == {FORWARD_POLICY_DROP.id}:
                yield _not_forwarded(scene, last.pop(), ipv6)
            elif causes == {FOREIGN_FIREWALL.id} and len(last) == 1:
                (step,) = last
                if not is_policy(step):
                    yield _ended_by(scene, step, ipv6)


class MasqueradeGone:
    """Judges the state: kube-proxy's last chain without the rule that masquerades."""

    name = MASQUERADE_MISSING.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """At most one finding: for the node."""
        gone = [
            f"chain {chain.name} ({variant or 'iptables'}) has no MASQUERADE rule"
            for variant, chain in chains(scene, "nat")
            if chain.name == "KUBE-POSTROUTING" and chain.lines
            if not any(" -j MASQUERADE" in line or " -j SNAT" in line for line in chain.lines)
        ]
        gone += [
            f"chain masquerading of table {table.family} kube-proxy has no masquerade statement"
            for table in proxy_tables(scene)
            if "masquerading" in table.chains
            and not _does(table.chains["masquerading"], ("masquerade", "snat"))
        ]
        if gone:
            yield state_finding(
                scene,
                MASQUERADE_MISSING,
                Subject(node=this_node(scene) or None),
                confidence=0.95,
                summary=(
                    "kube-proxy's rules on this node mark what has to be masqueraded and do not "
                    "masquerade it: endpoints on other nodes answer outside clients directly"
                ),
                evidence=[Evidence("rule", told) for told in gone],
                remedy=MASQUERADE_MISSING.steps(),
            )


class HairpinUnmarked:
    """Judges the state: endpoints on this node without the rule for asking themselves."""

    name = HAIRPIN_NO_MASQUERADE.id

    def check(self, scene: Scene) -> Iterable[Finding]:
        """One finding for the node, for all endpoints of it."""
        local = {endpoint(e.ip, e.port) for e in scene.cluster.endpoints
                 if e.node and e.node == this_node(scene)}  # fmt: skip
        lacking = sorted({to for to in _unmarked(scene) if to in local})
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            yield state_finding(
                scene,
                HAIRPIN_NO_MASQUERADE,
                Subject(node=this_node(scene) or None),
                confidence=0.9,
                summary=(
                    f"{lacking[0]}{more} on this node cannot reach itself through its own Service: "
                    "the rule that masquerades such connections is not there"
                ),
                evidence=[
                    Evidence("rule", f"no rule marks packets of {to} to itself for masquerading")
                    for to in lacking[:_SHOWN]
                ],
                remedy=HAIRPIN_NO_MASQUERADE.steps(pod=lacking[0].rpartition(":")[0].strip("[]")),
            )


def _packets(scene: Scene, ipv6: bool) -> Iterator[Packet]:
    """First packets between endpoints here and endpoints elsewhere, both ways."""
    node = this_node(scene)
    ready = [e for e in scene.cluster.endpoints
             if node and e.ready and e.node and is_ipv4(e.ip) != ipv6
             and e.ip not in scene.cluster.node_by_address]  # fmt: skip
    here = [e for e in ready if e.node == node][:_TRIES]
    there = [e for e in ready if e.node != node][:_TRIES]
    for one, other in zip(here, there, strict=False):
        yield _packet(one, other)
        yield _packet(other, one)


def _packet(source: Endpoint, target: Endpoint) -> Packet:
    return Packet(target.protocol, source.ip, target.ip, None, target.port)


def _walked(scene: Scene, packet: Packet) -> Path:
    return explain(scene.node, scene.cluster, packet).path


def _not_forwarded(scene: Scene, last: Step, ipv6: bool) -> Finding:
    tool = "ip6tables" if ipv6 else "iptables"
    return state_finding(
        scene,
        FORWARD_POLICY_DROP,
        Subject(node=this_node(scene) or None),
        summary=(
            f"the policy of {tool}' FORWARD chain is DROP, and no rule accepts packets between "
            "this node's pods and those of others"
        ),
        evidence=(Evidence("rule", plain(f"{last.table} {last.chain}: {last.effect}")),),
        remedy=FORWARD_POLICY_DROP.steps(tool=tool),
    )


def _ended_by(scene: Scene, step: Step, ipv6: bool) -> Finding:
    tool = "ip6tables" if ipv6 else "iptables"
    return state_finding(
        scene,
        FOREIGN_FIREWALL,
        Subject(node=this_node(scene) or None),
        confidence=0.8,
        summary=(
            f"a rule of chain {plain(step.chain)} that is not kube-proxy's ends packets between "
            "this node's pods and those of others"
        ),
        evidence=(Evidence("rule", plain(step.rule.strip())),),
        remedy=FOREIGN_FIREWALL.steps(tool=tool, chain=plain(step.chain)),
    )


def _unmarked(scene: Scene) -> Iterator[str]:
    """Endpoints whose chain translates without marking packets from the endpoint itself."""
    for _, chain in chains(scene, "nat"):
        marks = any("KUBE-MARK-MASQ" in line for line in chain.lines)
        if chain.name.startswith("KUBE-SEP-") and chain.lines and not marks:
            yield chain.lines[-1].rpartition("--to-destination ")[2].split(" ")[0]
    for table in proxy_tables(scene):
        if "hairpin-connections" not in table.sets:
            yield from _unmarked_by_nft(table)


def _unmarked_by_nft(table: NftTable) -> Iterator[str]:
    for chain in table.chains.values():
        if chain.name.startswith("endpoint-") and chain.rules and not _does(chain, ("jump",)):
            for rule in chain.rules:
                for statement in rule.statements:
                    to = statement.get("dnat") if isinstance(statement, Mapping) else None
                    if isinstance(to, Mapping):
                        ip = str(to.get("addr"))
                        yield f"[{ip}]:{to.get('port')}" if ":" in ip else f"{ip}:{to.get('port')}"


def _does(chain: NftChain, words: tuple[str, ...]) -> bool:
    """Whether a rule of the chain has one of these statements."""
    return any(
        isinstance(statement, Mapping) and any(word in statement for word in words)
        for rule in chain.rules
        for statement in rule.statements
    )
