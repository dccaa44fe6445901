"""A dual-stack Service with endpoints of one family, for good or in the midst of a rollout."""

from dataclasses import replace

import pytest

from tests.builders import at
from tests.tracer.diagnosis.story import HERE, Story, cluster, endpoint, service
from tracer.address import parse
from tracer.cluster.model import ClusterChange, Turn

CAUSE = "ip-family-mismatch"
DUAL = service(cluster_ips=(parse("10.200.1.10"), parse("fd00:96::a")))
V6 = endpoint("fd00:10::3", "master-1")


def story(*endpoints, changes=()):
    told = Story()
    told.now = 100.0
    told.cluster(replace(cluster(DUAL, endpoints=endpoints), changes=changes))
    return told


@pytest.mark.parametrize(
    ("endpoints", "causes"), [((HERE,), [CAUSE]), ((V6,), [CAUSE]), ((HERE, V6), []), ((), [])]
)
def test_only_one_family_has_endpoints(endpoints, causes):
    assert story(*endpoints).causes == causes


@pytest.mark.parametrize(
    ("seconds", "turn", "causes"),
    [
        (99.8, Turn.JOINED, []),
        (99.8, Turn.LEFT, []),
        (80, Turn.LEFT, [CAUSE]),
    ],
)
def test_slices_of_the_other_family_follow_in_a_moment(seconds, turn, causes):
    change = ClusterChange(at(seconds), turn, "default/web", HERE)
    assert story(V6, changes=(change,)).causes == causes


def test_only_a_family_that_is_not_the_first_can_be_given_up():
    given_up = story(HERE).only.remedy[-1]
    assert '"ipFamilyPolicy":"SingleStack","ipFamilies":["IPv4"]' in given_up
    assert "ipFamilies: [IPv6]: its first family cannot be changed" in story(V6).only.remedy[-1]
