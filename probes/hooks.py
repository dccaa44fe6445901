"""The table of probe points: what is attached where, and what it costs.

Order is the order of attaching. A row whose symbol is not in the kernel is left out
with a reason; the others work without it. Argument positions are those of BTF; the
numbers here serve kernels without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """How a program is attached."""

    ENTRY = "kprobe"
    RETURN = "kretprobe"
    RAW_TRACEPOINT = "raw tracepoint"


class Cost(Enum):
    """How often a probe runs."""

    DECISION = "decision"
    """Once in a connection's life, or when a packet is refused or dropped."""
    PACKET = "per packet"
    """For every packet: only on ``--deep`` or for a short time."""


@dataclass(frozen=True, slots=True)
class Argument:
    """Where a probe finds one argument of its kernel function."""

    position: int
    """Without BTF."""
    names: tuple[str, ...]
    """What prototypes have called it."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One probe point."""

    id: str
    function: str
    """C function in ``bpf/``; its argument macros are ``ARG_<function>_<argument>``."""
    symbols: tuple[str, ...]
    """Kernel functions, the first one present is taken."""
    module: str
    """What brings the symbols; empty for the kernel itself."""
    purpose: str
    kind: Kind = Kind.ENTRY
    cost: Cost = Cost.DECISION
    needs: tuple[str, ...] = ()
    """Groups of fields (``fields.GROUPS``) besides ``core``."""
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    partner: str = ""
    """Return probe without which this entry probe only costs: both attach or neither."""


def _at(**positions: int) -> dict[str, Argument]:
    """Arguments that have always had one name."""
    return {name: Argument(position, (name,)) for name, position in positions.items()}


_CONNTRACK, _IPVS = ("conntrack",), ("ipvs",)


def _engine(symbol: str, module: str) -> Hook:
    """A NAT target or expression: it sees the first packet of a connection only."""
    of_nft = symbol.startswith("nft_")
    return Hook(
        id=f"engine:{symbol}",
        function="note_nftables" if of_nft else "note_xtables",
        symbols=(symbol,),
        module=module,
        purpose=f"{'an nft expression' if of_nft else 'an xtables target'} chooses NAT",
        needs=("conntrack", "nft") if of_nft else _CONNTRACK,
        arguments=_at(pkt=2) if of_nft else _at(skb=0),
    )


def _refusal(
    name: str, function: str, symbol: str, module: str, purpose: str, **positions: int
) -> Hook:
    return Hook(name, function, (symbol,), module, purpose, arguments=_at(**positions))


def _sent(symbol: str) -> Hook:
    return Hook(
        *(f"ipvs-sent:{symbol}", "ipvs_sent", (symbol,), "ip_vs"),
        "IPVS sends a packet to the real server",
        cost=Cost.PACKET,
        needs=_IPVS,
        arguments=_at(skb=0, cp=1),
    )


def _reply(symbol: str) -> Hook:
    return Hook(
        *(f"ipvs-reply:{symbol}", "ipvs_reply", (symbol,), "ip_vs"),
        "IPVS translates a reply back",
        cost=Cost.PACKET,
        needs=_IPVS,
        arguments=_at(skb=0, cp=2),
    )


def _path(name: str, function: str, symbol: str, module: str, purpose: str) -> Hook:
    return Hook(
        *(name, function, (symbol,), module, purpose), cost=Cost.PACKET, arguments=_at(skb=0)
    )


def _pair(
    entry: Hook, return_id: str, return_function: str, return_purpose: str
) -> tuple[Hook, Hook]:
    """A row for entering a function and one for leaving it."""
    leaving = Hook(
        *(return_id, return_function, entry.symbols, entry.module, return_purpose),
        kind=Kind.RETURN,
        cost=entry.cost,
        needs=entry.needs,
    )
    entering = Hook(
        *(entry.id, entry.function, entry.symbols, entry.module, entry.purpose),
        cost=entry.cost,
        needs=entry.needs,
        arguments=entry.arguments,
        partner=return_id,
    )
    return entering, leaving


def _route(suffix: str, symbol: str) -> tuple[Hook, Hook]:
    entering = Hook(
        *(f"ipvs-route{suffix}", "route_enter", (symbol,), "ip_vs"),
        "IPVS looks for the route to a real server",
        cost=Cost.PACKET,
        needs=_IPVS,
        arguments=_at(skb=2),
    )
    return _pair(entering, f"ipvs-no-route{suffix}", "route_return", "IPVS found no route")


