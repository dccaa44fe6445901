"""Commands: one file each; options become settings here, work is done elsewhere.

Everything heavy is imported when a command runs, so that help appears at once.
"""

from __future__ import annotations

import click

from tracer.commands.check import check
from tracer.commands.live import live
from tracer.commands.replay import replay

COMMANDS: tuple[click.Command, ...] = (live, replay, check)
