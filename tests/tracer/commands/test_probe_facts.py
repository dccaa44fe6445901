"""What can be probed is told by function, by type, and by what is lost without."""

from __future__ import annotations

from pathlib import Path

from probes.hooks import HOOKS
from tests.probes.roots import kernel_types, make_root
from tracer.commands.fact import NO, PARTLY, YES
from tracer.commands.probe_facts import probe_facts


def told(root: Path):
    return {fact.name: fact for fact in probe_facts(root, "6.1")}


def with_every_function(root: Path) -> Path:
    symbols = sorted({symbol for hook in HOOKS for symbol in hook.symbols})
    (root / "proc/kallsyms").write_text("".join(f"{0:016x} T {name}\n" for name in symbols))
    return root


def test_without_types_only_functions_are_looked_for(tmp_path):
    (fact,) = probe_facts(tmp_path, "6.1")
    assert (fact.name, fact.works) == ("probe points", NO)


def test_functions_that_are_missing_are_named_with_their_module(tmp_path):
    facts = told(make_root(tmp_path, "6.1", kernel_types(), skip=("ip_vs",)))
    points = facts["probe points"]
    assert points.works == PARTLY
    assert "ipvs-new" in points.degrades
    assert "(in ip_vs)" in points.degrades
    assert "conntrack" not in points.degrades
    assert facts["kernel types"].works == YES
    assert facts["drop reasons"].found == "2 named by the kernel"


def test_a_module_that_does_not_describe_its_types_loses_its_hooks(tmp_path):
    facts = told(with_every_function(make_root(tmp_path, "6.1", kernel_types(without="ipvs"))))
    assert facts["probe points"].found == "12 of 17 kernel functions"
    assert facts["kernel types"].works == PARTLY
    assert "ip_vs_conn.af" in facts["kernel types"].found
    assert "IPVS" in facts["kernel types"].degrades
    assert "5.11" in facts["kernel types"].remedy


def test_types_of_a_module_that_is_not_loaded_are_not_missed(tmp_path):
    root = make_root(tmp_path, "6.1", kernel_types(without="ipvs"), skip=("ip_vs",))
    assert told(root)["kernel types"].works == YES


def test_old_kernels_give_no_reason_for_a_drop(tmp_path):
    facts = told(make_root(tmp_path, "5.10", kernel_types(reasons=False)))
    assert (facts["drop reasons"].works, facts["drop reasons"].remedy[:10]) == (
        PARTLY,
        "boot Linux",
    )
