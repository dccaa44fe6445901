"""What the command palette offers: every key of the app, to be found by its words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.app import App, SystemCommand
from textual.binding import Binding

from tracer.tui.bindings import BINDINGS

_LEFT_OUT = {"palette", "interrupt", "focus.next", "focus.before"}
"""What makes no sense to look for."""


def offered(app: App[int]) -> Iterator[SystemCommand]:
    """Words, key, and what it does."""
    for binding in BINDINGS:
        if isinstance(binding, Binding) and binding.id not in _LEFT_OUT:
            key = app.get_key_display(binding)
            run = partial(app.run_action, binding.action, default_namespace=app)
            yield SystemCommand(_words(binding), f"key {key}", run)


def _words(binding: Binding) -> str:
    """Its name, and what it does where that is more."""
    name, told = binding.description, binding.tooltip
    if not told or told.startswith(name):
        return told or name
    return f"{name}: {told[0].lower()}{told[1:]}"
