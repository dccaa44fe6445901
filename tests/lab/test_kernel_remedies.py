"""What was kept of a boot is what it is judged by, also where the boot ended early."""

from __future__ import annotations

import json

import pytest

from lab.kernel_remedies import command, read, wanted
from tracer.errors import InputError

WELL = {"name": "ipvs-arp-flux", "found": ["ipvs-arp-flux"], "followed": ["x"], "seconds": 9.0}
NAMES = ["ipvs-arp-flux", "rp-filter-drop", "ping-vip-ipvs", "svc-no-endpoints"]


def test_each_incident_has_its_outcome(tmp_path):
    log = tmp_path / "remedies.ndjson"
    lines = [
        WELL,
        WELL | {"name": "rp-filter-drop", "found": ["ipvs-arp-flux", "rp-filter-drop"]},
        {"name": "ping-vip-ipvs", "failed": "it did not print ping-vip, open within 300 s"},
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [outcome.line() for outcome in read(log, NAMES)] == [
        "ok   ipvs-arp-flux in 9 s",
        "FAIL rp-filter-drop: said beside it: ipvs-arp-flux",
        "FAIL ping-vip-ipvs: it did not print ping-vip, open within 300 s",
        "FAIL svc-no-endpoints: did not end",
    ]


def test_a_boot_that_left_nothing_proves_nothing(tmp_path):
    assert all(outcome.why for outcome in read(tmp_path / "remedies.ndjson", NAMES))


def test_only_incidents_that_need_the_vm_are_followed_there():
    assert set(NAMES) < set(wanted(()))
    assert wanted(["rp-filter-drop"]) == ["rp-filter-drop"]
    with pytest.raises(InputError, match="no such incident for the VM: ping-vip"):
        wanted(["ping-vip"])


def test_a_name_selects_its_own_incident_only():
    assert command(["svc-no-endpoints"], "bpf")[-2] == "[svc-no-endpoints]"
