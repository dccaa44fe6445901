"""How to reach the lab's API server, and as whom: plain values in one file, and kubeconfigs."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

HOST = "127.0.0.1"
HOST_FROM_GUEST = "10.0.2.2"
"""Where QEMU's user network shows the machine's own loopback."""
PORT_IN_NODES = 16443
"""Where a node's namespace finds the API server: its own loopback, relayed; 6443 may be a pod's."""
ADMIN, PROXY, READER = "admin", "system:kube-proxy", "viptrace"
GROUPS = {ADMIN: "system:masters", PROXY: "", READER: ""}
KUBELET = "system:node:{node}"


@dataclass(frozen=True, slots=True)
class Access:
    """One API server."""

    port: int
    certificate: str
    """Its own, PEM: self-signed, so it is the authority as well."""
    secret: str
    """The beginning of every token."""
    host: str = HOST

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{self.host}:{self.port}"

    def token(self, user: str) -> str:
        """What a user shows; a test machine's token, gone with its API server."""
        return f"{self.secret}-{user.replace(':', '-')}"

    def inside_node(self) -> Access:
        """The same as a node's namespace sees it."""
        return replace(self, host=HOST, port=PORT_IN_NODES)

    def from_guest(self) -> Access:
        """The same as the virtual machine sees it."""
        return replace(self, host=HOST_FROM_GUEST)

    def kubeconfig(self, user: str, folder: Path) -> Path:
        """A configuration file for one user."""
        authority = base64.b64encode(self.certificate.encode()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [
                {
                    "name": "lab",
                    "cluster": {"server": self.url, "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{user.replace(':', '-')}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    def save(self, path: Path) -> None:
        """Write it where ``load`` reads it; for the owner's eyes."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))


def load(path: Path) -> Access:
    """What ``save`` wrote."""
    return Access(**json.loads(path.read_text()))
