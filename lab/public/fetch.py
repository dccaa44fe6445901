"""Source packages that carry captures, from this machine's mirrors into the lab's cache."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.kernels import KEYRING, archive_site, cache_root, private_state
from lab.shell import run
from tracer.errors import UnableError

DEBIAN = (
    *("tcpdump", "libpcap", "wireshark", "zeek", "scapy", "tcpreplay", "suricata"),
    *("ndpi", "tcpflow", "python-dpkt", "libtins"),
)
PYPI = ("scapy", "dpkt", "pyshark", "python-pcapng")
_NEWEST = "sid"
_ARCHIVES = (".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".zip")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Collection:
    """What one source package gave."""

    name: str
    archives: tuple[Path, ...] = ()
    missing: str = ""
    """Why there are none."""


def fetched(say: Say) -> Iterator[Collection]:
    """Every collection; what was fetched once is not fetched again."""
    folder = cache_root() / "captures"
    try:
        states = _apt_states(say)
    except UnableError as error:
        states, reason = [], _last_words(error)
    else:
        reason = "no suite carries it"
    for name in DEBIAN:
        yield _debian(name, folder / "debian" / name, states, reason, say)
    for name in PYPI:
        yield _pypi(name, folder / "pypi" / name, say)


def _apt_states(say: Say) -> list[list[str]]:
    """Options for this machine's own release and for the newest, each with its source list."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = run(["apt-get", "indextargets", "--format", "$(SITE)|$(CODENAME)"])
    site = archive_site(targets, codename)
    return [_apt_state(site, suite, say) for suite in dict.fromkeys((codename, _NEWEST))]


def _apt_state(site: str, suite: str, say: Say) -> list[str]:
    state = cache_root() / "apt-sources" / suite
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    line = f"deb-src [signed-by={KEYRING}] {site} {suite} main\n"
    (state / "sources.list").write_text(line)
    options = private_state(state)
    say(f"reading the source list of {suite}")
    run(["apt-get", *options, "update", "-q"], timeout_s=300)
    return options


def _debian(name: str, folder: Path, states: list[list[str]], reason: str, say: Say) -> Collection:
    folder.mkdir(parents=True, exist_ok=True)
    for options in states:
        if _archives(folder):
            break
        say(f"fetching the source of {name}")
        command = ["apt-get", *options, "source", "--download-only", "--only-source", name]
        try:
            run(command, timeout_s=600, cwd=folder)
        except UnableError as error:
            # Some files of a package may be there though others are not.
            reason = _last_words(error)
    found = _archives(folder)
    return Collection(name, found, "" if found else reason)


def _pypi(name: str, folder: Path, say: Say) -> Collection:
    folder.mkdir(parents=True, exist_ok=True)
    reason = ""
    if not _archives(folder):
        say(f"fetching {name} from the package index")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        try:
            run([*command, "--no-binary", ":all:", "-d", str(folder), name], timeout_s=300)
        except UnableError as error:
            reason = _last_words(error)
    found = _archives(folder)
    return Collection(f"{name} (PyPI)", found, "" if found else reason)


def _last_words(error: UnableError) -> str:
    """Why the tool failed, by its own message."""
    lines = str(error).strip().splitlines()
    told = [line for line in lines if line.startswith(("E:", "ERROR:"))]
    return (told or lines[-1:])[0]


def _archives(folder: Path) -> tuple[Path, ...]:
    """Upstream's archives: Debian's own changes hold no captures."""
    files = (path for path in folder.iterdir() if path.name.endswith(_ARCHIVES))
    return tuple(sorted(path for path in files if ".debian.tar" not in path.name))
