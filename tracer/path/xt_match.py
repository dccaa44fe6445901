"""What iptables' matches say of a packet: yes, no, by chance, or not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracer.path.ground import Ground
from tracer.path.members import in_set
from tracer.path.networks import between, inside, is_multicast
from tracer.path.packet import LOOPBACK, NEW, UNTOLD, Answer, Doubt, Flight, Packet, both, opposite
from tracer.path.xt_rule import Option, XtRule

PROTOCOLS = {
    "icmp": 1,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "sctp": 132,
    "udplite": 136,
}
_PORTED = {6, 17, 33, 132, 136}
_SYN = {"SYN"}
_Evaluator = Callable[[Ground, Option, Packet], Answer]


def matches(ground: Ground, rule: XtRule, flight: Flight) -> Answer:
    """Whether every match of a rule holds."""
    answer: Answer = True
    for option in rule.matches:
        if not option.name:
            continue
        if _needs_connection(option) and not flight.packet.has_connection:
            return False  # inverted or not: conntrack_mt and connmark_mt give up
        if option.module == "recent":
            found = _recent(rule, option)
        else:
            evaluate = _EVALUATORS.get((option.module, option.name)) or _ANY_MODULE.get(option.name)
            found = _asked(ground, option, flight.packet, evaluate)
        answer = both(answer, opposite(found) if option.inverted else found)
        if answer is False:
            return False
    return both(answer, _opaque(rule)) if answer is not True else _opaque(rule)


def _needs_connection(option: Option) -> bool:
    by_state = option.name == "--ctstate"
    return option.module == "connmark" or (option.module == "conntrack" and not by_state)


def _asked(ground: Ground, option: Option, packet: Packet, evaluate: _Evaluator | None) -> Answer:
    if evaluate is None:
        return Doubt(f"-m {option.module} {option.name} {' '.join(option.values)}".rstrip())
    try:
        return evaluate(ground, option, packet)
    except (ValueError, IndexError):
        return Doubt(f"{option.name} {' '.join(option.values)}, which is not understood")


def _opaque(rule: XtRule) -> Answer:
    """A match without options matches by itself alone: what it looks at is not known."""
    with_options = {option.module for option in rule.matches if option.name}
    for option in rule.matches:
        if not option.name and option.module not in with_options | _SILENT:
            return Doubt(f"-m {option.module}")
    return True


_SILENT = {"comment", "tcp", "udp", "sctp", "icmp", "icmp6", "icmpv6", "udplite", "dccp"}


def _recent(rule: XtRule, option: Option) -> Answer:
    """kube-proxy's affinity is looked up for a client that has not been here; ``--set`` notes it.

    Whose addresses the list holds is not part of the state.
    """
    names = {each.name for each in rule.matches if each.module == "recent"}
    if "--set" in names:
        return True
    if rule.target.startswith("KUBE-SEP-"):
        return option.name not in ("--rcheck", "--update")
    return Doubt(f"-m recent {option.name}")


def _source(ground: Ground, option: Option, packet: Packet) -> Answer:
    return any(inside(packet.src, text) for text in option.value.split(","))


def _destination(ground: Ground, option: Option, packet: Packet) -> Answer:
    return any(inside(packet.dst, text) for text in option.value.split(","))


def interface_fits(pattern: str, name: str) -> bool:
    """``eth+`` fits every name that begins with eth."""
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _incoming(ground: Ground, option: Option, packet: Packet) -> Answer:
    if packet.incoming == UNTOLD:
        return Doubt("the incoming interface, which was not given")
    return interface_fits(option.value, packet.incoming)


def _outgoing(ground: Ground, option: Option, packet: Packet) -> Answer:
    return interface_fits(option.value, packet.outgoing)


def _protocol(ground: Ground, option: Option, packet: Packet) -> Answer:
    name = option.value.lower()
    if name in ("all", "0"):
        return True
    number = PROTOCOLS.get(name, int(name) if name.isdigit() else -1)
    return Doubt(f"-p {name}") if number < 0 else number == packet.protocol


def _never(ground: Ground, option: Option, packet: Packet) -> Answer:
    return False


def _within(text: str, port: int | None) -> Answer:
    low, colon, high = text.partition(":")
    if port is None:
        everything = (low or "0") == "0" and high == "65535"
        return True if everything else Doubt("the source port, which was not given")
    return int(low or 0) <= port <= int(high or (65535 if colon else low))


def _any_port(text: str, port: int | None) -> Answer:
    answers = [_within(part, port) for part in text.split(",")]
    return next((a for a in answers if a is not False), False)


def _to_port(ground: Ground, option: Option, packet: Packet) -> Answer:
    return packet.protocol in _PORTED and _any_port(option.value, packet.dport)


def _from_port(ground: Ground, option: Option, packet: Packet) -> Answer:
    return packet.protocol in _PORTED and _any_port(option.value, packet.sport)


def _either_port(ground: Ground, option: Option, packet: Packet) -> Answer:
    to = _to_port(ground, option, packet)
    return to if to is True else _from_port(ground, option, packet)


def _tcp_flags(ground: Ground, option: Option, packet: Packet) -> Answer:
    if packet.state != NEW:
        return Doubt("the packet's TCP flags")
    mask, wanted = ({*text.split(",")} - {"NONE"} for text in option.values)
    present = _SYN if "ALL" in mask else _SYN & mask
    return present == wanted


def _syn(ground: Ground, option: Option, packet: Packet) -> Answer:
    return True if packet.state == NEW else Doubt("the packet's TCP flags")


def _mark(ground: Ground, option: Option, packet: Packet) -> Answer:
    return _masked(option.value, packet.mark)


def _connmark(ground: Ground, option: Option, packet: Packet) -> Answer:
    return _masked(option.value, packet.connmark)


def _masked(text: str, mark: int) -> bool:
    value, _, mask = text.partition("/")
    return mark & int(mask or "0xffffffff", 0) == int(value, 0)


def _ctstate(ground: Ground, option: Option, packet: Packet) -> Answer:
    states = {packet.ct_state}
    if packet.has_connection:
        states |= {"DNAT"} if packet.dnat else set()
        states |= {"SNAT"} if packet.snat else set()
    return bool(states & set(option.value.split(",")))


def _original_destination(ground: Ground, option: Option, packet: Packet) -> Answer:
    return inside(packet.original[2], option.value)


def _original_source(ground: Ground, option: Option, packet: Packet) -> Answer:
    return inside(packet.original[0], option.value)


def _original_port(ground: Ground, option: Option, packet: Packet) -> Answer:
    return _any_port(option.value, packet.original[3])


def _direction(ground: Ground, option: Option, packet: Packet) -> Answer:
    return option.value.upper() == "ORIGINAL"


def _destination_type(ground: Ground, option: Option, packet: Packet) -> Answer:
    return _type(ground, option, packet.dst)


def _source_type(ground: Ground, option: Option, packet: Packet) -> Answer:
    return _type(ground, option, packet.src)


def _type(ground: Ground, option: Option, ip: bytes) -> Answer:
    wanted = set(option.value.upper().split(","))
    if ground.ipv6:
        return _type6(ground, wanted, ip)
    kind = ground.kind_of(ip)
    return kind if isinstance(kind, Doubt) else kind.upper() in wanted


def _type6(ground: Ground, wanted: set[str], ip: bytes) -> Answer:
    """By the address alone, and by its route only where a kind of route is asked for.

    Source: ``match_type6``: a local address is UNICAST, too.
    """
    is_unicast = any(ip) and not is_multicast(ip)
    if ("MULTICAST" in wanted and not is_multicast(ip)) or ("UNICAST" in wanted and not is_unicast):
        return False
    if "UNSPEC" in wanted and any(ip):
        return False
    routed = wanted & {"LOCAL", "ANYCAST", "UNREACHABLE"}
    if not routed:
        return True
    kind = ground.kind_of(ip)
    if isinstance(kind, Doubt):
        return kind
    return ("UNREACHABLE" if kind in ("prohibit", "blackhole") else kind.upper()) in routed


def _set(ground: Ground, option: Option, packet: Packet) -> Answer:
    name, sides = option.values
    return in_set(ground, name, sides.split(","), packet)


def _probability(ground: Ground, option: Option, packet: Packet) -> Answer:
    chance = float(option.value)
    return True if chance >= 1 else chance


def _every(ground: Ground, option: Option, packet: Packet) -> Answer:
    return 1.0 / int(option.value) if int(option.value) > 1 else True


def _yes(ground: Ground, option: Option, packet: Packet) -> Answer:
    return True


def _range_source(ground: Ground, option: Option, packet: Packet) -> Answer:
    first, _, last = option.value.partition("-")
    return between(packet.src, first, last or first)


def _range_destination(ground: Ground, option: Option, packet: Packet) -> Answer:
    first, _, last = option.value.partition("-")
    return between(packet.dst, first, last or first)


def _bridged(ground: Ground, option: Option, packet: Packet) -> Answer:
    """Only packets that come over a bridge's port with bridge-nf-call have a physical device."""
    if packet.incoming in ("", LOOPBACK):
        return False
    state, family = ground.state, "ip6tables" if packet.ipv6 else "iptables"
    calls = state.sysctls.get(f"net.bridge.bridge-nf-call-{family}", "0")
    if "sysctls" in state.known and calls == "0":
        return False
    if "masters" in state.known and packet.incoming not in state.masters.values():
        return False
    return Doubt(f"-m physdev {option.name}: whether it came over a port of {packet.incoming}")


