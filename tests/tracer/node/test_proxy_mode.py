import pytest

from tracer.node.lines import Unread
from tracer.node.proxy_mode import deduce, parse


def test_the_mode_as_kube_proxy_says_it():
    unread = Unread("proxy-mode.txt")
    assert parse("ipvs\n", unread) == "ipvs"
    assert (parse("404 page not found", unread), unread.count) == ("", 1)


@pytest.mark.parametrize(
    ("ipvs", "nft_table", "nat_chain", "mode"),
    [
        (True, False, True, "ipvs"),
        (False, True, True, "nftables"),
        (False, False, True, "iptables"),
        (False, False, False, ""),
    ],
)
def test_the_mode_from_its_traces(ipvs, nft_table, nat_chain, mode):
    assert deduce(ipvs=ipvs, nft_table=nft_table, nat_chain=nat_chain) == mode
