"""What options say in text: numbers, counts, ``key=value``."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from ltfix.errors import UsageError

_WORDS = {"true": True, "false": False, "none": None}


def demand(command: str, **values: str | None) -> None:
    """Refuse to start without an option that has no default.

    Raises:
        UsageError: naming the first one, and its place in ltfix.toml.
    """
    for name, value in values.items():
        if not value:
            raise UsageError(
                f"--{name} is needed",
                where=f"ltfix {command}",
                hint=f"give it, or write {name} under [{command}] in ltfix.toml",
            )


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """``0.5,0.5,0.5`` as numbers; None stays None.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as err:
        raise UsageError(f"expected numbers like 0.5,0.5,0.5, found {text!r}", where=option) from err


def count(text: str, option: str) -> int | None:
    """A whole number; None for ``auto``.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"expected a whole number or auto, found {text!r}", where=option)
    return int(text)


def pair(text: str, option: str, command: str) -> tuple[str, str]:
    """``key=value`` as its two parts, ``-`` in the key read as ``_``.

    Raises:
        UsageError: there is no ``=`` or no key.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} takes KEY=VALUE, found {text!r}", where=f"ltfix {command}")
    return name.replace("-", "_"), value


def pairs(items: Sequence[str], option: str, command: str) -> dict[str, Any]:
    """:func:`pair` items by key, values by :func:`literal`."""
    return {key: literal(text) for key, text in (pair(item, option, command) for item in items)}


def literal(text: str) -> Any:
    """A number, a list, true, false or none where the text is one; else the text."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
