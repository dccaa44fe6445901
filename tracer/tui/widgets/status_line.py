"""The two lines on top: where we are, how fast it goes, and what is missing."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive
from textual.widgets import Static

from tracer.cells import count_text
from tracer.plain import harmless, shortened
from tracer.view import Page, Snapshot, ViewQuery

BAD, WARN, GOOD, DIM = "bold red", "yellow", "green", "dim"


class StatusLine(Static):
    """Shows the newest snapshot's figures."""

    title: reactive[str] = reactive("live")
    snapshot: reactive[Snapshot] = reactive(Snapshot(ViewQuery()))
    ended: reactive[bool] = reactive(False)

    def render(self) -> Text:
        """Two lines; the second one holds everything that was lost or is degraded."""
        return Text("\n").join([self._where(), self._figures()])

    def _where(self) -> Text:
        """In full words where they fit, else the bare facts."""
        room = self.size.width - self.styles.padding.width
        full = self._facts(harmless(self.title), ("node ", "kube-proxy ", "backend ", "names "))
        if full.cell_len <= room:
            return full
        return self._facts(shortened(harmless(self.title), 24), ("", "", "", "names "))

    def _facts(self, title: str, words: tuple[str, str, str, str]) -> Text:
        shot = self.snapshot
        line = Text.assemble(("viptrace", "bold"), f" {title}")
        if self.ended:
            line.append(" (ended)", DIM)
        if shot.query.frozen:
            line.append("  FROZEN", "bold reverse")
        if shot.standing.recording:
            line.append(f"  ● {harmless(shot.standing.recording)}", BAD)
        facts = (shot.node, shot.proxy_mode or "mode unknown", shot.backend, shot.standing.names)
        for word, fact in zip(words, facts, strict=True):
            line.append(f"  {word}{shortened(harmless(fact), 40 if words[0] else 20)}" * bool(fact))
        line.append(_shown(shot))
        if shot.query.filter:
            line.append(f"  filter {harmless(shot.query.filter)}", WARN)
        return line

    def _figures(self) -> Text:
        shot = self.snapshot
        line = _findings(shot)
        line.append(
            f"  {count_text(int(shot.event_rate))} events/s  "
            f"{count_text(int(shot.packet_rate))} packets/s  "
        )
        line.append(_loss(shot), BAD if shot.lost else "")
        if shot.damaged:
            line.append(f"  damaged {shot.damaged}", BAD)
        if shot.degraded:
            more = f" {len(shot.degraded)} (d)" if len(shot.degraded) > 1 else ""
            line.append(f"  degraded{more}: {harmless(shot.degraded[0])}", WARN)
        return line


def _shown(shot: Snapshot) -> str:
    """How many rows there are of what."""
    rows, flows = count_text(shot.sheet.count), count_text(shot.total)
    if shot.query.page is not Page.TRANSLATIONS:
        of_flow = f" of flow {shot.of_flow} (x: of all)" if shot.of_flow else ""
        return f"  {rows} rows{of_flow}" if shot.sheet.count or of_flow else ""
    return (
        f"  {flows} flows by {shot.query.group}"
        if shot.query.group
        else f"  {rows} of {flows} flows"
    )


def _findings(shot: Snapshot) -> Text:
    # A style of the whole text would reach what is appended to it.
    if shot.critical_count:
        found = (f"{shot.critical_count} CRITICAL of {shot.open_count} findings", BAD)
    elif shot.open_count:
        found = (f"{shot.open_count} finding{'s' * (shot.open_count > 1)}", WARN)
    else:
        found = ("no findings", GOOD)
    return Text.assemble(found)


def _loss(shot: Snapshot) -> str:
    """Names only the places where something was lost."""
    if not shot.lost:
        return "lost 0"
    parts = {
        "events": shot.lost.kernel,
        "packets": shot.lost.socket,
        "batched": shot.lost.queue,
    }
    return "lost " + ", ".join(f"{count} {part}" for part, count in parts.items() if count)
