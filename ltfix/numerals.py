"""Labels that are written as text: which are numbers, and which are none, by one rule for all."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

MOST_CLASSES = 10_000_000  # a larger label is no class index, and naming or counting so many takes the memory
_NOTHING = {"", "nan", "none", "null", "na", "n/a", "#n/a", "<na>"}  # as tools write a cell without a value
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


def missing(texts: Iterable[str], named: Container[str] = ()) -> int | None:
    """The first of these labels that is none: empty, ``nan`` and the like where no class is ``named`` so."""
    nothing = ((at, text) for at, text in enumerate(texts) if text.strip().casefold() in _NOTHING)
    return next((at for at, text in nothing if not text.strip() or text not in named), None)


def no_label(text: str, name: str) -> tuple[str, str]:
    """What is wrong with a label that is ``missing``, and what to do; ``name`` says how a class is named."""
    if not text.strip():
        return "the row has no label", "give its class, or leave the row out"
    return f"the row has no label but {text!r}", f"leave the row out; {name} where a class is called so"


def counted(k: int) -> tuple[str, ...]:
    """The names of K classes that are known by their numbers alone."""
    return tuple(map(str, range(k)))
