"""The table of figures. A figure is one module and one line here."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ltfix import files

if TYPE_CHECKING:
    from ltfix.report.canvas import Panel
    from ltfix.report.subject import Subject

FIGURES = (
    "counts",
    "gains",
    "accuracy",
    "norms",
    "logits",
    "loma",
    "reliability",
    "confusions",
    "cosines",
    "fisher",
    "comparison",
    "sensitivity",
    "training",
    "evolution",
)
FORMAT = "ltfix-figures/1"


class Figure(Protocol):
    """What a figure's module has.

    Attributes:
        TITLE: what stands above it. READ: one sentence that says how to read it.
        OF: the report of `evaluate` that it draws; empty for others.
    """

    TITLE: str
    READ: str
    OF: str

    def data(self, subject: Subject) -> dict[str, Any]:
        """The numbers that are drawn, as plain JSON values; empty where there is nothing to draw."""

    def panels(self, data: dict[str, Any]) -> Sequence[Panel]:
        """What draws them, one panel a head or a result."""


def load(name: str) -> Figure:
    """The figure of a name of ``FIGURES``."""
    return cast(Figure, importlib.import_module(f"{__name__}.{name}"))


def figures_of(report: str) -> list[Figure]:
    """The figures that draw a report of `evaluate`."""
    return [figure for figure in map(load, FIGURES) if report == figure.OF]


def panels_of(figure: Figure, data: dict[str, Any]) -> Sequence[Panel]:
    """A figure's panels; heads of the same numbers, as a calibrated head and its plain one, share one."""
    together: dict[str, dict[str, Any]] = {}
    for head in data.get("heads", ()):
        told = files.to_json({**head, "name": ""})
        key = str(json.loads(told, parse_float=lambda number: f"{float(number):.4g}"))
        alike = together.get(key)
        together[key] = head if alike is None else {**head, "name": f"{alike['name']} = {head['name']}"}
    return figure.panels({**data, "heads": list(together.values())} if together else data)


Drawn = Sequence[tuple[Figure, dict[str, Any]]]
"""Figures, each with what it draws."""


def write(drawn: Drawn, path: Path, *, overwrite: bool) -> None:
    """Figures as one picture, or, in a file that ends in .json, the numbers that they draw.

    Raises:
        EnvironmentFault, UsageError: as :func:`ltfix.report.canvas.draw_file`.
    """
    from ltfix.report.canvas import draw_file

    if path.suffix.lower() == ".json":
        figures = {cast(Any, figure).__name__.rpartition(".")[2]: data for figure, data in drawn}
        text = files.to_json({"format": FORMAT, "figures": figures}) + "\n"
        files.write_text(path, text, overwrite=overwrite)
    else:
        draw_file([p for figure, data in drawn for p in panels_of(figure, data)], path, overwrite=overwrite)
