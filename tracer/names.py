"""Text as small numbers: an append-only registry, so that columns hold integers."""

from __future__ import annotations

from collections.abc import Mapping


class Names:
    """Number 0 is "no name"; a number, once given, means the same text for ever."""

    def __init__(self) -> None:
        self._texts: list[str] = [""]
        self._numbers: dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return len(self._texts)

    def number(self, text: str) -> int:
        """The number of this text, given now if it is new."""
        known = self._numbers.get(text)
        if known is None:
            known = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return known

    def text(self, number: int) -> str:
        """The text of a number; empty for 0 and for a number never given."""
        return self._texts[number] if 0 <= number < len(self._texts) else ""

    def snapshot(self) -> Mapping[int, str]:
        """Every number given so far with its text."""
        return dict(enumerate(self._texts))


class Texts:
    """Texts under numbers that sources gave: what a batch's text ids mean."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def bind(self, texts: Mapping[int, str]) -> None:
        """Take the bindings that a batch brings."""
        self._texts.update(texts)

    def text(self, number: int) -> str:
        """The text of a number; empty where no source has said."""
        return self._texts.get(number, "")
