from tests.tracer.node.rows import flags, story
from tracer.events import Flag
from tracer.node.ipvs_poll import EVERY_S, IpvsPoll

HEADER = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
ONE = "TCP 0A010002 0001 0A60000A 0050 0A020002 1F90 ESTABLISHED     896\n"
TWO = "TCP 0A010002 0002 0A60000A 0050 0A020002 1F90 ESTABLISHED     896\n"
MOVED = TWO.replace("0A020002", "0A020003")


def write(proc, *lines):
    (proc / "net").mkdir(exist_ok=True)
    (proc / "net/ip_vs_conn").write_text(HEADER + "".join(lines))


def spoken(number, backend="10.2.0.2"):
    client = f"10.1.0.2:{number}"
    return f"tcp {client} > 10.96.0.10:80 => {client} > {backend}:8080"


def test_connections_come_move_and_go(tmp_path):
    poll = IpvsPoll(tmp_path)
    write(tmp_path, ONE)
    first, _ = poll.poll(0.0, 1)
    assert story(first) == [f"IPVS_NEW {spoken(1)}"]
    assert Flag.EXISTING in flags(first[0])
    write(tmp_path, ONE, TWO)
    second, _ = poll.poll(EVERY_S, 2)
    assert story(second) == [f"IPVS_NEW {spoken(2)}"]
    assert Flag.EXISTING not in flags(second[0])
    write(tmp_path, MOVED)
    third, _ = poll.poll(2 * EVERY_S, 3)
    assert sorted(story(third)) == [
        f"IPVS_END {spoken(1)}",
        f"IPVS_END {spoken(2)}",
        f"IPVS_NEW {spoken(2, '10.2.0.3')}",
    ]
    assert story(third)[-1].startswith("IPVS_NEW")
    assert set(third["time_ns"].tolist()) == {3}


def test_it_reads_when_due_and_not_before(tmp_path):
    poll = IpvsPoll(tmp_path)
    poll.poll(10.0, 1)
    write(tmp_path, ONE)
    assert len(poll.poll(10.5, 2)[0]) == 0
    assert poll.due_in(10.5) <= EVERY_S
    assert len(poll.poll(10.0 + 2 * EVERY_S, 3)[0]) == 1


def test_a_kernel_without_ipvs_has_no_connections_and_no_failure(tmp_path):
    poll = IpvsPoll(tmp_path)
    assert (len(poll.poll(0.0, 1)[0]), poll.failure) == (0, "")


def test_a_list_that_cannot_be_read_is_said_to_be_so(tmp_path):
    (tmp_path / "net/ip_vs_conn").mkdir(parents=True)
    poll = IpvsPoll(tmp_path)
    assert len(poll.poll(0.0, 1)[0]) == 0
    assert poll.failure != ""


def test_a_failed_reading_ends_no_connection(tmp_path):
    poll = IpvsPoll(tmp_path)
    write(tmp_path, ONE)
    poll.poll(0.0, 1)
    (tmp_path / "net/ip_vs_conn").unlink()
    (tmp_path / "net/ip_vs_conn").mkdir()
    assert len(poll.poll(10.0, 2)[0]) == 0
    (tmp_path / "net/ip_vs_conn").rmdir()
    write(tmp_path, ONE)
    assert len(poll.poll(20.0, 3)[0]) == 0


def test_bad_lines_are_counted(tmp_path):
    write(tmp_path, ONE, "garbage\n")
    assert IpvsPoll(tmp_path).poll(0.0, 1)[1] == 1
