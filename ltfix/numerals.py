"""Labels that are numbers written as text: what they count, by one rule for lists, files and arrays."""

from __future__ import annotations

import re

MOST_CLASSES = 10_000_000  # a larger label is no class index, and naming or counting so many takes the memory
_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0*)?")


def whole_number(text: str) -> int | None:
    """What a text like ``7``, ``+7`` or ``7.0`` counts, or None where it is no whole number."""
    match = _WHOLE.fullmatch(text)
    if match is None:
        return None
    try:
        return int(match[1])
    except ValueError:  # more digits than Python takes for a number
        return MOST_CLASSES


def counted(k: int) -> tuple[str, ...]:
    """The names of K classes that are known by their numbers alone."""
    return tuple(map(str, range(k)))
