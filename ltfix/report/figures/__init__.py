"""The table of figures. A figure is one module and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from ltfix.report.canvas import Panel
    from ltfix.report.subject import Subject

FIGURES = (
    "counts",
    "gains",
    "accuracy",
    "norms",
    "logits",
    "reliability",
    "confusions",
    "cosines",
    "comparison",
    "sensitivity",
    "training",
)


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


def figure_of(report: str) -> Figure | None:
    """The figure that draws a report of `evaluate`; None where none does."""
    return next((figure for figure in map(load, FIGURES) if report == figure.OF), None)
