"""What the comparison calls equal, missing, wrong, doubled and unexpected."""

from __future__ import annotations

from lab.compare import compare, nameless
from lab.truth import Key, Mapped

KEY = Key("tcp", ("10.0.0.1", 1111), ("10.96.0.1", 80))
TRUTH = {KEY: Mapped(("10.1.0.1", 8080), ("10.0.0.1", 1111))}


def line(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "type": "translation",
        "id": number,
        "protocol": "tcp",
        "client": {"ip": "10.0.0.1", "port": 1111},
        "virtual": {"ip": "10.96.0.1", "port": 80},
        "backend": {"ip": "10.1.0.1", "port": 8080},
        "source_nat": None,
        **changes,
    }


SUMMARY = {"type": "summary", "lost": {"kernel": 0, "socket": 0, "queue": 0}}


def test_equal():
    found = compare([line(), SUMMARY], TRUTH, TRUTH)
    assert found.good
    assert (found.expected, found.translations, found.equal) == (1, 1, 1)


def test_a_later_line_of_the_same_flow_replaces_the_earlier_one():
    early = line(backend=None)
    assert compare([early, line(), SUMMARY], TRUTH, TRUTH).good


def test_missing():
    found = compare([SUMMARY], TRUTH, TRUTH)
    assert not found.good
    assert found.missing == (str(KEY),)


def test_wrong_backend_and_wrong_source():
    for change in (
        {"backend": {"ip": "10.1.0.9", "port": 8080}},
        {"source_nat": {"ip": "172.18.0.3", "port": 1111}},
    ):
        found = compare([line(**change), SUMMARY], TRUTH, TRUTH)
        assert not found.good
        assert "pod 10.1.0.1:8080" in found.wrong[0]


def test_the_same_connection_twice():
    assert compare([line(1), line(2), SUMMARY], TRUTH, TRUTH).duplicate == (str(KEY),)


def test_a_connection_nobody_made():
    other = line(2, client={"ip": "10.0.0.9", "port": 9})
    assert len(compare([line(), other, SUMMARY], TRUTH, TRUTH).unexpected) == 1


def test_loss_and_findings_are_told():
    lines = [line(), {"type": "finding", "cause": "x"}, SUMMARY | {"lost": {"kernel": 2}}]
    found = compare(lines, TRUTH, TRUTH)
    assert not found.good
    assert found.findings == {"x": 1}


def test_a_truth_that_disagrees_with_itself_is_no_proof():
    found = compare([line(), SUMMARY], TRUTH, {})
    assert not found.good
    assert "conntrack None" in found.kernel_differs[0]


def test_translations_without_names_are_told():
    named = {"backend": {"ip": "10.1.0.1", "port": 8080, "name": "a/b"}, "service": {"name": "s"}}
    assert nameless([line(), line(**named)]) == ()
    assert nameless([line(**named), line(2, **named, client={"ip": "::1", "port": 1})]) == ()
    unnamed = {"service": None, "backend": named["backend"]}
    assert nameless([line(**unnamed)]) == (str(KEY),)
    assert nameless([line(**named | {"backend": named["backend"] | {"name": None}})]) == (str(KEY),)
