"""The order of the steps, and the next sync's changes."""

from __future__ import annotations

from lab.objects import read, to_cluster
from lab.rules.apply import address_changes, server_changes, steps

DEFAULT = to_cluster(read("default"))


def test_ipvs_binds_addresses_and_sets_before_rules_and_servers():
    commands = [" ".join(step.command) for step in steps(DEFAULT, "worker-1", "ipvs")]
    assert commands[0].startswith("sysctl -q -w net.ipv4.vs.conntrack=1")
    assert commands.index("ipset restore") < commands.index("iptables-restore")
    assert commands[-1] == "ipvsadm -R"


def test_each_mode_serves_both_families():
    names = [step.command[0] for step in steps(DEFAULT, "worker-1", "iptables")]
    assert names == ["sysctl", "iptables-restore", "ip6tables-restore"]
    assert len(steps(DEFAULT, "worker-1", "nftables")) == 2


def test_a_node_without_ipv6_gets_the_frame_of_ipv6_rules_and_no_service_in_it():
    made = steps(to_cluster(read("masters")), "master-1", "iptables")
    (text,) = (step.text for step in made if step.command == ("ip6tables-restore",))
    assert "-A KUBE-POSTROUTING " in text
    assert "KUBE-SVC-" not in text


def test_a_sync_removes_what_is_gone_and_adds_what_is_new():
    there = (
        "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n"
        "-A -t 10.0.0.2:80 -s rr\n-a -t 10.0.0.2:80 -r 10.1.0.1:80 -m -w 1\n"
    )
    wanted = "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1\n"
    assert server_changes(there, wanted).splitlines() == [
        "-d -t 10.0.0.1:80 -r 10.1.0.1:80",
        "-D -t 10.0.0.2:80",
        "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1",
    ]


def test_a_sync_takes_addresses_away_that_no_service_has_any_more():
    there, wanted = {"10.0.0.1/32", "fd00::1/128"}, {"10.0.0.1/32", "10.0.0.2/32"}
    assert address_changes(there, wanted).splitlines() == [
        "addr del fd00::1/128 dev kube-ipvs0",
        "addr add 10.0.0.2/32 dev kube-ipvs0",
    ]
