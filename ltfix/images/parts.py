"""``train=F,test=G``: which files are the splits of a source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ltfix.errors import InputError, UsageError
from ltfix.images.places import demand_file, expand, folder_of, is_remote, is_stream, is_there
from ltfix.images.source import bare_name


def open_parts(kind: str, rest: str, split: Sequence[str]) -> dict[str, list[str]]:
    """The files of each split.

    Args:
        kind: the prefix, for messages.
        rest: what stands behind it: files, URLs or patterns, as ``train=F,test=G`` or one for a bare source.
        split: the splits asked for.

    Raises:
        UsageError: a split is given twice or without a file, or several are asked of a bare source.
        InputError: a file is missing.
    """
    parts = split_parts(rest, kind=kind)
    if parts is None:
        parts = {bare_name(split, f"{kind}:{rest}"): rest}
    found = {name: expand(pattern) for name, pattern in parts.items()}
    for paths in found.values():
        for path in paths:
            demand_file(path)
    return found


def base_of(file: str, root: str | None) -> str:
    """Where the paths of a list or a table start from; InputError where ``root`` is no folder."""
    if root is None:
        return folder_of(file)
    if not is_remote(root) and not Path(root).is_dir():
        hint = "root=DIR is the folder that the list's paths start from"
        raise InputError("no such folder", where=root, hint=hint)
    return root


def split_parts(rest: str, folder: Path = Path(), *, kind: str = "list") -> dict[str, str] | None:
    """The file of each split in ``train=F,test=G``; None where it is one file.

    Commas and equal signs may be part of a path: another split begins only where the path before it is that
    of a file and would be none if it went on.

    Args:
        rest: what stands behind ``list:``.
        folder: where its paths start from.
        kind: the prefix, for messages.

    Raises:
        UsageError: a split is given twice or without a file.
    """

    def can_be_read(path: str) -> bool:
        if is_stream(path) or is_remote(path):
            return "," not in path
        return is_there(os.path.join(folder, path))  # noqa: PTH118 - it may be no path

    if can_be_read(rest) or not re.match(r"[\w-]+=", rest):
        return None
    wrong = UsageError(f"expected {kind}:train=F,test=G", where=f"{kind}:{rest}")
    parts = _cut(rest, lambda path, longer: can_be_read(path) and not can_be_read(longer), wrong)
    if not all(map(can_be_read, parts.values())):  # a file is missing: name that one
        parts = _cut(rest, lambda path, longer: True, wrong)
        if any("," in path and "{" not in path for path in parts.values()):
            raise wrong
    return parts


def _cut(rest: str, ends: Callable[[str, str], bool], wrong: UsageError) -> dict[str, str]:
    """``name=path`` between commas; ``ends`` tells of a path, and of it with the next part, if it ends."""
    parts: dict[str, str] = {}
    name = ""
    for item in rest.split(","):
        split, equals, path = item.partition("=")
        longer = f"{parts.get(name)},{item}"
        if name and not (equals and re.fullmatch(r"[\w-]+", split) and ends(parts[name], longer)):
            parts[name] = longer
            continue
        if not path or split in parts:
            raise wrong
        name = split
        parts[name] = path
    return parts