def _virtual_address(ground: Ground, option: Option, packet: Packet) -> Answer:
    return packet.virtual is not None and inside(packet.virtual[0], option.value)


def _virtual_port(ground: Ground, option: Option, packet: Packet) -> Answer:
    return packet.virtual is not None and packet.virtual[1] == int(option.value)


def _virtual_protocol(ground: Ground, option: Option, packet: Packet) -> Answer:
    return packet.virtual is not None and _protocol(ground, option, packet)


def _is_virtual(ground: Ground, option: Option, packet: Packet) -> Answer:
    return packet.virtual is not None


_WITHOUT_QUOTA = {"ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"}
"""kube-proxy's counters (since 1.32); one that somebody else made may end at a quota."""


def _counted(ground: Ground, option: Option, packet: Packet) -> Answer:
    return option.value in _WITHOUT_QUOTA or Doubt(f"-m nfacct {option.name} {option.value}")


_ANY_MODULE: Mapping[str, _Evaluator] = {
    "--sport": _from_port,
    "--dport": _to_port,
}
"""The same in every transport protocol."""

_EVALUATORS: Mapping[tuple[str, str], _Evaluator] = {
    ("", "-s"): _source,
    ("", "-d"): _destination,
    ("", "-i"): _incoming,
    ("", "-o"): _outgoing,
    ("", "-p"): _protocol,
    ("", "-f"): _never,
    ("tcp", "--tcp-flags"): _tcp_flags,
    ("tcp", "--syn"): _syn,
    ("multiport", "--dports"): _to_port,
    ("multiport", "--sports"): _from_port,
    ("multiport", "--ports"): _either_port,
    ("mark", "--mark"): _mark,
    ("connmark", "--mark"): _connmark,
    ("conntrack", "--ctstate"): _ctstate,
    ("state", "--state"): _ctstate,
    ("conntrack", "--ctorigdst"): _original_destination,
    ("conntrack", "--ctorigsrc"): _original_source,
    ("conntrack", "--ctorigdstport"): _original_port,
    ("conntrack", "--ctdir"): _direction,
    ("addrtype", "--dst-type"): _destination_type,
    ("addrtype", "--src-type"): _source_type,
    ("set", "--match-set"): _set,
    ("statistic", "--mode"): _yes,
    ("statistic", "--probability"): _probability,
    ("statistic", "--every"): _every,
    ("statistic", "--packet"): _yes,
    ("iprange", "--src-range"): _range_source,
    ("iprange", "--dst-range"): _range_destination,
    ("physdev", "--physdev-is-in"): _bridged,
    ("nfacct", "--nfacct-name"): _counted,
    ("ipvs", "--ipvs"): _is_virtual,
    ("ipvs", "--vaddr"): _virtual_address,
    ("ipvs", "--vport"): _virtual_port,
    ("ipvs", "--vproto"): _virtual_protocol,
}
