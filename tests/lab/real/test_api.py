"""An API server that is out of breath is asked again, one that refuses is not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from urllib3.exceptions import ProtocolError

from lab.real import api
from lab.real.access import ADMIN, Access
from lab.real.api import Api, ApiFailure
from tracer.errors import UnableError


@dataclass
class Answer:
    status: int
    data: bytes = b'{"items": [1]}'


@dataclass
class Pool:
    """Answers, or breaks, as it is told to."""

    script: list[object]
    asked: list[str] = field(default_factory=list)

    def request(self, method, url, **rest):
        self.asked.append(method)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return Answer(said)


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(api, "PAUSE_S", 0.0)

    def make(*script):
        pool = Pool(list(script))
        monkeypatch.setattr(api.urllib3, "PoolManager", lambda **options: pool)
        return Api(Access(6443, "", "secret"), ADMIN), pool

    return make


def test_broken_connections_and_busy_servers_are_asked_again(told):
    client, pool = told(ProtocolError("idle for too long"), 500, 429, 200)
    assert client.items("/api/v1/pods") == [1]
    assert pool.asked == ["GET"] * 4


def test_a_refusal_is_one(told):
    client, pool = told(403)
    with pytest.raises(ApiFailure):
        client.merge("/api/v1/pods/a", {})
    assert len(pool.asked) == 1


def test_who_stays_silent_is_named(told):
    client, _ = told(*[ProtocolError("gone")] * api.TRIES)
    with pytest.raises(UnableError, match="does not answer"):
        client.items("/api/v1/pods")
    client, _ = told(*[503] * api.TRIES)
    with pytest.raises(ApiFailure):
        client.items("/api/v1/pods")
