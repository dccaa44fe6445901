"""Where the few kernel fields lie that the probes read, as C macros.

``OFF_<struct>_<field>`` comes from BTF, so one C text fits every kernel and needs no
kernel header. Without BTF the same macros are ``offsetof`` expressions over
installed headers. A size that is not the expected one means another layout: the
group is left out rather than read wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.btf import Types


@dataclass(frozen=True, slots=True)
class Want:
    """One field, the bytes it must have (0: any), and whether probes can do without it."""

    structure: str
    path: str
    size: int = 0
    optional: bool = False
    or_less: bool = False
    """An integer that other kernels keep in fewer bytes: ``SIZE_`` of them are to be read."""

    def fits(self, size: int) -> bool:
        """Whether a field of so many bytes can be read."""
        return size == self.size or not self.size or (self.or_less and size < self.size)

    @property
    def macro(self) -> str:
        """``nf_conn_ct_net`` for ``nf_conn.ct_net``; dots become underscores."""
        return f"{self.structure}_{self.path.replace('.', '_')}"


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that are needed together; the C text asks ``#ifdef HAVE_<name>``."""

    name: str
    module: str
    """The module whose BTF describes them; empty for the kernel itself."""
    headers: tuple[str, ...]
    """What declares them where there is no BTF."""
    wants: tuple[Want, ...]


GROUPS: tuple[Group, ...] = (
    Group(
        "core",
        "",
        ("linux/skbuff.h", "linux/netdevice.h", "net/sock.h", "net/net_namespace.h"),
        (
            Want("sk_buff", "head", 8),
            Want("sk_buff", "network_header", 2),
            Want("sk_buff", "tail", 4),
            Want("sk_buff", "dev", 8),
            Want("sk_buff", "sk", 8),
            Want("sk_buff", "_nfct", 8, optional=True),
            Want("sk_buff", "_skb_refdst", 8, optional=True),
            Want("sk_buff", "ipvs_property", optional=True),
            Want("net_device", "ifindex", 4),
            Want("net_device", "flags", 4),
            Want("net_device", "nd_net", 8),
            Want("net", "ns.inum", 4),
            Want("sock", "__sk_common.skc_net", 8),
        ),
    ),
    Group(
        "route",
        "",
        ("net/route.h", "net/ip6_fib.h"),
        (
            Want("dst_entry", "dev", 8),
            Want("rtable", "rt_flags", 4),
            Want("rt6_info", "rt6i_flags", 4),
        ),
    ),
    Group(
        "conntrack",
        "nf_conntrack",
        ("net/netfilter/nf_conntrack.h", "net/netfilter/nf_conntrack_acct.h"),
        (
            Want("nf_conn", "tuplehash", 112),
            Want("nf_conn", "status", 8),
            Want("nf_conn", "ct_net", 8),
            Want("nf_conntrack_tuple_hash", "tuple", 40),
            Want("nf_conn", "ext", 8, optional=True),
            Want("nf_ct_ext", "offset", optional=True),
            Want("nf_conn_acct", "counter", 32, optional=True),
        ),
    ),
    Group(
        "nat",
        "nf_nat",
        ("net/netfilter/nf_nat.h",),
        (
            Want("nf_nat_range2", "flags", 4),
            Want("nf_nat_range2", "min_addr", 16),
            Want("nf_nat_range2", "max_addr", 16),
            Want("nf_nat_range2", "min_proto", 2),
        ),
    ),
    Group(
        "ipvs",
        "ip_vs",
        ("net/ip_vs.h",),
        (
            Want("ip_vs_conn", "af", 2, or_less=True),  # one byte on Linux 7.2
            Want("ip_vs_conn", "caddr", 16),
            Want("ip_vs_conn", "vaddr", 16),
            Want("ip_vs_conn", "daddr", 16),
            Want("ip_vs_conn", "cport", 2),
            Want("ip_vs_conn", "vport", 2),
            Want("ip_vs_conn", "dport", 2),
            Want("ip_vs_conn", "flags", 4),
            Want("ip_vs_conn", "protocol", 2),
            Want("ip_vs_conn", "ipvs", 8),
            Want("ip_vs_conn", "callback_head", 16),  # rcu_head, which a macro renames
            Want("ip_vs_conn", "daf", 2, optional=True, or_less=True),
            Want("netns_ipvs", "net", 8),
        ),
    ),
    Group(
        "nft",
        "nf_tables",
        ("net/netfilter/nf_tables.h",),
        (Want("nft_pktinfo", "skb", 8), Want("nft_chain", "name", 8)),
    ),
    Group("xt", "x_tables", ("linux/netfilter/x_tables.h",), (Want("xt_table", "name", 32),)),
    Group(
        "hook_state",
        "",
        ("linux/netfilter.h",),
        (Want("nf_hook_state", "hook"), Want("nf_hook_state", "pf"), Want("nf_hook_state", "net")),
    ),
)

