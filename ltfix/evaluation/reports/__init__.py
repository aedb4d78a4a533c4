"""The table of reports. A report is one module and one line here; extensions use an entry point."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from ltfix.errors import InputError, UsageError, nearest

if TYPE_CHECKING:
    from ltfix.evaluation.report import Report
    from ltfix.evaluation.table import Table
    from ltfix.evaluation.testset import TestSet
    from ltfix.heads.head import Head

ENTRY_POINTS = "ltfix.reports"
BUILT_IN = ("many-medium-few", "per-class", "calibration", "confusion", "logits", "features")


class ReportKind(Protocol):
    """What a report module (or any object behind an entry point) must have."""

    def measure(self, head: Head, test: TestSet) -> dict[str, Any]:
        """What a row of the JSON says of one head, as plain JSON values."""

    def about(self, test: TestSet) -> dict[str, Any]:
        """Further top-level keys of the JSON, of the cache alone; empty for most."""

    def table(self, report: Report) -> Table:
        """The table that people and csv readers get."""


def lookup(name: str) -> ReportKind:
    """The report of a name: built in, else from the entry points ``ltfix.reports`` of installed packages.

    Raises:
        UsageError: there is none; the nearest names are offered.
        InputError: an extension of that name does not load or lacks a function.
    """
    if name in BUILT_IN:
        module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
        return cast(ReportKind, module)
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise UsageError(f"no report {name!r}", where="report", hint=nearest(name, {*BUILT_IN, *found}))
    try:
        kind = found[name].load()
    except Exception as err:
        raise InputError(f"the report {name!r} does not load: {err}", where=found[name].value) from err
    missing = [part for part in ("measure", "about", "table") if not callable(getattr(kind, part, None))]
    if missing:
        raise InputError(f"the report {name!r} has no {', '.join(missing)}", where=found[name].value)
    return cast(ReportKind, kind)
