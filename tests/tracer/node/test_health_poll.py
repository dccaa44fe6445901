"""Health check node ports, asked of a real server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from tracer.address import parse
from tracer.cluster.model import Cluster, Service
from tracer.node import health_poll
from tracer.node.health_poll import HealthPoll, ask

HERE = parse("127.0.0.1")
BODY = '{"service": {"namespace": "shop", "name": "web"}, "localEndpoints": %s}'


def http(status: str, body: str) -> bytes:
    """An answer as kube-proxy's server gives it to an HTTP/1.0 client."""
    head = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@contextmanager
def server(answer: bytes, *, hangs_up: bool = True) -> Iterator[tuple[int, list[bytes]]]:
    """(port, requests) of a server on loopback that answers everybody the same."""
    heard: list[bytes] = []
    kept: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    kept.append(peer)
                    heard.append(peer.recv(4096))
                    if heard[-1]:
                        peer.sendall(answer)
                    if hangs_up:
                        peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for peer in kept:
            peer.close()


def asked(answer: bytes, **options: bool) -> str:
    with server(answer, **options) as (port, _):
        return ask("shop/web", port, (HERE,)).text


def service(name: str, port: int) -> Service:
    return Service("shop", name, "LoadBalancer", (), (), health_check_node_port=port)


def test_it_is_asked_as_a_load_balancer_asks():
    with server(http("200 OK", BODY % 2)) as (port, heard):
        answer = ask("shop/web", port, (HERE,))
    assert heard[0].startswith(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1:")
    assert (answer.status, answer.local_endpoints, answer.ip) == (200, 2, HERE)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (http("503 Service Unavailable", BODY % 0), "503: 0 here"),
        # Numbers are all that is kept: nothing else that is answered can reach a screen.
        (http("200 \x1b[2J[red]", BODY % '"\x1b[2J"'), "200"),
        (http("200 OK", BODY % "true"), "200"),
        (http("200 OK", BODY % -5), "200"),
        (http("200 OK", BODY % ("9" * 3000)), "200"),
        (http("200 OK", "[" * 3000), "200"),
        (http("200 OK", "[1]"), "200"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 999\r\n\r\n{", "200"),
        (b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 10_000, "not HTTP"),
        (b"SSH-2.0-x\r\n", "not HTTP"),
        (b"HTTP/1.0 99999 OK\r\n\r\n", "not HTTP"),
        (b"", "not HTTP"),
        (bytes(range(256)) * 100, "not HTTP"),
    ],
)
def test_whatever_is_answered_is_told_in_our_words(said, text):
    assert asked(said) == text


def test_who_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(health_poll, "PATIENCE_S", 0.02)
    assert asked(b"", hangs_up=False) == "no answer"
    assert asked(b"HTTP/1.0 200 OK\r\n", hangs_up=False) == "no answer"


def test_a_closed_port_is_refused_and_another_address_tried():
    with server(http("200 OK", BODY % 1)) as (port, _):
        assert ask("shop/web", port, (parse("127.0.0.2"), HERE)).text == "200: 1 here"
    assert ask("shop/web", port, (HERE,)).text == "refused"


def test_an_address_of_another_machine_is_never_asked():
    assert ask("shop/web", 80, (parse("192.0.2.1"),)).text == "not reached"


def test_rounds_follow_the_cluster(monkeypatch):
    monkeypatch.setattr(health_poll, "PAUSE_S", 0.0)
    monkeypatch.setattr(health_poll, "EVERY_S", 0.0)
    with server(http("200 OK", BODY % 1)) as (port, heard):
        known = [Cluster((service("web", port), service("db", 0), service("mail", port)))]
        poll = HealthPoll(lambda: known[0], lambda cluster: (HERE,))
        poll.poll(0.0)
        poll.poll(0.0)
        assert [answer.service for answer in poll.answers] == ["shop/web", "shop/mail"]
        known[0] = Cluster((service("mail", port),))
        poll.poll(0.0)
        assert [answer.service for answer in poll.answers] == ["shop/mail"]
    assert len(heard) == 3


def test_on_a_machine_that_is_no_node_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(health_poll, "EVERY_S", 0.0)
    with server(b"") as (port, heard):
        poll = HealthPoll(lambda: Cluster((service("web", port),)), lambda cluster: ())
        poll.poll(0.0)
        assert poll.answers == ()
    assert heard == []


def test_between_rounds_it_rests(monkeypatch):
    rested: list[float] = []
    monkeypatch.setattr(health_poll.time, "sleep", rested.append)
    poll = HealthPoll(Cluster, lambda cluster: ())
    poll.poll(0.1)
    poll.poll(0.1)
    assert rested == [0.1]
