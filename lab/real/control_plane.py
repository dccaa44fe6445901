"""etcd and the API server on this machine, on loopback, for as long as a test runs."""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import urllib3
import yaml

from lab.kernels import Say
from lab.real.access import ADMIN, GROUPS, HOST, HOST_FROM_GUEST, KUBELET, READER, Access
from lab.real.api import Api
from lab.real.releases import CURRENT, cached, ensure_program
from lab.rules.plan import SERVICE_RANGES
from lab.shell import run
from lab.vm import CHECKOUT
from tracer.errors import UnableError

STORE, SERVER = "etcd", "kube-apiserver"
START_TIMEOUT_S = 300.0
POLL_S = 0.3
NODES = ("control-plane", "worker-1", "worker-2")
"""Nodes whose kubelets have a token."""
OWN_PORTS = range(20000, 30000)
"""Below those that Linux gives to clients."""
ADVERTISED = "172.18.0.2"
"""The server wants an address of its own that is not loopback."""
RIGHTS = CHECKOUT / "deploy" / "rbac.yaml"


@dataclass
class ControlPlane:
    """A context manager; keys, data and logs in ``folder``."""

    folder: Path
    say: Say
    access: Access | None = None
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
    _store: int = 0
    """etcd's port."""

    def __enter__(self) -> Access:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Access:
        """Start both, wait until they answer, give viptrace the rights that it ships with."""
        ensure_program("kube-apiserver", CURRENT, self.say)
        self.folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        self._store, peers, port = free_ports(3)
        self.access = Access(port, self._keys(), secrets.token_hex(16))
        self._tokens(self.access)
        self._run(STORE, etcd_command(self.folder, self._store, peers))
        self.start_server()
        self.say(f"etcd and kube-apiserver {CURRENT}: {time.monotonic() - started:.1f} s")
        prepare(Api(self.access, ADMIN))
        return self.access

    def start_server(self) -> None:
        """Start the API server, at the port where it was, and wait until it answers."""
        assert self.access is not None
        program = cached(SERVER, CURRENT)
        self._run(SERVER, server_command(program, self.folder, self._store, self.access.port))
        self._wait_for(Api(self.access, ADMIN))

    def kill_server(self) -> None:
        """As a crash does it; etcd goes on."""
        process = self._processes.pop(SERVER)
        process.kill()
        process.wait()

    def compact(self) -> None:
        """Let etcd forget every version but the latest: who watches from an old one must list."""
        url = f"http://{HOST}:{self._store}/v3/kv"
        latest = urllib3.request("POST", f"{url}/range", json={"key": "eA=="}).json()
        revision = latest["header"]["revision"]
        wanted = {"revision": revision, "physical": True}
        urllib3.request("POST", f"{url}/compaction", json=wanted).json()

    def close(self) -> None:
        """End both, the API server first; safe to call twice."""
        while self._processes:
            _, process = self._processes.popitem()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keys(self) -> str:
        """A key for service accounts, and a certificate for every way to the server."""
        key, certificate = self.folder / "tls.key", self.folder / "tls.crt"
        names = f"subjectAltName=IP:{HOST},IP:{HOST_FROM_GUEST}"
        elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        subject = ("-days", "3650", "-subj", "/CN=lab", "-addext", names)
        run(["openssl", "genrsa", "-out", str(self.folder / "accounts.key"), "2048"])
        out = ("-keyout", str(key), "-out", str(certificate))
        run(["openssl", "req", "-x509", *elliptic, *out, *subject])
        return certificate.read_text()

    def _tokens(self, access: Access) -> None:
        kubelets = {KUBELET.format(node=name): "system:nodes" for name in NODES}
        lines = [
            f'{access.token(user)},{user},{number},"{group}"'
            for number, (user, group) in enumerate({**GROUPS, **kubelets}.items())
        ]
        path = self.folder / "tokens.csv"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")

    def _run(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            except FileNotFoundError as error:
                raise UnableError(
                    f"{name} is not installed", str(error), "apt-get install etcd-server"
                ) from error
        self._processes[name] = process

    def _wait_for(self, api: Api) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not api.ready():
            dead = any(item.poll() is not None for item in self._processes.values())
            if dead or time.monotonic() > deadline:
                logs = [path.read_text(errors="replace")[-1500:] for path in self._logs()]
                why = "it ended" if dead else f"no answer within {START_TIMEOUT_S:.0f} s"
                raise UnableError("the API server did not start", why, "\n".join(logs))
            time.sleep(POLL_S)

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))


def etcd_command(folder: Path, port: int, peers: int) -> list[str]:
    """A store for one API server; what it holds need not outlive a power cut."""
    client, peer = f"http://{HOST}:{port}", f"http://{HOST}:{peers}"
    return [
        *("etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}"),
    ]


def server_command(program: Path, folder: Path, store: int, port: int) -> list[str]:
    """No controller runs beside it: what they would do is the keeper's, or is not needed."""
    key = str(folder / "accounts.key")
    first_of_each = [next(r for r in SERVICE_RANGES if (":" in r) == v6) for v6 in (False, True)]
    return [
        *(str(program), f"--etcd-servers=http://{HOST}:{store}", f"--bind-address={HOST}"),
        *(f"--secure-port={port}", f"--advertise-address={ADVERTISED}"),
        f"--tls-cert-file={folder / 'tls.crt'}",
        f"--tls-private-key-file={folder / 'tls.key'}",
        *(f"--token-auth-file={folder / 'tokens.csv'}", "--anonymous-auth=false"),
        *("--authorization-mode=Node,RBAC", "--endpoint-reconciler-type=none"),
        *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={','.join(first_of_each)}",
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        # As every cluster has it: PodSecurity decides, by namespace.
        "--allow-privileged=true",
    ]


def prepare(api: Api) -> None:
    """The second range of ClusterIPs, and viptrace's rights as they are shipped."""
    for number, text in enumerate(SERVICE_RANGES[2:]):
        name = f"lab-{number}"
        kind = "/apis/networking.k8s.io/v1/servicecidrs"
        made = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR"}
        api.create(kind, {**made, "metadata": {"name": name}, "spec": {"cidrs": [text]}})
        ready = {"type": "Ready", "status": "True", "reason": "Lab", "message": ""}
        ready["lastTransitionTime"] = "2024-01-01T00:00:00Z"
        api.merge(f"{kind}/{name}/status", {"status": {"conditions": [ready]}})
    grant(api)


def grant(api: Api) -> None:
    """``deploy/rbac.yaml`` for the user that viptrace is in the lab."""
    rights = "/apis/rbac.authorization.k8s.io/v1"
    for made in yaml.safe_load_all(RIGHTS.read_text()):
        if made["kind"] == "ClusterRole":
            api.create(f"{rights}/clusterroles", made)
        elif made["kind"] == "ClusterRoleBinding":
            subject = {"kind": "User", "name": READER, "apiGroup": "rbac.authorization.k8s.io"}
            api.create(f"{rights}/clusterrolebindings", {**made, "subjects": [subject]})


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has, and that the kernel gives nobody of its own accord.

    A program that takes its port only seconds later would find it with a client's connection.
    """
    found: list[int] = []
    for port in random.sample(OWN_PORTS, len(OWN_PORTS)):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            found.append(port)
        if len(found) == count:
            break
    return found