def _table(symbol: str, module: str) -> tuple[Hook, Hook]:
    entering = Hook(
        *(f"table:{symbol}", "table_enter", (symbol,), module),
        "an iptables table sees a packet",
        cost=Cost.PACKET,
        needs=("xt",),
        # (skb, state, table) until 5.15, then (priv, skb, state)
        arguments={"priv": Argument(2, ("priv", "table")), "skb": Argument(0, ("skb",))},
    )
    verdict = f"table-verdict:{symbol}"
    return _pair(entering, verdict, "table_return", "an iptables table has decided")


_ENGINES = {
    "nft_nat": "nft_nat_eval",
    "nft_masq": "nft_masq_eval nft_masq_ipv4_eval nft_masq_ipv6_eval nft_masq_inet_eval",
    "nft_redir": "nft_redir_eval nft_redir_ipv4_eval nft_redir_ipv6_eval nft_redir_inet_eval",
    "xt_nat": "xt_dnat_target_v2 xt_dnat_target_v1 xt_dnat_target_v0"
    " xt_snat_target_v2 xt_snat_target_v1 xt_snat_target_v0",
    "xt_MASQUERADE": "masquerade_tg masquerade_tg6",
    "xt_REDIRECT": "redirect_tg4 redirect_tg6",
}
"""What chooses NAT, by module; several versions of one target serve rules of several ages."""

HOOKS: tuple[Hook, ...] = (
    # Conntrack and NAT: decisions
    *(_engine(symbol, module) for module, names in _ENGINES.items() for symbol in names.split()),
    Hook(
        *("nat-decided", "nat_decided", ("nf_nat_setup_info",), "nf_nat"),
        "an address or port is chosen",
        needs=("conntrack", "nat"),
        arguments=_at(ct=0, range=1, maniptype=2),
    ),
    *_pair(
        Hook(
            *("conntrack-new", "confirm_enter", ("__nf_conntrack_confirm",), "nf_conntrack"),
            "a mapping is about to be confirmed",
            needs=_CONNTRACK,
            arguments=_at(skb=0),
        ),
        *("conntrack-confirmed", "confirm_return"),
        "the mapping is final, or could not be inserted",
    ),
    *_pair(
        Hook(
            *("conntrack-alloc", "alloc_enter", ("__nf_conntrack_alloc",), "nf_conntrack"),
            "an entry is asked for",
            needs=_CONNTRACK,
            arguments=_at(net=0, orig=2),
        ),
        *("conntrack-full", "alloc_return", "no entry could be had: the table is full"),
    ),
    Hook(
        *("conntrack-end", "conntrack_end", ("nf_ct_destroy", "destroy_conntrack")),
        *("nf_conntrack", "an entry is destroyed"),
        needs=_CONNTRACK,
        arguments=_at(nfct=0),
    ),
    # IPVS: decisions
    Hook(
        *("ipvs-new", "ipvs_new", ("ip_vs_conn_new",), "ip_vs"),
        "IPVS has chosen a real server",
        kind=Kind.RETURN,
        needs=_IPVS,
    ),
    *_pair(
        Hook(
            *("ipvs-schedule", "schedule_enter", ("ip_vs_schedule",), "ip_vs"),
            "IPVS looks for a real server",
            needs=_IPVS,
            arguments=_at(skb=1, ignored=3),
        ),
        *("ipvs-failed", "schedule_return", "IPVS could not make a connection"),
    ),
    Hook(
        *("ipvs-no-destination", "ipvs_no_destination", ("ip_vs_leave",), "ip_vs"),
        "a virtual server has no usable real server",
        needs=_IPVS,
        arguments=_at(skb=1),
    ),
    Hook(
        *("ipvs-end", "ipvs_end", ("ip_vs_conn_rcu_free",), "ip_vs"),
        "an IPVS connection is freed",
        needs=_IPVS,
        arguments=_at(head=0),
    ),
    # Refusals and drops
    _refusal(
        *("icmp-sent", "icmp_sent", "__icmp_send", ""),
        "the kernel refuses by ICMP",
        skb_in=0,
        type=1,
        code=2,
    ),
    _refusal(
        *("icmp6-sent", "icmp6_sent", "icmp6_send", "ipv6"),
        "the kernel refuses by ICMPv6",
        skb=0,
        type=1,
        code=2,
    ),
    _refusal(
        *("reset-sent", "reset_sent", "tcp_v4_send_reset", ""),
        "the kernel answers with a TCP reset",
        sk=0,
        skb=1,
    ),
    _refusal(
        *("reset6-sent", "reset_sent", "tcp_v6_send_reset", "ipv6"),
        "the kernel answers with a TCP reset over IPv6",
        sk=0,
        skb=1,
    ),
    _refusal(
        *("reject-sent", "reject_sent", "nf_send_reset", "nf_reject_ipv4"),
        "a REJECT rule answers with a TCP reset",
        oldskb=2,
    ),
    _refusal(
        *("reject6-sent", "reject_sent", "nf_send_reset6", "nf_reject_ipv6"),
        "a REJECT rule answers with a TCP reset over IPv6",
        oldskb=2,
    ),
    Hook(
        *("drop", "skb_dropped", ("kfree_skb",), "", "a packet is freed as dropped"),
        kind=Kind.RAW_TRACEPOINT,
    ),
    # Per packet
    *(
        _sent(f"ip_vs_{way}_xmit{suffix}")
        for way in ("nat", "dr", "tunnel", "bypass")
        for suffix in ("", "_v6")
    ),
    *(_reply(f"{protocol}_snat_handler") for protocol in ("tcp", "udp", "sctp")),
    *_route("", "__ip_vs_get_out_rt"),
    *_route("6", "__ip_vs_get_out_rt_v6"),
    _path("local-in", "local_in", "ip_local_deliver", "", "a packet is for this machine"),
    _path("local-in6", "local_in", "ip6_input", "ipv6", "an IPv6 packet is for this machine"),
    _path("forward", "forwarded", "ip_forward", "", "a packet is forwarded"),
    _path("forward6", "forwarded", "ip6_forward", "ipv6", "an IPv6 packet is forwarded"),
    *_pair(
        Hook(
            *("hook", "verdict_enter", ("nf_hook_slow",), ""),
            "a netfilter hook sees a packet",
            cost=Cost.PACKET,
            needs=("hook_state",),
            arguments=_at(skb=0, state=1),
        ),
        *("hook-verdict", "verdict_return", "a netfilter hook has decided"),
    ),
    *_table("ipt_do_table", "ip_tables"),
    *_table("ip6t_do_table", "ip6_tables"),
    *_pair(
        Hook(
            *("chain", "chain_enter", ("nft_do_chain",), "nf_tables"),
            "an nft base chain sees a packet",
            cost=Cost.PACKET,
            needs=("nft",),
            arguments=_at(pkt=0, priv=1),
        ),
        *("chain-verdict", "table_return", "an nft base chain has decided"),
    ),
)

