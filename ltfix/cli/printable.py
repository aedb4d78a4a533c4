"""Text that comes from files, made safe to print: a name may hold sequences that a terminal obeys."""

from __future__ import annotations

import re

# control characters (but tab and line break), what turns the direction of text, and halves of surrogate pairs
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """``text`` with every character that a terminal would obey, or not take, written as JSON escapes it.

    >>> printable("\\x1b[2Jcat")
    '\\\\u001b[2Jcat'
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
