"""The keys of the app; those of a table or a line stand with their widget."""

from __future__ import annotations

from collections.abc import Container

from textual.binding import Binding, BindingType

from tracer.tui.pages import PAGES

BINDINGS: list[BindingType] = [
    *(
        Binding(
            entry.key,
            f"page('{entry.page}')",
            entry.title,
            id=f"page.{entry.page}",
            show=False,
            tooltip=f"{entry.title}: {entry.help}",
        )
        for entry in PAGES
    ),
    Binding("slash", "filter", "Filter", key_display="/", id="filter"),
    Binding("f", "find", "Find", id="find", show=False, tooltip="Find a text in the rows"),
    Binding("n", "find_next(1)", "Next row with that text", id="find.next", show=False),
    Binding("N", "find_next(-1)", "Row before with that text", id="find.before", show=False),
    Binding("o", "order(1)", "Order", id="order.next", tooltip="Order by the next column"),
    Binding("O", "order(-1)", "Order by the column before", id="order.before", show=False),
    Binding("r", "reverse", "Reverse the order", id="order.reverse", show=False),
    Binding("b", "group", "Count by", id="group", tooltip="Count flows by Service, client, …"),
    Binding("space", "freeze", "Freeze", id="freeze", priority=True, tooltip="Hold the list"),
    Binding("a", "all_flows", "Untranslated flows, too", id="all", show=False),
    Binding(
        "x",
        "all_traffic",
        "Events and packets of all flows or of the selected one",
        id="traffic",
        show=False,
    ),
    Binding("p", "play", "Hold time, or let it go on", id="time.play", show=False),
    Binding("full_stop", "step(1)", "One record on (live: a second)", id="time.step", show=False),
    Binding("comma", "step(-1)", "One record back", id="time.back", show=False),
    Binding("greater_than_sign", "leap(1)", "A twentieth on", id="time.on", show=False),
    Binding("less_than_sign", "leap(-1)", "A twentieth back", id="time.ago", show=False),
    Binding("right_curly_bracket", "mark(1)", "To the next finding", id="time.mark", show=False),
    Binding(
        "left_curly_bracket", "mark(-1)", "To the finding before", id="time.before", show=False
    ),
    Binding("right_square_bracket", "pace(1)", "Play faster", id="time.faster", show=False),
    Binding("left_square_bracket", "pace(-1)", "Play slower", id="time.slower", show=False),
    Binding("at", "time", "Go to a moment", id="time.go", show=False),
    Binding("c", "copy", "Copy", id="copy", tooltip="Copy evidence and remedy of what is selected"),
    Binding("w", "write", "Write what is selected to a file", id="write", show=False),
    Binding("u", "functions", "Kernel functions on the way", id="functions", show=False),
    Binding("t", "theme", "Dark, light, or the terminal's own colours", id="theme", show=False),
    Binding("d", "degraded", "What is degraded or missing", id="degraded", show=False),
    Binding(
        "ctrl+p", "command_palette", "Palette", id="palette", show=False, tooltip="Find a command"
    ),
    Binding("tab", "app.focus_next", "Next table", id="focus.next", show=False),
    Binding("shift+tab", "app.focus_previous", "Table before", id="focus.before", show=False),
    Binding("question_mark", "keys", "Help", key_display="?", id="help"),
    Binding("q", "leave", "Quit", id="quit"),
    Binding("ctrl+c", "interrupt", "Interrupt", id="interrupt", show=False, priority=True),
]

_THEMES = ("textual-dark", "textual-light", "ansi-dark", "ansi-light", "textual-ansi")
"""Those named ``ansi``, of which a version of Textual has some, use the terminal's own sixteen
colours; NO_COLOR takes all colours away."""
COMMANDS = {
    "freeze",
    "order",
    "reverse",
    "all_flows",
    "filter",
    "page",
    "group",
    "all_traffic",
    "copy",
    "write",
    "theme",
    "functions",
    "find",
    "find_next",
    "play",
    "step",
    "leap",
    "mark",
    "pace",
    "time",
}
"""Actions of single keys, which mean nothing while text is typed."""


def next_theme(theme: str, available: Container[str]) -> str:
    """The theme after this one."""
    themes = [name for name in _THEMES if name in available]
    at = themes.index(theme) if theme in themes else -1
    return themes[(at + 1) % len(themes)]