BY_ID: Mapping[str, Hook] = {hook.id: hook for hook in HOOKS}
DECISIONS: tuple[str, ...] = tuple(hook.id for hook in HOOKS if hook.cost is Cost.DECISION)
"""The default set: none of these runs for a packet of an established, healthy flow."""
PER_PACKET: tuple[str, ...] = tuple(hook.id for hook in HOOKS if hook.cost is Cost.PACKET)

_CLEANUP_FUNCTIONS = frozenset(
    {
        *("sk_stream_kill_queues", "inet_sock_destruct", "tcp_write_queue_purge"),
        *("skb_queue_purge", "skb_queue_purge_reason"),
        *("skb_rbtree_purge", "tcp_rbtree_queue_purge"),
    }
)
"""They free what a closed socket leaves behind, such as its FIN."""
_DUPLICATE_REASONS = frozenset(
    {
        *("TCP_OLD_DATA", "TCP_OLD_ACK", "TCP_OLD_SEQUENCE", "TCP_RFC7323_PAWS", "TCP_OFOMERGE"),
        *("TCP_RFC7323_PAWS_ACK", "TCP_RFC7323_TW_PAWS", "SKB_CONSUMED"),
    }
)
"""The socket had the data already: a repeated packet, not a lost one."""
_SOCKET_FUNCTIONS = frozenset({"tcp_v4_rcv", "tcp_v6_rcv"})
"""Without a reason they free what a connection in TIME_WAIT has taken in."""


def is_harmless(function: str, reason: str) -> bool:
    """Whether a packet freed as dropped in this function for this reason was not lost."""
    return (
        function in _CLEANUP_FUNCTIONS
        or reason in _DUPLICATE_REASONS
        or (function in _SOCKET_FUNCTIONS and reason == "NOT_SPECIFIED")
    )
