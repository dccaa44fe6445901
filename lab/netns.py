"""Running Python inside a network namespace without starting another interpreter.

A forked child enters the namespace with ``setns``; under emulation a new interpreter costs a
second, a fork some milliseconds.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ParamSpec, TypeVar

from tracer.errors import UnableError

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
NAMED = Path("/run/netns")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_FORK = multiprocessing.get_context("fork")


def enter(namespace: str) -> None:
    """Move this process into the named network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (NAMED / namespace).open() as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise UnableError(f"cannot enter namespace {namespace}", os.strerror(number))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Child:
    """A forked process in a namespace, ended with its parent."""

    def __init__(
        self,
        namespace: str,
        work: Callable[Arguments, object],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> None:
        self._process = _FORK.Process(
            target=_work_inside, args=(namespace, work, args, kwargs), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid or 0

    def stop(self) -> None:
        """Kill it and wait; sockets it held are closed when this returns."""
        self._process.kill()
        self._process.join()


def call(
    namespace: str,
    work: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """``work(...)`` run inside the namespace, its result brought back; raises what went wrong."""
    here, there = _FORK.Pipe(duplex=False)
    process = _FORK.Process(
        target=_answer, args=(there, namespace, work, args, kwargs), daemon=True
    )
    process.start()
    there.close()
    try:
        answer, failure = here.recv()
    except EOFError as error:
        raise UnableError(f"the work in namespace {namespace} died") from error
    finally:
        process.join()
    if failure:
        raise UnableError(f"the work in namespace {namespace} failed", failure)
    result: Result = answer
    return result


def _work_inside(
    namespace: str,
    work: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    die_with_parent()
    enter(namespace)
    work(*args, **kwargs)


def _answer(
    pipe: Connection,
    namespace: str,
    work: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    die_with_parent()
    try:
        enter(namespace)
        pipe.send((work(*args, **kwargs), ""))
    except Exception:  # handed to the parent, which raises it
        pipe.send((None, traceback.format_exc()))
