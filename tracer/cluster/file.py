"""A cluster file -> ``Cluster``: what ``kubectl get nodes,services,endpointslices,pods -A``
prints as JSON or YAML, Lists, documents in a row and single objects alike.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tracer.cluster import json_documents, objects, yaml_documents
from tracer.cluster.fields import Fields, UnusableError, printable, shown
from tracer.cluster.model import Cluster, Endpoint, Node, Pod, Service
from tracer.cluster.objects import EndpointSet
from tracer.cluster.yaml_documents import BrokenError
from tracer.errors import InputError

SIZE_LIMIT = 1 << 30
"""Bytes of a file that are read; the largest clusters need about a tenth."""
COMMAND = "kubectl get nodes,services,endpointslices,pods -A -o json"
REMEDY = f"Give the output of `{COMMAND}` (or -o yaml)."

Value = Service | EndpointSet | Pod | Node
KINDS: Mapping[str, tuple[str, Callable[[Fields], Value]]] = {
    "Service": ("v1", objects.service),
    "EndpointSlice": ("discovery.k8s.io/", objects.slice_endpoints),
    "Endpoints": ("v1", objects.old_endpoints),
    "Pod": ("v1", objects.pod),
    "Node": ("v1", objects.node),
}
"""Kinds that are read, with the beginning of their apiVersion."""
PARTS: Mapping[str, str] = {
    "Service": "services",
    "EndpointSlice": "endpoints",
    "Endpoints": "endpoints",
    "Pod": "pods",
    "Node": "nodes",
}
"""The field of ``Cluster`` that a kind goes to."""


def load(path: Path | str) -> Cluster:
    """The cluster a file describes (``-``: standard input); InputError if it describes none."""
    standard_input = str(path) == "-"
    label = "standard input" if standard_input else str(path)
    try:
        if standard_input:
            data = sys.stdin.buffer.read(SIZE_LIMIT + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"Cannot read the cluster file {label}", why or "", REMEDY) from error
    return parse(data, label)


def parse(data: bytes, label: str) -> Cluster:
    """The cluster that the bytes of a file describe; ``label`` names them in messages."""
    text, damage = _decoded(data, label)
    broken: list[BrokenError] = []
    documents: list[object] = []
    for document in _documents(text):
        if isinstance(document, BrokenError):
            broken.append(document)
        else:
            documents.append(document)
    if not any(map(_has_kind, documents)):
        raise _not_readable(label, broken)
    reader = ClusterReader()
    reader.unparsed += damage
    for document in documents:
        for where, value in _objects(document, label):
            reader.add(where, value)
    for error in broken:
        reader.unparsed.append(
            f"{label}:{error.line}:{error.column}: {error}; the rest of this document is skipped"
        )
    return reader.cluster()


def _decoded(data: bytes, label: str) -> tuple[str, list[str]]:
    """The text of a file, and a line where a byte of it is no text; UTF-16 is PowerShell's."""
    if len(data) > SIZE_LIMIT:
        raise InputError(f"{label} is too large", f"It has more than {SIZE_LIMIT} bytes.", REMEDY)
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    damage: list[str] = []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte {error.start} is not {'UTF-16' if wide else 'UTF-8'}"
        if b"\0" in data and not wide:
            raise InputError(
                f"{label} is neither YAML nor JSON", f"Line {line}: {problem} text.", REMEDY
            ) from error
        text, damage = data.decode(encoding, "replace"), [f"{label}:{line}: {problem}"]
    if not text.strip():
        raise InputError(f"{label} is empty", "The command that wrote it may have failed.", REMEDY)
    return text, damage


def _documents(text: str) -> Iterable[object | BrokenError]:
    """JSON by its first character; what is no JSON at all may be YAML's way to write it."""
    if text.lstrip()[0] not in "{[":
        return yaml_documents.read(text)
    documents = list(json_documents.read(text))
    if len(documents) == 1 and isinstance(documents[0], BrokenError):
        flow = list(yaml_documents.read(text))
        return documents if any(isinstance(d, BrokenError) for d in flow) else flow
    return documents


