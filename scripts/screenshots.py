"""Pictures of the screen from recorded incidents: ``python -m scripts.screenshots [FOLDER]``.

Each is the real screen over the real pipeline, with keys pressed as a user would.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lab.incidents import INCIDENTS
from tracer.commands.reel import Reel
from tracer.commands.replay_run import Replay, prepared
from tracer.session import Session
from tracer.tempo import FULL_SPEED, Tempo
from tracer.tui.app import TracerApp
from tracer.view import Standing, ViewQuery

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
_FONT = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)
"""The export names fonts of another machine: a picture should ask nobody for anything."""


class Picture(NamedTuple):
    """One picture: a recording, a size, and the keys that lead to it."""

    name: str
    scenario: str
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (150, 40)


PICTURES_WANTED = (
    Picture("blackholes", "ipvs-external-ip-is-node-ip", ("2",)),
    Picture("translations", "refused-by-backend", ("down", "down")),
    Picture("path", "refused-by-backend", ("down",) * 7 + ("enter",)),
    Picture("services", "endpoint-removal-lag", ("3", "down")),
    Picture("events", "endpoint-removal-lag", ("4",)),
    Picture("packets", "ipvs-round-robin", ("down", "5", "down")),
    Picture("node", "ipvs-external-ip-is-node-ip", ("6",)),
    Picture("light", "svc-no-endpoints", ("t", "2"), (100, 30)),
    Picture("small", "ipvs-external-ip-is-node-ip", (), (80, 24)),
    *(Picture(item.picture, item.scenario, item.keys) for item in INCIDENTS),
)


def opened(folder: Path) -> TracerApp:
    """The screen over a recording that has been read to its end."""
    tempo = Tempo()
    run, reel = prepared(Replay((folder,)), tempo), Reel(tempo, FULL_SPEED)
    session = Session(run.sources, run.pipeline, [], live=False, backend=run.backend())
    session.on_ready = lambda: run.begin(session)
    session.on_snapshot = lambda _: None
    session.run()
    reel.read_through(run.pipeline)

    def ask(query: ViewQuery) -> None:
        shot = session.view.answer(run.pipeline, query, session.backend, run.notes)
        app.show(replace(reel.placed(shot), standing=Standing(run.names())))

    app = TracerApp(ask, run.title, player=reel)
    app.end(None)
    return app


async def draw(picture: Picture, recordings: Path) -> str:
    """The picture as SVG."""
    app = opened(recordings / picture.scenario)
    async with app.run_test(size=picture.size) as pilot:
        await pilot.pause()
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause(0.3)
        await pilot.pause(0.6)
        svg = app.export_screenshot(title="viptrace")
    # Spaces at the ends of a text hold its place: renderers would leave them out.
    return _FONT.sub("", svg).replace("<svg ", '<svg xml:space="preserve" ', 1)


def main() -> None:
    """Write all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES_WANTED:
        svg = asyncio.run(draw(picture, ROOT / "pcaps"))
        (folder / f"{picture.name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
