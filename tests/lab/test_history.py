"""What the API server and IPVS held, from when on."""

from __future__ import annotations

import json

from lab.history import S, server_history


def test_servers_are_read_as_they_were_written_down(tmp_path):
    path = tmp_path / "servers.ndjson"
    rows = [(10, {"10.96.0.10:80": {"10.244.1.11:8080": 1}}), (20, {})]
    lines = [json.dumps({"at_ns": second * S, "servers": table}) + "\n" for second, table in rows]
    path.write_text("".join(lines) + '{"at_ns": 30')
    found = server_history(path)
    assert found.times == [10 * S, 20 * S]
    assert found.between(12 * S, 15 * S) == [rows[0][1]]
    assert found.between(12 * S, 25 * S) == [rows[0][1], {}]
    assert found.between(0, 5 * S) == []


def test_without_ipvs_nothing_is_known(tmp_path):
    assert server_history(tmp_path / "none.ndjson").times == []
