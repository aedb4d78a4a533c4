"""What a command found, whichever command it was, and how it is written."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from ltfix import notebook
from ltfix.errors import UsageError, extra
from ltfix.evaluation.formats import FORMATS, raw_values
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

    def __str__(self) -> str:
        """The tables as the command line prints them into a file."""
        return "\n\n".join(map(str, self.tables()))

    __repr__ = __str__  # what a shell shows; the arrays are in to_dict()

    @property
    def gates(self) -> list[dict[str, Any]]:
        """The gates that it was held to, each with ``head``, ``name``, ``bar``, ``value`` and ``passed``."""
        return list(self.to_dict().get("gates", ()))

    def _repr_html_(self) -> str:
        """What a notebook shows: the tables, the best of a column in bold."""
        return "\n".join(
            notebook.table(t.title, [c.title for c in t.shown], t.cells(), bold=t.best(), notes=t.below)
            for t in self.tables()
        )

    def to_pandas(self) -> Any:
        """The first table's raw values as a ``pandas.DataFrame``, columns as in the csv.

        Raises:
            EnvironmentFault: pandas is not installed.
        """
        with extra("pandas"):
            import pandas
        first = self.tables()[0]
        header, rows = raw_values(first.tidy or first)
        return pandas.DataFrame(rows, columns=header)

    def shown(self, digits: int) -> list[Table]:
        """The tables with so many decimals of percentages."""
        return [dataclasses.replace(table, digits=digits) for table in self.tables()]

    def render(self, form: str, digits: int = 1) -> str:
        """All of it as text in a format of :data:`~ltfix.evaluation.formats.FORMATS`, percentages that
        people read with so many decimals.

        Raises:
            UsageError: another format, or one that shows gates where there is none.
        """
        if form not in FORMATS:
            raise UsageError(f"no such text format: {form!r}", hint=f"known: {', '.join(FORMATS)}")
        return FORMATS[form](self.to_dict(), self.shown(digits))
