import numpy as np
import pytest

from tests.builders import record
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    IN_HOOK,
    IN_NFT,
    IN_PURGE,
    IN_RCV,
    IN_TCP,
    MERGED,
    NETFILTER,
    RPFILTER,
    UNSPECIFIED,
    VIP,
    Story,
    dropped,
)
from tracer.diagnosis import drops
from tracer.events import Hook

ENDS = f"{CLIENT_POD}:40000", f"{VIP}:80"
EVERY = np.array([0])


def scene_after(reason, place, **fields):
    story = Story()
    story.tell(dropped(1, ENDS, reason, place, **fields))
    return story.pipeline._scene()


def test_reasons_and_places_are_told_apart():
    scene = scene_after(RPFILTER, IN_RCV)
    assert drops.with_reason(scene, EVERY, "IP_RPFILTER", "OTHER").tolist() == [True]
    assert drops.with_reason(scene, EVERY, "ip_rcv_finish_core").tolist() == [False]
    assert drops.at_place(scene, EVERY, "ip_rcv_finish_core").tolist() == [True]
    assert drops.at_place(scene, EVERY, "ip_rcv").tolist() == [False]


@pytest.mark.parametrize(
    ("reason", "place", "by_netfilter"),
    [
        (NETFILTER, IN_HOOK, True),
        (NETFILTER, IN_RCV, True),
        (UNSPECIFIED, IN_NFT, True),
        (UNSPECIFIED, IN_RCV, False),
    ],
)
def test_netfilter_is_known_by_reason_or_by_place(reason, place, by_netfilter):
    assert drops.by_netfilter(scene_after(reason, place), EVERY).tolist() == [by_netfilter]


@pytest.mark.parametrize(
    ("reason", "place", "everyday"),
    [
        (MERGED, IN_TCP, True),
        (UNSPECIFIED, IN_TCP, True),
        (NETFILTER, IN_PURGE, True),
        (UNSPECIFIED, IN_NFT, False),
        (NETFILTER, IN_TCP, False),
    ],
)
def test_drops_that_go_with_connections_that_work(reason, place, everyday):
    scene = scene_after(reason, place)
    assert drops.everyday(scene, EVERY).tolist() == [everyday]
    assert drops.failed(scene, EVERY).tolist() == [not everyday]


def test_what_was_not_taken_up_failed_whatever_was_dropped():
    story = Story()
    story.tell(dropped(1, ENDS, MERGED, IN_TCP), record(Hook.CT_FAILED, 1, *ENDS))
    assert drops.failed(story.pipeline._scene(), EVERY).tolist() == [True]


def test_a_pods_namespace_is_not_the_nodes():
    assert drops.on_this_node(scene_after(NETFILTER, IN_NFT), EVERY).tolist() == [True]
    assert drops.on_this_node(scene_after(NETFILTER, IN_NFT, netns=7), EVERY).tolist() == [False]


@pytest.mark.parametrize(
    ("place", "function"),
    [
        ("nft_do_chain+0x1c2", "nft_do_chain"),
        ("ip_rcv_finish_core.constprop.0+0x1d", "ip_rcv_finish_core"),
        ("tcp_v4_rcv", "tcp_v4_rcv"),
        ("", ""),
    ],
)
def test_a_place_is_a_function_however_the_compiler_copied_it(place, function):
    assert drops._function(place) == function
