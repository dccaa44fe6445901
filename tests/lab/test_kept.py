from lab.rules.kept import merged, tables
from tests.lab.test_iptables import RULES

WANTED = "\n".join(RULES) + "\n"
FOREIGN = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited"
POLICY = "-A KUBE-NWPLCY-X -j DROP"


def with_foreign(listing: str) -> str:
    """A firewall's rule before kube-proxy's, a network policy's chain, and a Service that is gone."""
    before, _, after = listing.partition("*filter\n")
    after = after.replace(":FORWARD ACCEPT", ":KUBE-NWPLCY-X - [0:0]\n:FORWARD DROP", 1)
    after = after.replace("-A ", f"{FOREIGN}\n{POLICY}\n-A ", 1)
    gone = ":KUBE-SVC-GONE - [0:0]\n-A KUBE-SVC-GONE -j ACCEPT\n"
    return before.replace("*nat\n", f"*nat\n{gone}", 1) + "*filter\n" + after


def test_a_sync_of_what_is_there_changes_nothing():
    there, synced = tables(WANTED), tables(merged(WANTED, WANTED))
    assert {n: (set(t.chains), sorted(t.rules)) for n, t in synced.items()} == {
        n: (set(t.chains), sorted(t.rules)) for n, t in there.items()
    }


def test_what_others_wrote_stays_where_it_was():
    forward = tables(merged(with_foreign(WANTED), WANTED))["filter"].of("FORWARD")
    assert forward[0] == FOREIGN
    assert any("KUBE-FORWARD" in rule for rule in forward[1:])


def test_chains_and_policies_of_others_stay():
    filters = tables(merged(with_foreign(WANTED), WANTED))["filter"]
    assert filters.of("KUBE-NWPLCY-X") == [POLICY]
    assert filters.chains["FORWARD"] == ":FORWARD DROP [0:0]"


def test_chains_of_services_that_are_gone_go():
    assert "KUBE-SVC-GONE" not in merged(with_foreign(WANTED), WANTED)


def test_jumps_that_were_lost_come_back_first():
    lost = "\n".join(line for line in RULES if not line.startswith("-A PREROUTING"))
    lost = lost.replace("*nat\n", "*nat\n-A PREROUTING -j CNI-HOSTPORT-DNAT\n", 1)
    found = tables(merged(lost, WANTED))["nat"].of("PREROUTING")
    assert "KUBE-SERVICES" in found[0]
    assert found[-1] == "-A PREROUTING -j CNI-HOSTPORT-DNAT"
