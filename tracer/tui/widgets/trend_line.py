"""New flows, failures and time to answer as sparklines, on one line."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive
from textual.widgets import Static

from tracer.cells import count_text
from tracer.view.charts import sparkline
from tracer.view.trends import STEPS, Trends, Values

_WORDS = 21
"""Width of the words around one sparkline."""


class TrendLine(Static):
    """As many steps as there is room for; each line is scaled to its own largest value."""

    trends: reactive[Trends] = reactive(Trends())

    def render(self) -> Text:
        """Three sparklines with the latest and the largest value."""
        width = min(max(self.size.width // 3 - _WORDS, 5), STEPS)
        trends = self.trends
        return Text("  ").join(
            [
                _part("new/s", trends.flows, width, "cyan"),
                _part("bad/s", trends.bad, width, "red"),
                _part("answer ms", trends.answer_ms, width, "green"),
            ]
        )


def _part(title: str, values: Values, width: int, style: str) -> Text:
    shown = values[-width:]
    most = max(shown, default=0.0)
    return Text.assemble(
        (f"{title} ", "dim"),
        (sparkline(shown).rjust(width, " "), style),
        (f" max {_number(most)}", "dim"),
    )


def _number(value: float) -> str:
    """Three digits that mean something, never an exponent."""
    return count_text(round(value)) if value >= 100 else f"{value:.3g}"
