from dataclasses import replace

import pytest

from tests.builders import packet
from tests.tracer.diagnosis.story import (
    CLIENT_POD,
    IN_HOOK,
    IN_RCV,
    NETFILTER,
    POD_HERE,
    POD_THERE,
    RPFILTER,
    THERE,
    VIP,
    Story,
    cluster,
    dropped,
    handshake,
    node_state,
    service,
    translated,
    with_endpoints,
    with_sysctls,
)
from tracer.address import parse
from tracer.events import Flag, Hook, TcpFlag
from tracer.node.model import VirtualServer

CAUSE = "ipvs-nodest-silent-drop"
ASK = f"{CLIENT_POD}:40000", f"{VIP}:80"
KNOWN = cluster(service(), endpoints=[THERE])


def node(expires="0", *backends):
    servers = (
        VirtualServer(6, parse(VIP), 80, "rr", tuple((parse(b), 8080, 1) for b in backends)),
    )
    state = replace(node_state(mode="ipvs"), virtual_servers=servers if backends else ())
    return with_sysctls(state, net__ipv4__vs__expire_nodest_conn=expires)


def worked(state):
    story = Story(KNOWN, state)
    story.tell(
        translated(1, ASK[0], hook=Hook.IPVS_NEW, flags=Flag.IPVS),
        translated(1, ASK[0]),
        *handshake(1, *ASK),
        packet(1.1, *ASK, "A"),
    )
    assert story.found == []
    return story


def data_lost(seconds, reason=NETFILTER, place=IN_HOOK):
    return dropped(seconds, ASK, reason, place, tcp_flags=TcpFlag.ACK | TcpFlag.PSH)


def test_a_connection_whose_server_was_removed_hangs():
    story = worked(node("0", POD_HERE))
    story.tell(data_lost(60))
    assert (story.only.cause, story.only.subject.address) == (CAUSE, parse(POD_THERE))


def test_the_endpoints_tell_it_as_well():
    story = worked(node("0"))
    story.cluster(with_endpoints(KNOWN))
    story.tell(data_lost(60))
    assert story.causes == [CAUSE]


@pytest.mark.parametrize("state", [node("1", POD_HERE), node("0", POD_THERE), node_state()])
def test_with_the_setting_or_the_server_it_is_another_matter(state):
    story = worked(state)
    story.tell(data_lost(60))
    story.wait(10)
    assert story.found == []


def test_another_drop_is_another_matter():
    story = worked(node("0", POD_HERE))
    story.tell(data_lost(60, RPFILTER, IN_RCV))
    story.wait(10)
    assert story.found == []


def test_it_closes_with_the_setting():
    story = worked(node("0", POD_HERE))
    story.tell(data_lost(60))
    story.node(node("1", POD_HERE))
    assert story.closed == [CAUSE]
    assert story.found == []


def test_it_closes_when_the_client_gave_up():
    story = worked(node("0", POD_HERE))
    story.tell(data_lost(60))
    story.wait(130)
    assert story.closed == [CAUSE]
