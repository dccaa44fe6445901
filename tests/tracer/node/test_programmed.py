import socket
import threading
from contextlib import suppress

import pytest

from tests.tracer.node.namespace import inside, run
from tracer.node import programmed
from tracer.node.lines import Unread
from tracer.node.programmed import told_mode, traces


@pytest.fixture
def kube_proxy(monkeypatch):
    """A server on loopback in kube-proxy's place; it answers with what is given to it."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(programmed, "_ADDRESS", server.getsockname())

    def serve(answer: bytes) -> None:
        connection, _ = server.accept()
        # Who has heard enough hangs up, and a reset while it is told more is no test's failure.
        with connection, suppress(ConnectionError):
            connection.recv(4096)
            connection.sendall(answer)

    def answering(answer: bytes) -> None:
        threading.Thread(target=serve, args=(answer,), daemon=True).start()

    yield answering
    server.close()


@pytest.mark.parametrize(
    ("answer", "mode"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nipvs", "ipvs"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnftables\n", "nftables"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found", ""),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100000, ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ""),
        (b"", ""),
    ],
)
def test_kube_proxy_s_own_word_is_taken_if_it_is_a_mode(kube_proxy, answer, mode):
    kube_proxy(answer)
    assert told_mode() == mode


def test_a_server_that_says_nothing_does_not_hold_us_up(kube_proxy, monkeypatch):
    monkeypatch.setattr(programmed, "_PATIENCE_S", 0.01)
    assert told_mode() == ""


def test_nobody_there_is_no_mode(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(programmed, "_ADDRESS", unused.getsockname())
        assert told_mode() == ""


def look(script):
    run(script)
    unread = Unread("mode")
    found = traces(unread)
    return found.nft_table, found.nat_chain, unread.listed()


@pytest.mark.root
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