def _has_kind(document: object) -> bool:
    """Whether this is a Kubernetes object, or a list with one."""
    if isinstance(document, list):
        return any(isinstance(item, Mapping) and _has_kind(item) for item in document)
    return isinstance(document, Mapping) and isinstance(document.get("kind"), str)


def _not_readable(label: str, broken: list[BrokenError]) -> InputError:
    if not broken:
        return InputError(f"{label} is no cluster file", "No object in it has a kind.", REMEDY)
    error = broken[0]
    return InputError(
        f"{label} is neither YAML nor JSON",
        f"Line {error.line}, column {error.column}: {error}.",
        REMEDY,
    )


def _objects(document: object, label: str) -> Iterator[tuple[str, Mapping[object, object]]]:
    """Where each object of a document stands, and the object; a List gives its items."""
    kind: object = ""
    if isinstance(document, list):
        members = document
    elif isinstance(document, Mapping):
        kind = document.get("kind")
        items = document.get("items")
        if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
            yield _where(label, document, ""), document
            return
        members = items
    else:
        return
    for position, item in enumerate(members):
        if isinstance(item, Mapping):
            inherited = {"kind": str(kind).removesuffix("List")} | dict(item)
            yield _where(label, item, f"items[{position}]"), inherited
        else:
            yield _where(label, item, f"items[{position}]"), {"kind": shown(item)}


def _where(label: str, value: object, path: str) -> str:
    """``file:line`` where the line is known, else the place within the document."""
    if isinstance(value, yaml_documents.Mapping):
        return f"{label}:{value.line}"
    return f"{label}: {path}" if path else label


class ClusterReader:
    """Takes objects one by one; a later one replaces an earlier one of the same name."""

    def __init__(self) -> None:
        self.unparsed: list[str] = []
        self._values: dict[tuple[str, str, str], Value] = {}

    def add(self, where: str, value: Mapping[object, object]) -> None:
        """Read one object; what is wrong with it goes to ``unparsed``, led by ``where``."""
        kind, version = value.get("kind"), value.get("apiVersion")
        known = KINDS.get(kind) if isinstance(kind, str) else None
        versioned = isinstance(version, str) and known and version.startswith(known[0])
        if known is None or not isinstance(kind, str) or not (versioned or version is None):
            named = " ".join(printable(p) for p in (version, kind) if isinstance(p, str))
            self.unparsed.append(f"{where}: {named or 'an object without kind'} is not read")
            return
        notes: list[str] = []
        subject = kind
        try:
            fields = Fields(value, notes)
            namespace, name = objects.identity(fields)
            subject = f"{kind} {printable(namespace)}/{printable(name)}"
            notes.clear()
            self._values[kind, namespace, name] = known[1](fields)
        except UnusableError as error:
            notes.append(str(error))
        self.unparsed.extend(f"{where}: {subject}: {note}" for note in dict.fromkeys(notes))

    def cluster(self, generation: int = 1, at_ns: int = 0) -> Cluster:
        """All that was read, as one snapshot."""
        values = self._values.values()
        return Cluster(
            services=tuple(value for value in values if isinstance(value, Service)),
            endpoints=tuple(self._endpoints()),
            pods=tuple(value for value in values if isinstance(value, Pod)),
            nodes=tuple(value for value in values if isinstance(value, Node)),
            generation=generation,
            at_ns=at_ns,
            unparsed=tuple(self.unparsed),
            known=frozenset(PARTS[kind] for kind, _, _ in self._values),
        )

    def _endpoints(self) -> Iterable[Endpoint]:
        """Endpoints of all slices; of the old objects only where a Service has no slice."""
        slices, old = self._sets("EndpointSlice"), self._sets("Endpoints")
        sliced = {found.service for found in slices}
        return objects.merged((*slices, *(one for one in old if one.service not in sliced)))

    def _sets(self, wanted: str) -> list[EndpointSet]:
        return [
            value
            for (kind, _, _), value in self._values.items()
            if kind == wanted and isinstance(value, EndpointSet)
        ]
