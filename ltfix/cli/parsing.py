"""What options say in text: numbers, counts, ``key=value``."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from typing import Any

from ltfix.errors import UsageError

_WORDS = {"true": True, "false": False, "none": None}


def numbers(text: str, flag: str) -> tuple[float, ...]:
    """``0.5,0.5,0.5`` as numbers; UsageError where it is something else."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise UsageError(f"expected numbers like 0.5,0.5,0.5, found {text!r}", where=flag)
    return found


def count(text: str, flag: str) -> int | None:
    """A whole number; None for ``auto``; else UsageError."""
    if text == "auto":
        return None
    if not text.isdecimal() or len(text) > 18:
        raise UsageError(f"expected a whole number or auto, found {text!r}", where=flag)
    return int(text)


def pairs(items: Sequence[str], flag: str) -> dict[str, str]:
    """``key=value`` items (else UsageError) by key, ``-`` in it read as ``_``; of one key the last."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} takes KEY=VALUE, found {item!r}")
        found[name.replace("-", "_")] = value
    return found


def literal(text: str) -> Any:
    """A number, a list, true, false or none where the text is one; else the text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: what is nested too deep
        return text
