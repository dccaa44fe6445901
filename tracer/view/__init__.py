"""What a screen shows of a pipeline: a question as a value, the answer as texts.

A ``ViewQuery`` names a *page* and a window of its rows; the ``View``, which lives on the
pipeline's thread and answers between two batches, makes a ``Snapshot``: the page's
*sheet* (titles and the texts of the rows around the visible ones), the details of what
is selected, findings, and figures. A screen shares nothing with the pipeline.

Work grows with the flows only in whole columns; texts are made for visible rows.
What a table of flows does not keep (single events, packets, changes of node and
cluster) is remembered here within bounds, and only while somebody looks.
"""

from __future__ import annotations

from tracer.view.answers import View
from tracer.view.query import Page, Snapshot, Standing, ViewQuery
from tracer.view.sheet import Heading, Line, Sheet, Tone, detail_from, sheet_of
from tracer.view.tape import Mark, Player, Tape, marks_of

__all__ = [
    "Heading",
    "Line",
    "Mark",
    "Page",
    "Player",
    "Sheet",
    "Snapshot",
    "Standing",
    "Tape",
    "Tone",
    "View",
    "ViewQuery",
    "detail_from",
    "marks_of",
    "sheet_of",
]
