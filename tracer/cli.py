"""Arguments to command; the only place that prints errors and exits."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from tracer.commands import COMMANDS
from tracer.errors import TracerError
from tracer.plain import harmless

DONE, BAD_USAGE, INTERRUPTED = 0, 2, 130

_EPILOG = """\b
Exit codes: 0 done; 1 --fail-on met; 2 bad usage or unreadable input;
3 this node or these privileges cannot do it; 130 interrupted.

\b
Completion of commands and options, for this shell:
  eval "$(_VIPTRACE_COMPLETE=bash_source viptrace)"     (zsh_source, fish_source)
"""


class ReaderLeftError(Exception):
    """Standard output was closed; click would make exit code 1 of it, which has a meaning here."""


class DefaultToLive(click.Group):
    """``viptrace`` and ``viptrace --option`` mean ``viptrace live``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the command that was left out."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help", "--version")):
            args = ["live", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, whose reader may leave."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeftError from error


@click.group(
    cls=DefaultToLive,
    short_help="Which pod a node chose for Service traffic, what is lost, why, and what to type.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="viptrace", message="viptrace %(version)s")
def viptrace() -> None:
    """See how this Kubernetes node translates Service traffic, what is lost, why, and what to type.

    Without a command: live.
    """


for _command in COMMANDS:
    viptrace.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; answers with the exit code."""
    try:
        result = viptrace.main(list(arguments), prog_name="viptrace", standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.ClickException as error:
        complain(*_usage_error(error))
        return BAD_USAGE
    except TracerError as error:
        complain(error.what, error.why, error.remedy)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (ReaderLeftError, BrokenPipeError):
        _discard(sys.stdout)
        return 128 + signal.SIGPIPE


def complain(what: str, why: str, remedy: str) -> None:
    """One line what, one line why, one line what to do, on standard error."""
    for line in (f"viptrace: {what}", why, remedy):
        if line:
            click.echo("\n".join(map(harmless, line.splitlines())), err=True)


def _usage_error(error: click.ClickException) -> tuple[str, str, str]:
    what = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "viptrace"
    why = context.command.get_usage(context) if context else ""
    return what, " ".join(why.split()), f"Type '{path} --help' for what it takes."


def _discard(stream: TextIO) -> None:
    """The reader went away: what is still buffered goes nowhere, without a complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
