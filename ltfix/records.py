"""JSON on disk, held against a dataclass: complete and right, or one line that names file and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from ltfix import files
from ltfix.errors import InputError

Record = TypeVar("Record")
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of samples, as an int64 holds it."""
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}


def read_record(kind: type[Record], path: Path | str, format: str | None = None) -> Record:
    """The record that a JSON file holds; errors as of :func:`record_of`, or of a file that cannot be read."""
    return record_of(kind, files.read_json(path), path, format)


def record_of(
    kind: type[Record], value: Any, where: object, format: str | None = None, hint: str | None = None
) -> Record:
    """A JSON object as a record of a dataclass, whose annotations say what each key may be.

    Keys that the dataclass does not know are left out: a later version may have written them.

    Args:
        where: the file it was read from.
        format: the key ``format`` must say this, or an earlier version of it.
        hint: what to do about a wrong file.

    Raises:
        InputError: naming the file and the key that is missing or wrong.
    """
    if not isinstance(value, dict):
        raise InputError("it holds no JSON object", where=where, hint=hint)
    if format is not None:
        files.check_format(value.get("format"), format, where)
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError) as err:  # the latter of half a surrogate pair
        raise InputError(_told(str(err)), where=where, hint=hint) from err


def _told(text: str) -> str:
    """The package's message in our words: ``its shards[0].n: expected a whole number, got a text``."""
    what, _, key = text.rstrip("`").partition(" - at `$")
    said = re.sub("`([^`]*)`?", lambda found: _plain(found[1]), what[:1].lower() + what[1:])
    lacks = said.removeprefix("object missing required field ")
    subject = f"its {key.lstrip('.')}" if key else "it"
    return f"{subject} lacks {lacks}" if lacks != said else f"{subject}: {said}" if key else said


def _plain(kinds: str) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))
