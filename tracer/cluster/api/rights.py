"""What a connection may read: asked by reading one object of each kind."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.cluster.api.connection import ApiError, Connection
from tracer.cluster.api.kinds import KINDS, Kind
from tracer.cluster.api.wire import Decoder, GarbledError

LACKS: Mapping[str, str] = {
    "nodes": "which node this is and the nodes' addresses",
    "services": "Services and the names of their addresses",
    "endpointslices": "endpoints, and every judgement about them",
    "pods": "names of pods",
}
"""What is missing without a kind."""


def refusals(connection: Connection, *, watch: bool = False) -> dict[str, ApiError | None]:
    """Why each kind cannot be read; None where it can. Silence is asked only once."""
    found: dict[str, ApiError | None] = {}
    for kind in KINDS:
        error = found[kind.name] = _refusal(connection, kind, watch)
        if error is not None and not error.status:
            return dict.fromkeys((one.name for one in KINDS), error)
    return found


def _refusal(connection: Connection, kind: Kind, watch: bool) -> ApiError | None:
    try:
        answer = connection.get(kind.path, {"limit": "1"})
        try:
            version = Decoder(kind).page(answer.body()).version if watch else ""
        finally:
            answer.close()
        if watch:
            query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1"}
            connection.get(kind.path, query).close()
    except ApiError as error:
        return error
    except GarbledError as error:
        return ApiError(str(error))
    return None
