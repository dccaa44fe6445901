"""The page about kernels says what runs left, nothing else."""

from __future__ import annotations

import pytest

from lab.compare import Comparison
from lab.matrix import (
    PROBES_FILE,
    CaseFacts,
    KernelFacts,
    keep,
    load,
    page,
    save,
    with_results,
    write_results,
)
from lab.matrix_command import DOCS, FACTS, PAGE
from lab.suite import Case, Result

REPORT = """<testsuites><testsuite>
<testcase name="test_a"/><testcase name="test_b"/>
<testcase name="test_c"><failure message="no"/></testcase>
<testcase name="test_d"><error message="no"/></testcase>
<testcase name="test_e"><skipped message="too old."/></testcase>
</testsuite></testsuites>"""
EQUAL = Comparison(42, 42, 42, (), (), (), (), ())


def test_the_page_in_the_checkout_is_made_of_the_facts_in_it():
    """If this fails: python -m lab matrix."""
    assert (DOCS / PAGE).read_text() == page(load(DOCS / FACTS))


def test_what_a_run_left_becomes_facts(tmp_path):
    results = [
        Result(Case("ipvs", 4, "bpf"), EQUAL, ready_s=8.26),
        Result(Case("ipvs", 6, "bpf"), None, failure="viptrace stopped\nlong story"),
    ]
    write_results(results, tmp_path)
    (tmp_path / PROBES_FILE).write_text(REPORT)
    facts = with_results(KernelFacts("6.1", "6.1.0-9-amd64"), tmp_path)
    assert facts == KernelFacts(
        "6.1",
        "6.1.0-9-amd64",
        passed=2,
        failed=("test_c", "test_d"),
        skipped={"test_e": "too old"},
        cases=(
            CaseFacts("ipvs", 4, True, 42, 42, 8.3),
            CaseFacts("ipvs", 6, False, failure="viptrace stopped"),
        ),
    )


def test_facts_are_kept_by_series(tmp_path):
    kept = [
        KernelFacts("5.10", "5.10.0-1", passed=3),
        KernelFacts("6.12", "6.12.1", failed=("test_x",), cases=(CaseFacts("ipvs", 4, True),)),
    ]
    for facts in reversed(kept):
        save(facts, tmp_path)
    assert load(tmp_path) == kept


def test_parts_add_up_and_repeat_and_say_which_did_not_last(tmp_path):
    kept = tmp_path / "kept"

    def ran(part, *results, lasted=True, version="6.1.0-9"):
        folder = tmp_path / f"{part}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        if results:
            write_results(results, folder)
        keep(kept, "6.1", version, part, folder, lasted)
        (facts,) = load(kept)
        return facts

    nft = Result(Case("nftables", 4, "bpf"), EQUAL)
    broken = Result(Case("ipvs", 4, "bpf"), None, failure="viptrace stopped")
    ran("nftables", nft, lasted=False)
    facts = ran("ipvs", broken, lasted=False)
    assert [(case.mode, case.good) for case in facts.cases] == [("ipvs", False), ("nftables", True)]
    assert facts.stopped == ("ipvs", "nftables")
    assert "- 6.1: the guest did not last through `ipvs`." in page([facts])
    facts = ran("ipvs", Result(Case("ipvs", 4, "bpf"), EQUAL))
    assert [case.good for case in facts.cases] == [True, True]
    assert facts.stopped == ("nftables",)
    assert ran("probes", version="6.1.0-10") == KernelFacts("6.1", "6.1.0-10")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (KernelFacts("6.1", "6.1.0"), "| 6.1 | 6.1.0 | not run |"),
        (
            KernelFacts("6.1", "6.1.0", skipped={"a": "why", "b": "why"}),
            "- 6.1: `a`, `b` skipped: why.",
        ),
        (KernelFacts("5.10", "5.10.0"), "- 5.10, nftables: none, kube-proxy's"),
        (KernelFacts("6.1", "6.1.0", 28, ("test_x",)), "- 6.1: `test_x` failed."),
        (
            KernelFacts("6.1", "6.1.0", 29, cases=(CaseFacts("ipvs", 4, True, 42, 42),)),
            "| 6.1 | 6.1.0 | 29 of 29 | 42 of 42 |",
        ),
        (
            KernelFacts("6.1", "6.1.0", cases=(CaseFacts("ipvs", 6, False, failure="why"),)),
            "- 6.1, ipvs IPv6: why",
        ),
    ],
)
def test_the_page_tells_what_did_not_work(facts, says):
    assert says in page([facts])