BTF_MODULES: tuple[str, ...] = (
    *(group.module for group in GROUPS if group.module),
    *("ip_tables", "ip6_tables", "nft_nat", "nft_masq", "nft_redir", "xt_nat", "xt_MASQUERADE"),
    *("xt_REDIRECT", "nf_reject_ipv4", "nf_reject_ipv6", "ipv6"),
)
"""Modules whose BTF is read when they are loaded; built-in ones are part of vmlinux."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The macros as C text, the groups that are complete, and why others are not."""

    text: str
    groups: frozenset[str]
    missing: dict[str, str]


def from_btf(types: Types) -> Layout:
    """Offsets as numbers, from the running kernel's own description."""
    lines: list[str] = []
    missing: dict[str, str] = {}
    for group in GROUPS:
        group_lines, why = _group_macros(group, types)
        if why:
            missing[group.name] = why
            continue
        lines += [f"#define HAVE_{group.name} 1", *group_lines]
    lines += _accounting_macros(types)
    complete = frozenset(group.name for group in GROUPS) - missing.keys()
    return Layout("\n".join(lines) + "\n", complete, missing)


def _accounting_macros(types: Types) -> list[str]:
    """Where an entry keeps the offset of its counters; offsets grew from one byte to two."""
    numbers = types.enumeration("nf_ct_ext_id")
    offsets = types.field("nf_ct_ext", "offset")
    if "NF_CT_EXT_ACCT" not in numbers or not numbers.get("NF_CT_EXT_NUM") or offsets is None:
        return []
    lines = [
        f"#define EXT_ACCT {numbers['NF_CT_EXT_ACCT']}",
        f"#define EXT_OFFSET_BYTES {offsets.size // numbers['NF_CT_EXT_NUM']}",
    ]
    if types.size("nf_conn_acct") is None:
        # A module's type, and modules describe theirs since 5.11; before, this was its only member.
        lines += ["#define OFF_nf_conn_acct_counter 0", "#define SIZE_nf_conn_acct_counter 32"]
    return lines


def _group_macros(group: Group, types: Types) -> tuple[list[str], str]:
    """Macros of one group, or the sentence why it cannot be had."""
    lines = []
    for want in group.wants:
        field = types.field(want.structure, want.path)
        name = f"{want.structure}.{want.path}"
        if field is None:
            if want.optional:
                continue
            return [], f"BTF does not describe {name}"
        if not want.fits(field.size):
            return [], f"{name} has {field.size} bytes, not {want.size}"
        lines.append(f"#define OFF_{want.macro} {field.offset}")
        if field.bits:
            lines.append(f"#define BIT_{want.macro} {field.offset_bits % 8}")
        else:
            lines.append(f"#define SIZE_{want.macro} {field.size}")
    return lines, ""


def from_headers(modules_loaded: frozenset[str]) -> Layout:
    """Offsets as ``offsetof``, for a kernel without BTF but with installed headers.

    Optional fields are left out: without BTF nothing says whether they exist.
    """
    lines, missing = ["#include <linux/stddef.h>"], {}
    for group in GROUPS:
        if group.module and group.module not in modules_loaded:
            missing[group.name] = f"module {group.module} is not loaded"
            continue
        lines += [f"#include <{header}>" for header in group.headers]
        lines.append(f"#define HAVE_{group.name} 1")
        for want in group.wants:
            if want.optional and want.path not in ("_nfct", "_skb_refdst"):
                continue
            place = f"__builtin_offsetof(struct {want.structure}, {want.path})"
            size = f"sizeof(((struct {want.structure} *)0)->{want.path})"
            lines += [f"#define OFF_{want.macro} {place}", f"#define SIZE_{want.macro} {size}"]
    complete = frozenset(group.name for group in GROUPS) - missing.keys()
    return Layout("\n".join(lines) + "\n", complete, missing)
