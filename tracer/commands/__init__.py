"""Commands: one file each; options become settings here, work is done elsewhere.

Everything heavy is imported when a command runs, so that help appears at once.
"""

from __future__ import annotations

import click

from tracer.commands.audit import audit
from tracer.commands.check import check
from tracer.commands.explain import explain
from tracer.commands.explain_cause import explain_cause
from tracer.commands.export import export
from tracer.commands.live import live
from tracer.commands.record import record
from tracer.commands.replay import replay
from tracer.commands.state import state

COMMANDS: tuple[click.Command, ...] = (
    live,
    record,
    replay,
    export,
    audit,
    explain,
    explain_cause,
    state,
    check,
)
