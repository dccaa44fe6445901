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
class Hook:
    """One probe point."""

    id: str
    function: str
    """C function in ``bpf/``; its argument macros are ``ARG_<function>_<argument>``."""
    symbols: tuple[str, ...]
    """Kernel functions, the first one present is taken."""
    kind: Kind
    module: str
    """What brings the symbols; empty for the kernel itself."""
    cost: Cost
    purpose: str
    needs: tuple[str, ...] = ()
    """Groups of fields (``fields.GROUPS``) besides ``core``."""
    arguments: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    """Argument of the macro: position without BTF, and the names it has had in prototypes."""
    partner: str = ""
    """Return probe without which this entry probe only costs: both attach or neither."""


def _at(**places: int) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Arguments that have always had one name."""
    return {name: (place, (name,)) for name, place in places.items()}


_SKB = _at(skb=0)
_CT, _NAT, _VS = ("conntrack",), ("conntrack", "nat"), ("ipvs",)
_D, _P = Cost.DECISION, Cost.PACKET
_IN, _OUT = Kind.ENTRY, Kind.RETURN


def _xtables(symbol: str, module: str) -> Hook:
    return Hook(
        *(f"engine:{symbol}", "note_xtables", (symbol,), _IN, module, _D),
        *("an xtables target chooses NAT", _CT, _SKB),
    )


def _nftables(symbol: str, module: str) -> Hook:
    return Hook(
        *(f"engine:{symbol}", "note_nftables", (symbol,), _IN, module, _D),
        *("an nft expression chooses NAT", ("conntrack", "nft"), _at(pkt=2)),
    )


def _sent(symbol: str) -> Hook:
    return Hook(
        *(f"ipvs-sent:{symbol}", "ipvs_sent", (symbol,), _IN, "ip_vs", _P),
        *("IPVS sends a packet to the real server", _VS, _at(skb=0, cp=1)),
    )


def _reply(symbol: str) -> Hook:
    return Hook(
        *(f"ipvs-reply:{symbol}", "ipvs_reply", (symbol,), _IN, "ip_vs", _P),
        *("IPVS translates a reply back", _VS, _at(skb=0, cp=2)),
    )


def _table(symbol: str, module: str) -> tuple[Hook, Hook]:
    arguments = {"priv": (2, ("priv", "table")), "skb": (0, ("skb",))}
    return (
        Hook(
            *(f"table:{symbol}", "table_enter", (symbol,), _IN, module, _P),
            *("an iptables table sees a packet", ("xt",), arguments, f"table-verdict:{symbol}"),
        ),
        Hook(
            *(f"table-verdict:{symbol}", "table_return", (symbol,), _OUT, module, _P),
            *("an iptables table has decided", ("xt",)),
        ),
    )


HOOKS: tuple[Hook, ...] = (
    # Conntrack and NAT: decisions
    *(
        _nftables(symbol, module)
        for symbol, module in (
            ("nft_nat_eval", "nft_nat"),
            ("nft_masq_eval", "nft_masq"),
            ("nft_masq_ipv4_eval", "nft_masq"),
            ("nft_masq_ipv6_eval", "nft_masq"),
            ("nft_masq_inet_eval", "nft_masq"),
            ("nft_redir_eval", "nft_redir"),
            ("nft_redir_ipv4_eval", "nft_redir"),
            ("nft_redir_ipv6_eval", "nft_redir"),
            ("nft_redir_inet_eval", "nft_redir"),
        )
    ),
    *(
        _xtables(symbol, module)
        for symbol, module in (
            ("xt_dnat_target_v2", "xt_nat"),
            ("xt_dnat_target_v1", "xt_nat"),
            ("xt_dnat_target_v0", "xt_nat"),
            ("xt_snat_target_v2", "xt_nat"),
            ("xt_snat_target_v1", "xt_nat"),
            ("xt_snat_target_v0", "xt_nat"),
            ("masquerade_tg", "xt_MASQUERADE"),
            ("masquerade_tg6", "xt_MASQUERADE"),
            ("redirect_tg4", "xt_REDIRECT"),
            ("redirect_tg6", "xt_REDIRECT"),
        )
    ),
    Hook(
        *("nat-decided", "nat_decided", ("nf_nat_setup_info",), _IN, "nf_nat", _D),
        *("an address or port is chosen", _NAT, _at(ct=0, range=1, maniptype=2)),
    ),
    Hook(
        *("conntrack-new", "confirm_enter", ("__nf_conntrack_confirm",), _IN, "nf_conntrack", _D),
        *("a mapping is about to be confirmed", _CT, _SKB, "conntrack-confirmed"),
    ),
    Hook(
        *("conntrack-confirmed", "confirm_return", ("__nf_conntrack_confirm",), _OUT),
        *("nf_conntrack", _D, "the mapping is final, or could not be inserted", _CT),
    ),
    Hook(
        *("conntrack-alloc", "alloc_enter", ("__nf_conntrack_alloc",), _IN, "nf_conntrack", _D),
        *("an entry is asked for", _CT, _at(net=0, orig=2), "conntrack-full"),
    ),
    Hook(
        *("conntrack-full", "alloc_return", ("__nf_conntrack_alloc",), _OUT, "nf_conntrack", _D),
        *("no entry could be had: the table is full", _CT),
    ),
    Hook(
        *("conntrack-end", "conntrack_end", ("nf_ct_destroy", "destroy_conntrack"), _IN),
        *("nf_conntrack", _D, "an entry is destroyed", _CT),
        {"nfct": (0, ("nfct",))},
    ),
    # IPVS: decisions
    Hook(
        *("ipvs-new", "ipvs_new", ("ip_vs_conn_new",), _OUT, "ip_vs", _D),
        *("IPVS has chosen a real server", _VS),
    ),
    Hook(
        *("ipvs-schedule", "schedule_enter", ("ip_vs_schedule",), _IN, "ip_vs", _D),
        *("IPVS looks for a real server", _VS, _at(skb=1, ignored=3), "ipvs-failed"),
    ),
    Hook(
        *("ipvs-failed", "schedule_return", ("ip_vs_schedule",), _OUT, "ip_vs", _D),
        *("IPVS could not make a connection", _VS),
    ),
    Hook(
        *("ipvs-no-destination", "ipvs_no_destination", ("ip_vs_leave",), _IN, "ip_vs", _D),
        *("a virtual server has no usable real server", _VS, _at(skb=1)),
    ),
    Hook(
        *("ipvs-end", "ipvs_end", ("ip_vs_conn_rcu_free",), _IN, "ip_vs", _D),
        *("an IPVS connection is freed", _VS, _at(head=0)),
    ),
    # Refusals and drops
    Hook(
        *("icmp-sent", "icmp_sent", ("__icmp_send",), _IN, "", _D),
        *("the kernel refuses by ICMP", (), _at(skb_in=0, type=1, code=2)),
    ),
    Hook(
        *("icmp6-sent", "icmp6_sent", ("icmp6_send",), _IN, "ipv6", _D),
        *("the kernel refuses by ICMPv6", (), _at(skb=0, type=1, code=2)),
    ),
    Hook(
        *("reset-sent", "reset_sent", ("tcp_v4_send_reset",), _IN, "", _D),
        *("the kernel answers with a TCP reset", (), _at(sk=0, skb=1)),
    ),
    Hook(
        *("reset6-sent", "reset_sent", ("tcp_v6_send_reset",), _IN, "ipv6", _D),
        *("the kernel answers with a TCP reset over IPv6", (), _at(sk=0, skb=1)),
    ),
    Hook(
        *("reject-sent", "reject_sent", ("nf_send_reset",), _IN, "nf_reject_ipv4", _D),
        *("a REJECT rule answers with a TCP reset", (), _at(oldskb=2)),
    ),
    Hook(
        *("reject6-sent", "reject_sent", ("nf_send_reset6",), _IN, "nf_reject_ipv6", _D),
        *("a REJECT rule answers with a TCP reset over IPv6", (), _at(oldskb=2)),
    ),
    Hook(
        *("drop", "skb_dropped", ("kfree_skb",), Kind.RAW_TRACEPOINT, "", _D),
        "a packet is freed as dropped",
    ),
    # Per packet
    *(
        _sent(f"ip_vs_{way}_xmit{suffix}")
        for way in ("nat", "dr", "tunnel", "bypass")
        for suffix in ("", "_v6")
    ),
    *(_reply(f"{protocol}_snat_handler") for protocol in ("tcp", "udp", "sctp")),
    Hook(
        *("ipvs-route", "route_enter", ("__ip_vs_get_out_rt",), _IN, "ip_vs", _P),
        *("IPVS looks for the route to a real server", _VS, _at(skb=2), "ipvs-no-route"),
    ),
    Hook(
        *("ipvs-no-route", "route_return", ("__ip_vs_get_out_rt",), _OUT, "ip_vs", _P),
        *("IPVS found no route to the real server", _VS),
    ),
    Hook(
        *("ipvs-route6", "route_enter", ("__ip_vs_get_out_rt_v6",), _IN, "ip_vs", _P),
        *("IPVS looks for the IPv6 route to a real server", _VS, _at(skb=2), "ipvs-no-route6"),
    ),
    Hook(
        *("ipvs-no-route6", "route_return", ("__ip_vs_get_out_rt_v6",), _OUT, "ip_vs", _P),
        *("IPVS found no IPv6 route to the real server", _VS),
    ),
    Hook(
        *("local-in", "local_in", ("ip_local_deliver",), _IN, "", _P),
        *("a packet is delivered to this machine", (), _SKB),
    ),
    Hook(
        *("local-in6", "local_in", ("ip6_input",), _IN, "ipv6", _P),
        *("an IPv6 packet is delivered to this machine", (), _SKB),
    ),
    Hook(
        *("forward", "forwarded", ("ip_forward",), _IN, "", _P),
        *("a packet is forwarded", (), _SKB),
    ),
    Hook(
        *("forward6", "forwarded", ("ip6_forward",), _IN, "ipv6", _P),
        *("an IPv6 packet is forwarded", (), _SKB),
    ),
    Hook(
        *("hook", "verdict_enter", ("nf_hook_slow",), _IN, "", _P),
        *("a netfilter hook sees a packet", ("hook_state",), _at(skb=0, state=1), "hook-verdict"),
    ),
    Hook(
        *("hook-verdict", "verdict_return", ("nf_hook_slow",), _OUT, "", _P),
        *("a netfilter hook has decided", ("hook_state",)),
    ),
    *_table("ipt_do_table", "ip_tables"),
    *_table("ip6t_do_table", "ip6_tables"),
    Hook(
        *("chain", "chain_enter", ("nft_do_chain",), _IN, "nf_tables", _P),
        *("an nft base chain sees a packet", ("nft",), _at(pkt=0, priv=1), "chain-verdict"),
    ),
    Hook(
        *("chain-verdict", "table_return", ("nft_do_chain",), _OUT, "nf_tables", _P),
        *("an nft base chain has decided", ("nft",)),
    ),
)

BY_ID: Mapping[str, Hook] = {hook.id: hook for hook in HOOKS}
DECISIONS: tuple[str, ...] = tuple(hook.id for hook in HOOKS if hook.cost is Cost.DECISION)
"""The default set: none of these runs for a packet of an established, healthy flow."""
PER_PACKET: tuple[str, ...] = tuple(hook.id for hook in HOOKS if hook.cost is Cost.PACKET)

_CLEANUP_FUNCTIONS = frozenset(
    {
        *("sk_stream_kill_queues", "inet_sock_destruct", "tcp_write_queue_purge"),
        *(
            "skb_queue_purge",
            "skb_queue_purge_reason",
            "skb_rbtree_purge",
            "tcp_rbtree_queue_purge",
        ),
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
