"""What a node answers to load balancers that ask for a Service's health check node port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """The latest answer on one Service's ``healthCheckNodePort``, asked on the node itself."""

    service: str
    """``namespace/name``."""
    port: int
    ip: bytes
    """The address of this node that was asked last."""
    status: int = 0
    """HTTP status: kube-proxy says 200 while it has local endpoints, else 503; 0 no answer."""
    local_endpoints: int = -1
    """Endpoints on this node, as the answer counts them; -1 if it does not."""
    why: str = ""
    """Why there is no answer."""

    @property
    def text(self) -> str:
        """In a word or two; numbers and our own words only, whoever answered."""
        if not self.status:
            return self.why
        counted = f": {self.local_endpoints} here" if self.local_endpoints >= 0 else ""
        return f"{self.status}{counted}"
