from tracer.node.netlink import NETLINK_ROUTE, Requests
from tracer.node.rtnetlink import AddressWatcher, interface_addresses, links


def test_interfaces_have_names_and_addresses_have_interfaces():
    requests = Requests(NETLINK_ROUTE)
    names, masters = links(requests)
    found = interface_addresses(requests, names)
    requests.close()
    assert names[1] == "lo"
    assert masters.keys() | set(masters.values()) <= set(names.values())
    assert {entry.interface for entry in found} <= set(names.values())
    assert all(len(entry.ip) == 16 and 0 <= entry.prefix <= 128 for entry in found)


def test_a_watcher_never_blocks_and_may_be_closed_twice():
    watcher = AddressWatcher()
    watcher.changed()
    watcher.close()
    watcher.close()
