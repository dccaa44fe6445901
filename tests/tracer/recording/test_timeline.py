"""What happened in a cluster is recorded once, and read back in the same order."""

from dataclasses import replace

from tracer.address import parse
from tracer.cluster.model import Cluster, ClusterChange, Endpoint, Handover, Turn
from tracer.recording.addresses import AddressMap
from tracer.recording.pseudonyms import Pseudonyms, hidden_cluster
from tracer.recording.states import decode_cluster, encode_cluster

IP = parse("10.244.2.5")
BACKEND = Endpoint("shop/web", "http", 6, IP, 8080, "two", "shop/web-5", True, True, False)
LEFT = ClusterChange(200, Turn.LEFT, "shop/web", BACKEND)
GONE = ClusterChange(300, Turn.REMOVED, "shop/web")
BACK = ClusterChange(400, Turn.JOINED, "shop/web", BACKEND)


def replayed(*clusters):
    """What a recording of these snapshots says, one after the other."""
    before, told, said = None, Cluster(), []
    for cluster in clusters:
        told = decode_cluster(encode_cluster(cluster, 1, before), told).state
        before = cluster
        said.append(told)
    return said


def test_changes_are_read_back_as_they_came():
    first = Cluster(endpoints=(BACKEND,), pods_of="one")
    second = first.successor(changes=(LEFT,), handovers=(Handover(250, IP, "shop/web-5"),))
    third = second.successor(
        changes=(LEFT, GONE, BACK), handovers=(Handover(250, IP, "shop/web-5", "shop/heir"),)
    )
    for told, cluster in zip(replayed(first, second, third), (first, second, third), strict=True):
        assert (told.pods_of, told.changes) == (cluster.pods_of, cluster.changes)
        assert told.handovers == cluster.handovers


def test_only_what_is_new_is_stored_again():
    changes = tuple(replace(LEFT, at_ns=number) for number in range(1000))
    before = Cluster(changes=changes)
    whole, more = (
        len(encode_cluster(before.successor(changes=(*changes, BACK)), 1, known))
        for known in (None, before)
    )
    assert more < whole / 5


def test_changes_that_were_forgotten_meanwhile_are_no_matter():
    first, second = Cluster(changes=(LEFT, GONE)), Cluster(changes=(BACK,))
    assert replayed(first, second)[1].changes == (LEFT, GONE, BACK)


def test_strangers_do_not_learn_who_it_was():
    cluster = Cluster(
        changes=(LEFT,), handovers=(Handover(1, IP, "shop/web-5", "shop/heir"),), pods_of="node-x"
    )
    hidden = hidden_cluster(cluster, Pseudonyms(b"key"), AddressMap(b"key"))
    assert hidden.changes[0].at_ns == LEFT.at_ns
    assert not any(secret in repr(hidden) for secret in ("shop", "web", "heir", "node-x", repr(IP)))
