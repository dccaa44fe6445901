"""Running the system's tools: one place that turns a failure into a clear error."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracer.errors import UnableError


def run(
    command: Sequence[str],
    text: str | None = None,
    *,
    check: bool = True,
    timeout_s: float = 120.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Standard output of ``command`` fed with ``text``; raises when it fails and ``check``."""
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=cwd,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise UnableError(
            f"the lab cannot run {command[0]}", str(error), "run: python -m lab tools"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnableError(f"{shlex.join(command)} took over {timeout_s:.0f} s") from error
    if check and done.returncode != 0:
        raise UnableError(
            f"{shlex.join(command)} failed with status {done.returncode}",
            (done.stderr or done.stdout).strip()[-2000:],
        )
    return done.stdout


def run_in(
    namespace: str, command: Sequence[str], text: str | None = None, *, check: bool = True
) -> str:
    """``run`` inside the network namespace ``namespace``, with its own view of ``/sys``."""
    return run(["ip", "netns", "exec", namespace, *command], text, check=check)
