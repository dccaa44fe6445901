"""Writing to the API server as an administrator: plain JSON over one connection."""

from __future__ import annotations

import json
import time
from typing import Any

import urllib3

from lab.real.access import Access
from tracer.errors import UnableError

TIMEOUT_S = 60.0
TRIES, PAUSE_S = 6, 2.0
CONFLICT, NOT_FOUND = 409, 404
BUSY = frozenset({429, 500, 503, 504})
"""A server, or its etcd, that is out of breath: every request of ours may be said again."""
Object = dict[str, Any]


class ApiFailure(UnableError):
    """The API server refused; ``status`` is HTTP's."""

    def __init__(self, what: str, why: str, status: int) -> None:
        super().__init__(what, why)
        self.status = status


class Api:
    """One identity at one API server."""

    def __init__(self, access: Access, user: str) -> None:
        self._url = access.url
        self._headers = {"Authorization": f"Bearer {access.token(user)}"}
        self._pool = urllib3.PoolManager(
            ca_cert_data=access.certificate, timeout=TIMEOUT_S, retries=False
        )

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return (
                self._pool.request("GET", f"{self._url}/readyz", headers=self._headers).status
                == 200
            )
        except urllib3.exceptions.HTTPError:
            return False

    def create(self, path: str, made: Object) -> None:
        """Add to a collection; what is there already stays."""
        try:
            self._ask("POST", path, made, "application/json")
        except ApiFailure as error:
            if error.status != CONFLICT:
                raise

    def merge(self, path: str, change: Object) -> None:
        """Change fields of one object: null removes, a list replaces a list."""
        self._ask("PATCH", path, change, "application/merge-patch+json")

    def remove(self, path: str) -> None:
        """Delete now; what is not there is gone already."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        try:
            self._ask("DELETE", path, options, "application/json")
        except ApiFailure as error:
            if error.status != NOT_FOUND:
                raise

    def items(self, path: str) -> list[Object]:
        """A whole collection."""
        found: list[Object] = self._ask("GET", path)["items"]
        return found

    def _ask(self, method: str, path: str, body: Object | None = None, kind: str = "") -> Object:
        headers = {**self._headers, **({"Content-Type": kind} if kind else {})}
        data = json.dumps(body).encode() if body is not None else None
        for tries_left in reversed(range(TRIES)):
            try:
                answer = self._pool.request(method, self._url + path, body=data, headers=headers)
            except urllib3.exceptions.HTTPError as error:  # also one that was idle for too long
                if not tries_left:
                    raise self._silent(error) from error
            else:
                if answer.status not in BUSY or not tries_left:
                    break
            time.sleep(PAUSE_S)
        said: Object = json.loads(answer.data or b"{}")
        if answer.status >= 300:
            raise ApiFailure(f"{method} {path} failed", str(said.get("message")), answer.status)
        return said

    def _silent(self, error: urllib3.exceptions.HTTPError) -> UnableError:
        return UnableError(f"the API server at {self._url} does not answer", str(error))
