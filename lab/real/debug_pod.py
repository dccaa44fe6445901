"""A pod on a node's network as its kubelet starts it, from the spec that the API server holds.

There is no kubelet in the lab. What a container finds around itself is made from its pod's spec
alone: environment, mounts of the node's files, host name. This machine's programs are its image.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from tracer.errors import UnableError

WHERE = "/run/viptrace-pod"
NODE, POD = f"{WHERE}/node", f"{WHERE}/pod"
SERVICE_ADDRESS = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
"""Every kubelet tells every container where the API server's Service is."""

Spec = Mapping[str, Any]


def launcher(spec: Spec, namespace: str, files: Mapping[str, str]) -> tuple[str, ...]:
    """A command that runs its arguments as that pod's first container.

    ``files`` are those that the node has beside this machine's, by their paths.
    """
    if not spec.get("hostNetwork"):
        raise UnableError("a pod with a network of its own", "the lab starts those on the host's")
    node = spec["nodeName"]
    lines = [
        "mount --make-rprivate /",
        f"mkdir -p {WHERE}",
        f"mount -t tmpfs none {WHERE}",
        *_root(NODE),
        *_written({"/etc/hostname": f"{node}\n", **files}),
        *_root(POD),
        *(f"mount --rbind /{place} {POD}/{place}" for place in ("proc", "sys", "dev")),
        *_mounts(spec),
        f"hostname {shlex.quote(spec.get('hostname') or node)}",
        f'exec chroot {POD} env -i {shlex.join(_environment(spec))} "$@"',
    ]
    alone = ("unshare", "--mount", "--uts", "sh", "-euc", "\n".join(lines), "pod")
    return ("ip", "netns", "exec", namespace, *alone)


def _root(place: str) -> Iterator[str]:
    """This machine's files, where what is written stays with the pod."""
    above, work = f"{place}.above", f"{place}.work"
    yield f"mkdir {place} {above} {work}"
    yield f"mount -t overlay none -o lowerdir=/,upperdir={above},workdir={work} {place}"


def _written(files: Mapping[str, str]) -> Iterator[str]:
    for path, text in files.items():
        yield f"mkdir -p {NODE}{path.rpartition('/')[0]}"
        yield f"printf %s {shlex.quote(text)} >{NODE}{path}"


def _mounts(spec: Spec) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for mount in spec["containers"][0].get("volumeMounts", ()):
        volume, at = volumes[mount["name"]], POD + shlex.quote(mount["mountPath"])
        if "hostPath" not in volume:
            raise UnableError(f"volume {mount['name']}", "the lab mounts the node's own files only")
        source = NODE + shlex.quote(volume["hostPath"]["path"])
        yield f"mkdir -p {at}"
        yield f"mount --rbind {source} {at}"


def _environment(spec: Spec) -> Iterator[str]:
    """What the pod says, and what every container gets; no home is anybody's."""
    given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nowhere", **SERVICE_ADDRESS}
    for item in spec["containers"][0].get("env", ()):
        field = item.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        given[item["name"]] = spec["nodeName"] if field == "spec.nodeName" else item["value"]
    return (f"{name}={value}" for name, value in given.items())
