"""What tars hold, kept beside the caches, so that another extraction need not read them whole again."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from ltfix import files
from ltfix.errors import LtfixError
from ltfix.images.places import is_remote, look_at
from ltfix.records import Count, read_record

FORMAT = "ltfix-index/1"
FOLDER = ".index"
Size = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
TarRow = tuple[str, str | int | float | None, Count, Size]
"""A name, the label that lies beside it, where its data begin, and their bytes; -1: a label alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class TarIndex:
    """The rows of a tar of so many bytes, and the stamp of its times."""

    format: str
    size: Count
    stamp: Count
    rows: list[TarRow]


class Indexes:
    """The indexes of tars in a folder of caches, and in those of one's own beside it.

    Args:
        out: the folder of caches; None: nothing is known or kept.
    """

    def __init__(self, out: Path | None = None) -> None:
        self.out, self._made = out, dict[str, TarIndex]()

    @functools.cached_property
    def _folders(self) -> list[Path]:
        if self.out is None:
            return []
        own = getattr(os, "geteuid", lambda: 0)()  # what others laid there could give other labels
        beside = [place for place in self.out.parent.glob(f"*/{FOLDER}") if place.stat().st_uid == own]
        return [self.out / FOLDER, *sorted(beside)]

    def rows(self, path: str, about: str, make: Callable[[], list[TarRow]]) -> list[TarRow]:
        """What is known of a tar as it is now, else what ``make`` finds in it.

        Args:
            about: what else decides the rows.
        """
        if self.out is None:
            return make()
        size, stamp = look_at(path)
        if not stamp:  # the server tells no version, and tars of one size are common
            return make()
        where = path if is_remote(path) else os.path.abspath(path)  # noqa: PTH100 - links stay
        name = f"{files.sha256_texts([about, where])[:32]}.json"
        for folder in self._folders:
            with contextlib.suppress(LtfixError):  # it is not there, or damaged: the tar says it again
                found = read_record(TarIndex, folder / name, FORMAT)
                if (found.size, found.stamp) == (size, stamp):
                    return found.rows
        rows = make()
        self._made[name] = TarIndex(FORMAT, size, stamp, rows)
        return rows

    def keep(self) -> None:
        """Write what was made, where that can be: it saves time alone."""
        for name, index in self._made.items():
            path = self._folders[0] / name
            content = {field.name: getattr(index, field.name) for field in dataclasses.fields(index)}
            with contextlib.suppress(LtfixError), files.os_errors(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_text(path, files.to_json(content))
