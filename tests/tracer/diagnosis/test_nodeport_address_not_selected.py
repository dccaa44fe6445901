from dataclasses import replace

import pytest

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    CLIENT,
    MASTER_1,
    THERE,
    Story,
    cluster,
    handshake,
    node_state,
    service,
    words,
)
from tracer.address import parse
from tracer.node.model import InterfaceAddress
from tracer.node.nft_ruleset import NftRuleset, NftSet, NftTable

CAUSE = "nodeport-address-not-selected"
SECOND = "198.51.100.3"
KNOWN = cluster(service(), endpoints=[THERE])


def node(mode="nftables", selected=()):
    state = node_state(mode=mode)
    addresses = (*state.addresses, InterfaceAddress("eth1", parse(SECOND), 24))
    chosen = NftSet("nodeport-ips", exact={(ip,): None for ip in selected})
    table = NftTable("ip", "kube-proxy", sets={"nodeport-ips": chosen})
    nft = NftRuleset("nft.json", {("ip", "kube-proxy"): table} if selected else {})
    return replace(state, addresses=addresses, nft=nft)


def refused(address, state, known=KNOWN):
    ends = f"{CLIENT}:40000", f"{address}:30080"
    story = Story(known, state)
    story.tell(packet(1, *ends, "S"), packet(1, *ends[::-1], "RA"))
    story.wait(3)
    return story


def test_a_secondary_address_in_nftables_mode_is_named():
    story = refused(SECOND, node())
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(SECOND))
    assert MASTER_1 in words(story.only)
    assert "nodePortAddresses" in words(story.only)


def test_the_set_that_was_read_has_the_last_word():
    assert refused(SECOND, node(selected=(MASTER_1,))).causes == [CAUSE]
    assert CAUSE not in refused(SECOND, node(selected=(MASTER_1, SECOND))).causes


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_other_modes_serve_every_address(mode):
    assert CAUSE not in refused(SECOND, node(mode)).causes


def test_the_primary_address_and_a_service_without_endpoints_are_other_matters():
    assert CAUSE not in refused(MASTER_1, node()).causes
    assert CAUSE not in refused(SECOND, node(), cluster(service())).causes


def test_it_closes_when_the_address_answers():
    story = refused(SECOND, node())
    story.tell(*handshake(10, f"{CLIENT}:41000", f"{SECOND}:30080"))
    story.wait(1)
    assert story.closed == [CAUSE]
