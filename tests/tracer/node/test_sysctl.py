from tracer.node.lines import Unread
from tracer.node.sysctl import parse


def test_values_by_name_and_the_rest_listed():
    unread = Unread("sysctl.txt")
    text = (
        "net.ipv4.ip_forward = 1\n"
        "sysctl: permission denied on key 'net.ipv4.x'\n"
        "net.ipv4.conf.eth0/100.rp_filter = 2\n"
        "kernel.domainname =\n"
        "net.ipv4.ip_local_port_range = 32768\t60999\n"
    )
    assert parse(text, unread) == {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.eth0/100.rp_filter": "2",
        "kernel.domainname": "",
        "net.ipv4.ip_local_port_range": "32768\t60999",
    }
    assert [line.split(": ")[0] for line in unread.listed()] == ["sysctl.txt:2"]
