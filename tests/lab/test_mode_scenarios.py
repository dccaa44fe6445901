"""An incident in another mode is the same incident but for what is written about it."""

from __future__ import annotations

from dataclasses import fields

from lab.causes import table
from lab.mode_scenarios import IPTABLES, IPVS, NFTABLES
from lab.scenarios import BY_NAME
from tracer.diagnosis.causes import CAUSES_BY_ID

TOLD = {"nftables": NFTABLES, "iptables": IPTABLES, "ipvs": IPVS}
ALWAYS = {"name", "title", "mode", "kernel_only"}


def changed(one, other):
    return {
        field.name
        for field in fields(one)
        if getattr(one, field.name) != getattr(other, field.name)
    }


def test_only_what_is_told_differs():
    for mode, differing in TOLD.items():
        for name, differences in differing.items():
            scenario = BY_NAME[f"{name}-{mode}"]
            assert scenario.mode == mode
            assert changed(scenario, BY_NAME[name]) <= ALWAYS | set(differences), scenario.name


def test_their_causes_occur_in_that_mode():
    for mode, differing in TOLD.items():
        for name in differing:
            for cause in BY_NAME[f"{name}-{mode}"].findings:
                assert mode in CAUSES_BY_ID[cause].modes, name


def test_a_mode_without_a_recording_says_why():
    told = {tuple(line.split(" | ")[:2]): line for line in table(())}
    unbound = told["| `local-vip-is-packet-source`", "nftables"]
    assert "not reproduced: no Service's address is bound to a node in this mode" in unbound
    assert "not reproduced: needs a kernel before 5.9" in told["| `ipvs-conn-reuse-delay`", "ipvs"]
