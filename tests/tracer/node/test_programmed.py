import pytest

from tests.tracer.node.namespace import inside, run
from tracer.node.lines import Unread
from tracer.node.programmed import traces

pytestmark = pytest.mark.root


def look(script):
    run(script)
    unread = Unread("mode")
    found = traces(unread)
    return found.nft_table, found.nat_chain, unread.listed()


@pytest.mark.parametrize(
    ("script", "nft_table", "nat_chain"),
    [
        ("true", False, False),
        ("nft add table ip6 kube-proxy", True, False),
        ("nft add table ip kube-proxy-not", False, False),
        ("iptables -t nat -N KUBE-SERVICES", False, True),
        ("iptables-legacy -t nat -N KUBE-SERVICES", False, True),
    ],
)
def test_kube_proxy_is_known_by_its_table_or_chain(script, nft_table, nat_chain):
    assert inside(look, script) == (nft_table, nat_chain, ())
