"""HTTP with the API server: configuration, TLS and authentication are the client library's.

Its model classes are not used: they cost forty times what reading the bytes costs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from tracer.cluster.api import wire
from tracer.cluster.api.credentials import Candidate, kubeconfig
from tracer.errors import InputError
from tracer.plain import harmless, shortened

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

CONNECT_S = 5.0
READ_S = 60.0
"""Silence within an answer; etcd may take long over a large list."""
BODY_LIMIT = 1 << 29
LINE_LIMIT = 1 << 26
"""Bytes of one event: etcd takes objects of 1.5 MiB, JSON makes a few times that of it."""
_PIECE = 1 << 18
_RENEW_S = 10.0
_WHY_LENGTH = 200
_UNAUTHORIZED, _FORBIDDEN, _GONE = 401, 403, 410


class ApiError(Exception):
    """The API server did not give what was asked; the text is fit for a message."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(shortened(harmless(why), _WHY_LENGTH))
        self.status = status
        """HTTP status; 0 where there was no answer."""

    @property
    def forbidden(self) -> bool:
        """Whether it is a matter of rights."""
        return self.status in (_UNAUTHORIZED, _FORBIDDEN)

    @property
    def gone(self) -> bool:
        """Whether the version asked for is too old."""
        return self.status == _GONE


class Answer(Protocol):
    """One answer, read once, from its beginning."""

    def body(self) -> bytearray:
        """All of it."""

    def lines(self) -> Iterator[list[bytes]]:
        """Whole lines as they come, some at a time, to the end."""

    def interrupt(self) -> None:
        """End a read that another thread is in."""

    def close(self) -> None:
        """Give it up; safe to call twice."""


class Connection:
    """One API server, one identity; used by several threads."""

    def __init__(self, candidate: Candidate) -> None:
        """InputError where the configuration is not usable."""
        self.label = candidate.label
        self._candidate = candidate
        self._client = self._made()
        self._made_at = time.monotonic()

    @property
    def host(self) -> str:
        """Where the API server is, for messages."""
        return harmless(str(self._client.configuration.host))

    def get(self, path: str, query: Mapping[str, str], silence_s: float = READ_S) -> Answer:
        """Ask; ``ApiError`` unless the answer is a success."""
        headers = {} if query.get("watch") else {"Accept-Encoding": "gzip"}
        return self._request("GET", f"{path}?{urlencode(query)}", headers, None, silence_s)

    def post(self, path: str, body: bytes, silence_s: float = READ_S) -> None:
        """Create an object from its JSON; ``ApiError`` unless the API server took it."""
        headers = {"Content-Type": "application/json"}
        self._request("POST", path, headers, body, silence_s).close()

    def _request(
        self, method: str, path: str, further: dict[str, str], body: bytes | None, silence_s: float
    ) -> Answer:
        from urllib3.exceptions import HTTPError
        from urllib3.util import Timeout

        client = self._client
        headers = {"Accept": "application/json", "User-Agent": "viptrace"} | further
        try:
            client.update_params_for_auth(headers, [], ["BearerToken"])
            response = client.rest_client.pool_manager.request(
                method,
                f"{client.configuration.host}{path}",
                body=body,
                headers=headers,
                preload_content=False,
                timeout=Timeout(connect=CONNECT_S, read=silence_s),
                retries=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise ApiError(_why(error)) from error
        answer = HttpAnswer(response)
        if response.status in (200, 201):
            return answer
        try:
            said = wire.status(bytes(answer.body()))
        finally:
            answer.close()
        raise ApiError(f"{response.status} {said.message or response.reason}", response.status)

    def renew(self) -> None:
        """Read the configuration again: certificates and tokens are exchanged now and then."""
        if time.monotonic() - self._made_at < _RENEW_S:
            return
        self._made_at = time.monotonic()
        try:
            self._client = self._made()
        except InputError:
            return  # being rewritten this moment: the next try will find it whole

    def close(self) -> None:
        """Close what is idle; answers in use are closed by their readers."""
        self._client.rest_client.pool_manager.clear()

    def _made(self) -> Any:
        # A second and 90 MB: only for those who have a configuration.
        from kubernetes import client, config  # noqa: TID251
        from urllib3 import disable_warnings
        from urllib3.exceptions import InsecureRequestWarning

        # Said by the library on every request, into the middle of the screen.
        disable_warnings(InsecureRequestWarning)
        wanted = client.Configuration()
        wanted.retries = False
        try:
            if self._candidate.path is None:
                config.load_incluster_config(client_configuration=wanted)
            else:
                config.load_kube_config_from_dict(
                    kubeconfig(self._candidate), client_configuration=wanted
                )
            return client.ApiClient(wanted)
        except (config.ConfigException, OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"Cannot use {self.label} to reach the API server.",
                harmless(str(error)),
                "Name a kubeconfig that works with kubectl, or use --cluster FILE.",
            ) from error


class HttpAnswer:
    """An answer of urllib3."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def body(self) -> bytearray:
        """All of it; ``ApiError`` if it breaks off."""
        found = bytearray()
        for piece in self._pieces():
            found += piece
            if len(found) > BODY_LIMIT:
                raise ApiError(f"an answer has more than {BODY_LIMIT} bytes")
        return found

    def lines(self) -> Iterator[list[bytes]]:
        """Whole lines as they come; ``ApiError`` if the answer breaks off."""
        begun = bytearray()
        for piece in self._pieces():
            first, *more = piece.split(b"\n")
            begun += first
            if len(begun) > LINE_LIMIT:
                raise ApiError(f"an event has more than {LINE_LIMIT} bytes")
            if more:
                lines = [bytes(begun), *more[:-1]]
                begun = bytearray(more[-1])
                yield [line for line in lines if line]

    def _pieces(self) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError

        try:
            yield from self._response.stream(_PIECE, decode_content=True)
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            # AttributeError: another thread closed it under our hands.
            raise ApiError(_why(error)) from error

    def interrupt(self) -> None:
        """End a read that another thread is in."""
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            return  # it has ended by itself

    def close(self) -> None:
        """Close the connection: what is left of the answer is not wanted."""
        self._response.close()


def _why(error: Exception) -> str:
    """The operating system's words, where they are at the bottom of it."""
    from urllib3.exceptions import ProtocolError, TimeoutError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "the connection broke off" if isinstance(error, ProtocolError) else str(error)
