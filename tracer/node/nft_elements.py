"""Elements of nftables sets and maps, whether named or written in a rule."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.node.nft_ruleset import Json, NftSet


def add_elements(home: NftSet, elements: Sequence[Json]) -> None:
    """Put elements in the form of ``nft -j`` into a set; in a map they are (key, value) pairs."""
    for element in elements:
        pair = isinstance(element, list) and len(element) == 2
        key, value = (
            (element[0], element[1]) if pair and isinstance(element, list) else (element, None)
        )
        key, comment = _bare(key)
        parts = key_parts(key)
        if all(isinstance(part, str | int) for part in parts):
            exact = tuple(map(str, parts))
            home.exact[exact] = value
            if comment:
                home.comments[exact] = comment
        else:
            home.ranges.append((parts, value))


def anonymous(elements: Sequence[Json]) -> NftSet:
    """A set without a name, as it stands in a rule."""
    made = NftSet("")
    add_elements(made, elements)
    return made


def key_parts(key: Json) -> tuple[Json, ...]:
    """The parts of a concatenated key; a plain key has one."""
    if isinstance(key, dict) and isinstance(key.get("concat"), list):
        return tuple(key["concat"])
    return (key,)


def _bare(key: Json) -> tuple[Json, str]:
    """Without the wrapping that carries a comment or a timeout."""
    inner = key.get("elem") if isinstance(key, dict) else None
    if isinstance(inner, dict) and "val" in inner:
        return inner["val"], str(inner.get("comment", ""))
    return key, ""
