from tracer.node.lines import Unread
from tracer.node.sysctl import parse, text


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


def test_what_is_written_is_read_again(tmp_path):
    values = {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.eth0/100.rp_filter": "2",
        "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
        "net.core.empty": "",
    }
    for name, value in values.items():
        parts = [part.replace("/", ".") for part in name.split(".")]
        path = tmp_path.joinpath("sys", *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (tmp_path / "sys/kernel").mkdir()
    (tmp_path / "sys/kernel/osrelease").write_text("6.1\n")
    written = text(tmp_path, "net")
    unread = Unread("sysctl.txt")
    assert parse(written, unread) == values
    assert not unread.listed()
    assert text(tmp_path, "nothing") == ""
