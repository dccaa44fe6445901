"""Looking for a text in the rows of a page, a window at a time, from where the cursor is."""

from __future__ import annotations

from tracer.view import Sheet

WINDOW = 1000


class Search:
    """Walks once round all rows; whoever owns it fetches the windows."""

    def __init__(self, text: str, origin: int, count: int, back: bool = False) -> None:
        """``origin``: the first position to look at."""
        self.text = text
        self._low = text.lower()
        self._back, self._count = back, count
        self._at = origin % count if count else 0
        self._left = count

    @property
    def exhausted(self) -> bool:
        """Every row has been looked at."""
        return self._left <= 0

    def window(self) -> tuple[int, int]:
        """First position and number of rows to look at next."""
        if self._back:
            height = min(WINDOW, self._at + 1, self._left)
            return self._at + 1 - height, height
        return self._at, min(WINDOW, self._count - self._at, self._left)

    def look(self, sheet: Sheet) -> int:
        """Position of the first row of the window that holds the text, else -1 and go on."""
        start, height = self.window()
        places = range(
            max(start - sheet.start, 0), min(start - sheet.start + height, len(sheet.cells))
        )
        for place in reversed(places) if self._back else places:
            if any(self._low in cell.lower() for cell in sheet.cells[place]):
                return sheet.start + place
        self._left -= max(height, 1)
        self._at = (start - 1 if self._back else start + height) % max(self._count, 1)
        return -1
