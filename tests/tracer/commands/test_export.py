"""Export: the same findings in other forms, for other tools."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.test_project import ROOT
from tests.tracer.commands.test_replay import recorded
from tests.tracer.diagnosis import story
from tracer.cli import run

SCENARIOS = sorted(path.parent for path in (ROOT / "pcaps").glob("*/expected.json"))
TELLING = [
    folder
    for folder in SCENARIOS
    if (expected := json.loads((folder / "expected.json").read_text()))["translations"]
    or expected["findings"]
]
"""Of connections without a Service, in which all is well, only a summary is printed."""
BLACKHOLE = ROOT / "pcaps" / "ipvs-external-ip-is-node-ip"


def lines_of(capsys, *arguments: str) -> list[dict]:
    capsys.readouterr()
    assert run(["replay", "--json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def told(lines: list[dict]) -> list[str]:
    """What lines say; flows that begin in one batch have their numbers by chance."""
    numbers = {"id", "upstream", "downstream"}
    plain = ({k: v for k, v in line.items() if k not in numbers} for line in lines[:-1])
    return sorted(json.dumps(line, sort_keys=True) for line in plain)


@pytest.mark.parametrize("folder", TELLING[::3], ids=lambda folder: folder.name)
def test_a_capture_with_its_files_becomes_one_recording(folder: Path, tmp_path: Path, capsys):
    out = tmp_path / "one.pcapng"
    assert run(["export", str(folder), "-o", str(out)]) == 0
    before, after = lines_of(capsys, str(folder)), lines_of(capsys, str(out))
    assert told(after) == told(before)
    assert len(before) > 1


def test_json_lines_are_those_of_a_replay(tmp_path: Path, capsys):
    path, out = recorded(tmp_path), tmp_path / "lines.ndjson"
    assert run(["export", str(path), "-o", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines == lines_of(capsys, str(path))


def test_parquet_is_read_by_duckdb(tmp_path: Path):
    duckdb = pytest.importorskip("duckdb")
    out = tmp_path / "run.parquet"
    assert run(["export", str(recorded(tmp_path)), "-o", str(out)]) == 0
    found = duckdb.sql(
        f"select service.namespace || '/' || service.name, backend.name, client.ip, client.port, "
        f"epoch_ns(first), count(*) from '{out}' group by all"
    ).fetchall()
    pod = f"default/pod-{story.POD_THERE}"
    assert found == [("default/web", pod, story.CLIENT, 4000, 1_700_000_000_100_000_000, 1)]


def test_parquet_holds_findings_with_their_evidence(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "run.parquet"
    assert run(["export", str(BLACKHOLE), "-o", str(out)]) == 0
    table = parquet.read_table(tmp_path / "run-findings.parquet")
    findings = table.select(["cause", "evidence", "remedy", "subject"]).to_pylist()
    assert {row["cause"] for row in findings} >= {"ipvs-external-ip-is-node-ip"}
    assert findings[0]["evidence"][0]["kind"] == "kernel"
    schema = parquet.read_schema(out)
    assert str(schema.field("first").type) == "timestamp[ns, tz=UTC]"
    assert str(schema.field("client").type) == "struct<ip: string, port: uint16, name: string>"


def test_parquet_without_pyarrow_says_what_to_do(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "run.parquet"
    assert run(["export", str(recorded(tmp_path)), "-o", str(out)]) == 3
    assert "pip install pyarrow" in capsys.readouterr().err


def test_strangers_get_the_same_findings_under_other_names(tmp_path: Path, capsys):
    out, again = tmp_path / "anon.ndjson", tmp_path / "anon.pcapng"
    for target in (out, again):
        assert run(["export", "--anonymize", str(BLACKHOLE), "-o", str(target)]) == 0
    hidden = [json.loads(line) for line in out.read_text().splitlines()]
    open_ones = lines_of(capsys, str(BLACKHOLE))
    assert [line.get("cause") for line in hidden] == [line.get("cause") for line in open_ones]
    assert len(lines_of(capsys, str(again))) == len(open_ones)
    cluster = (BLACKHOLE / "cluster.yaml").read_text()
    assert "port-forward" in cluster
    for secret in ("port-forward", "172.18.0.12", "master-2"):
        assert secret not in out.read_text(), secret
        assert secret.encode() not in again.read_bytes(), secret


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["FILE", "-o", "out.txt"], "ends in none of"),
        (["none.pcap", "-o", "out.ndjson"], "no such file"),
        (["FILE", "-o", "FILE"], "overwritten"),
        (["FILE", "-o", "none/out.ndjson"], "Cannot write"),
        (["FILE", "-o", "none/out.pcapng"], "Cannot record"),
        (["FILE", "nonsense=1", "-o", "out.ndjson"], "nonsense"),
    ],
)
def test_what_cannot_be_exported(arguments, why, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = recorded(tmp_path)
    before = path.read_bytes()
    assert run(["export", *(str(path) if a == "FILE" else a for a in arguments)]) == 2
    assert why.lower() in capsys.readouterr().err.lower()
    assert path.read_bytes() == before


def test_plain_captures_get_names_and_comments(tmp_path: Path):
    folder = tmp_path / "plain"
    shutil.copytree(BLACKHOLE, folder)
    (folder / "events.npy").unlink()
    out = tmp_path / "named.pcapng"
    assert run(["export", str(folder / "capture.pcapng"), "-o", str(out)]) == 0
    assert b"master-2\0" in out.read_bytes()


def test_the_query_in_the_documentation_works(tmp_path: Path, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(recorded(tmp_path)), "-o", "incident.parquet"]) == 0
    told = (ROOT / "docs" / "recording.md").read_text()
    query = told.split("```sql\n")[1].split("```")[0]
    found = duckdb.sql(query.strip().rstrip(";")).project("* exclude since").fetchall()
    assert found == [("default/web", story.POD_THERE, f"default/pod-{story.POD_THERE}", 1, 0)]
