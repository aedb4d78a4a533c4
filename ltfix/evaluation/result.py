"""What a command found, whichever command it was, and how it is written."""

from __future__ import annotations

import abc
from typing import Any

from ltfix.errors import UsageError
from ltfix.evaluation.formats import FORMATS
from ltfix.evaluation.table import Table


class Result(abc.ABC):
    """What a command found: one JSON document, and the tables that people read."""

    __slots__ = ()

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The JSON of docs/format.md: fractions, None where there is no value."""

    @abc.abstractmethod
    def tables(self) -> list[Table]:
        """What people read; the first one is also the csv."""

    @property
    def gates(self) -> list[dict[str, Any]]:
        """The gates that it was held to, each with ``head``, ``name``, ``bar``, ``value`` and ``passed``."""
        return list(self.to_dict().get("gates", ()))

    def render(self, form: str) -> str:
        """All of it as text in a format of :data:`~ltfix.evaluation.formats.FORMATS`.

        Raises:
            UsageError: another format, or one that shows gates where there is none.
        """
        if form not in FORMATS:
            raise UsageError(f"no such text format: {form!r}", hint=f"known: {', '.join(FORMATS)}")
        return FORMATS[form](self.to_dict(), self.tables())
