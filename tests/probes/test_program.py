"""Hooks find their symbols and arguments on kernels of different ages, or say why not."""

from __future__ import annotations

import pytest

from probes.hooks import BY_ID, DECISIONS, HOOKS, PER_PACKET, Kind
from probes.kernel import Kernel
from probes.program import prepare, with_partners
from tests.probes.roots import kernel_types, make_root


def planned(root):
    program = prepare(Kernel(root, "6.1.0"), 2048, has_ring=True)
    return {row.hook.id: row for row in program.plan}, program.text


def macro(text, name):
    return next(line.split()[2] for line in text.splitlines() if f"#define {name} " in line)


def test_every_row_of_the_table_has_a_function_in_the_c_files(tmp_path):
    _, text = planned(make_root(tmp_path, "6.1", kernel_types()))
    for hook in HOOKS:
        assert f"int {hook.function}(" in text
        for argument in hook.arguments:
            assert f"ARGUMENT(ctx, {hook.function}_{argument})" in text


def test_ids_are_unique_and_partners_exist_and_are_return_probes():
    assert len(BY_ID) == len(HOOKS)
    for hook in HOOKS:
        if hook.partner:
            assert BY_ID[hook.partner].kind is Kind.RETURN
            assert BY_ID[hook.partner].symbols == hook.symbols
            assert BY_ID[hook.partner].cost is hook.cost


def test_the_default_set_holds_decisions_only():
    per_packet = {
        "nf_hook_slow",
        "ip_local_deliver",
        "ip_forward",
        "nft_do_chain",
        "ip_vs_nat_xmit",
    }
    assert not {symbol for hook in DECISIONS for symbol in BY_ID[hook].symbols} & per_packet
    assert set(DECISIONS) | set(PER_PACKET) == set(BY_ID)


@pytest.mark.parametrize(
    ("kernel", "symbol"),
    [("5.10", "destroy_conntrack"), ("6.1", "nf_ct_destroy"), ("6.18", "nf_ct_destroy")],
)
def test_the_preferred_symbol_that_exists_is_taken(tmp_path, kernel, symbol):
    rows, _ = planned(make_root(tmp_path, kernel, kernel_types()))
    assert rows["conntrack-end"].symbol == symbol
    assert rows["conntrack-end"].problem == ""


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        ("ipvs-new", "not in IPVS mode (module ip_vs is not loaded)"),
        ("engine:nft_nat_eval", "module nft_nat is not loaded"),
        ("forward", "this kernel has no function ip_forward"),
    ],
)
def test_a_hook_without_symbol_says_why(tmp_path, hook, sentence):
    rows, _ = planned(make_root(tmp_path, "6.18", kernel_types()))
    assert rows[hook].problem == sentence


def test_a_function_split_by_the_compiler_is_not_attached(tmp_path):
    rows, _ = planned(make_root(tmp_path, "6.1", kernel_types()))
    assert rows["ipvs-route"].problem == (
        "the compiler made __ip_vs_get_out_rt.isra.0 of it, with other arguments"
    )


@pytest.mark.parametrize(("old", "priv", "skb"), [(False, "0", "1"), (True, "2", "0")])
def test_argument_positions_come_from_the_prototype(tmp_path, old, priv, skb):
    _, text = planned(make_root(tmp_path, "6.1", kernel_types(tables_first=old)))
    assert macro(text, "ARG_table_enter_priv") == priv
    assert macro(text, "ARG_table_enter_skb") == skb


def test_the_number_of_tracepoint_arguments_comes_from_btf(tmp_path):
    _, text = planned(make_root(tmp_path, "6.1", kernel_types()))
    assert macro(text, "KFREE_SKB_ARGUMENTS") == "3"


def test_a_missing_field_takes_out_its_group_and_nothing_else(tmp_path):
    rows, text = planned(make_root(tmp_path, "6.1", kernel_types(without="ipvs")))
    assert rows["ipvs-new"].problem == "BTF does not describe ip_vs_conn.af"
    assert rows["conntrack-new"].problem == ""
    assert "HAVE_ipvs" not in [
        line.split()[1] for line in text.splitlines() if line[:8] == "#define "
    ]


def test_a_field_of_another_size_is_not_read_wrongly(tmp_path):
    rows, _ = planned(make_root(tmp_path, "6.1", kernel_types(tuple_bytes=48)))
    assert rows["conntrack-new"].problem == "nf_conntrack_tuple_hash.tuple has 48 bytes, not 40"


@pytest.mark.parametrize(("family_bytes", "told"), [(1, "1"), (2, "2")])
def test_an_integer_is_read_with_the_width_that_the_kernel_gives_it(tmp_path, family_bytes, told):
    rows, text = planned(make_root(tmp_path, "6.1", kernel_types(family_bytes=family_bytes)))
    assert rows["ipvs-new"].problem == ""
    assert macro(text, "SIZE_ip_vs_conn_af") == told


def test_an_integer_that_has_grown_is_not_cut(tmp_path):
    rows, _ = planned(make_root(tmp_path, "6.1", kernel_types(family_bytes=4)))
    assert rows["ipvs-new"].problem == "ip_vs_conn.af has 4 bytes, not 2"


@pytest.mark.parametrize("undescribed", ["", "nf_conn_acct"])
def test_counters_are_read_also_where_their_module_does_not_describe_them(tmp_path, undescribed):
    types = kernel_types(undescribed=undescribed)
    _, text = planned(make_root(tmp_path, "5.10", types))
    assert macro(text, "OFF_nf_conn_acct_counter") == "0"
    assert macro(text, "SIZE_nf_conn_acct_counter") == "32"
    assert macro(text, "EXT_OFFSET_BYTES") == "1"


def test_without_btf_offsets_are_left_to_the_headers(tmp_path):
    rows, text = planned(make_root(tmp_path, "6.1"))
    assert macro(text, "OFF_sk_buff_head") == "__builtin_offsetof(struct"
    assert "#include <net/ip_vs.h>" in text
    assert rows["conntrack-new"].symbol == "__nf_conntrack_confirm"


def test_partners_come_along():
    assert [hook.id for hook in with_partners(["hook"])] == ["hook", "hook-verdict"]
