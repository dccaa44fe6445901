"""Small root folders that look like kernels: symbols, modules, BTF."""

from __future__ import annotations

from pathlib import Path

from tests.probes import blob
from tests.probes.blob import PTR, STRUCT, TYPEDEF, UNION, Blob

CORE = "__icmp_send icmp6_send tcp_v4_send_reset tcp_v6_send_reset ip_local_deliver nf_hook_slow"
CONNTRACK = "__nf_conntrack_confirm __nf_conntrack_alloc"
IPVS = (
    "ip_vs_conn_new ip_vs_schedule ip_vs_leave ip_vs_conn_rcu_free ip_vs_nat_xmit tcp_snat_handler"
)

KERNELS = {
    "5.10": (f"{CORE} ipt_do_table", {"nf_conntrack": f"{CONNTRACK} destroy_conntrack"}),
    "6.1": (
        CORE,
        {
            "nf_conntrack": f"{CONNTRACK} nf_ct_destroy",
            "nf_nat": "nf_nat_setup_info",
            "ip_vs": f"{IPVS} __ip_vs_get_out_rt.isra.0",
            "nf_tables": "nft_do_chain",
            "ip_tables": "ipt_do_table",
        },
    ),
    "6.18": (f"{CORE} {CONNTRACK} nf_ct_destroy nf_nat_setup_info nft_do_chain", {}),
}
"""Symbols of the kernel, and of its modules."""


def make_root(
    folder: Path, kernel: str, btf: bytes | None = None, skip: tuple[str, ...] = ()
) -> Path:
    """A root with /proc/kallsyms, /proc/modules and, if given, vmlinux BTF."""
    core, modules = KERNELS[kernel]
    lines, address = [], 0xFFFFFFFF81000000
    for module, names in [("", core), *modules.items()]:
        for name in names.split() if module not in skip else ():
            lines.append(f"{address:016x} T {name}" + (f"\t[{module}]" if module else ""))
            address += 0x100
    loaded = [module for module in modules if module not in skip]
    texts = {
        "proc/kallsyms": "\n".join(lines) + "\n",
        "proc/modules": "".join(f"{module} 16384 0 - Live 0x0\n" for module in loaded),
        "proc/self/status": "CapEff:\t000001ffffffffff\n",
        "sys/bus/event_source/devices/kprobe/type": "8\n",
        "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
        "sys/devices/system/cpu/possible": "0-1\n",
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for module in loaded:
        (folder / "sys/module" / module).mkdir(parents=True)
    if btf is not None:
        (folder / "sys/kernel/btf").mkdir(parents=True)
        (folder / "sys/kernel/btf/vmlinux").write_bytes(btf)
    return folder


def kernel_types(
    tables_first: bool = False,
    without: str = "",
    tuple_bytes: int = 40,
    family_bytes: int = 2,
    reasons: bool = True,
    undescribed: str = "",
) -> bytes:
    """BTF that knows every field the probes want, in made-up places."""
    from probes.fields import GROUPS  # the list under test says what there is

    made = Blob()
    sized = {size: made.structure(f"s{size}", size) for size in (1, 2, 4, 8, 16, 32, 112)}
    sized[40] = made.structure("s40", tuple_bytes)
    fields: dict[str, list[tuple[str, int]]] = {}
    for group in GROUPS:
        for want in group.wants:
            if group.name != without:
                size = family_bytes if want.path in ("af", "daf") else want.size or 1
                fields.setdefault(want.structure, []).append((want.path, size))
    for structure, members in fields.items():
        if structure == undescribed:
            continue
        made.structure(structure, 256, *_members(made, members, sized))
    table = ("skb", "state", "table") if tables_first else ("priv", "skb", "state")
    made.function("ipt_do_table", *table)
    made.function("tcp_v4_send_reset", "sk", "skb", "reason")
    made.function("__nf_conntrack_confirm", "skb")
    pairs = [("NETFILTER_DROP", 7), ("SKB_DROP_REASON_NO_SOCKET", 3)]
    tail = [part for name, value in pairs for part in (made.text(name), value)]
    if reasons:
        made.add("skb_drop_reason", blob.ENUM, 4, len(pairs), *tail)
    extensions = [
        part
        for name, at in (("ACCT", 0), ("NUM", 1))
        for part in (made.text(f"NF_CT_EXT_{name}"), at)
    ]
    made.add("nf_ct_ext_id", blob.ENUM, 4, 2, *extensions)
    proto = made.add("", blob.PROTO, 0, 4, *([0, 0] * 4))
    made.add("btf_trace_kfree_skb", TYPEDEF, made.add("", PTR, proto, 0), 0)
    return made.bytes()


def _members(made: Blob, members: list[tuple[str, int]], sized: dict[int, int]):
    """Members one after the other; a dotted path gets a structure of its own."""
    at = 0
    for path, size in members:
        first, *rest = path.split(".")
        number = sized[size]
        for name in reversed(rest):
            number = made.structure("", size, (name, number, 0), kind=UNION if not rest else STRUCT)
        yield first, number, at
        at += 8 * size
