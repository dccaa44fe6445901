"""When kube-proxy has followed, by its own figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.objects import read, to_cluster
from lab.real.proxies import COUNT, LAST, QUEUED, SUM, figures, proxy_command, settled

METRICS = """# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge
kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1.7e+09
kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv6"} 1.6e+09
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1.5e+09
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 3
kubeproxy_sync_proxy_rules_service_changes_pending 2
kubeproxy_network_programming_duration_seconds_count 7
"""
DONE = {LAST: (100.0, 90.0), QUEUED: (99.0, 89.0), COUNT: (1.0, 1.0)}


def test_figures_are_read_for_each_family():
    found = figures(METRICS)
    assert found[LAST] == (1.7e9, 1.6e9)
    assert found[QUEUED] == (1.5e9,)
    assert found[COUNT] == (3.0,)
    assert found["service_changes_pending"] == (2.0,)
    assert "network" not in " ".join(found)


def test_both_families_have_synced_since_and_nothing_waits():
    assert settled(DONE, since=95, now=110)


@pytest.mark.parametrize(
    "change",
    [
        {LAST: ()},
        {LAST: (94.0, 90.0)},
        {LAST: (100.0, 0.0)},
        {COUNT: (1.0,)},
        {QUEUED: (101.0,)},
        {QUEUED: (99.0, 95.0)},
        {"endpoint_changes_pending": (1.0,)},
    ],
)
def test_what_is_still_to_come_is_waited_for(change):
    assert not settled({**DONE, **change}, since=95, now=110)


def test_it_must_be_quiet():
    assert not settled(DONE, since=95, now=101)


def test_quiet_is_longer_than_a_sync_takes():
    slow = {**DONE, SUM: (40.0, 20.0)}
    assert not settled(slow, since=95, now=129)
    assert settled(slow, since=95, now=131)


def test_faults_made_by_hand_are_not_mended_by_the_clock():
    cluster = to_cluster(read("default"))
    command = proxy_command(Path("/kp"), Path("/c"), "worker-1", "ipvs", cluster)
    assert command[:3] == ["/kp", "--kubeconfig=/c", "--hostname-override=worker-1"]
    assert "--cluster-cidr=10.244.0.0/22,fd00:10:244::/62" in command
    assert "--ipvs-sync-period=12h" in command
