"""From panels to pictures: SVG for the page, or one file of all panels (matplotlib, the extra ``plot``)."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ltfix import files
from ltfix.errors import EnvironmentFault, UsageError, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes  # noqa: PLC0414 - for the figures
else:
    Axes = Any  # matplotlib is an extra, and this its name in annotations

SUFFIXES = (".png", ".pdf", ".svg", ".json")
COLOURS = {  # each is the page's CSS variable of that name, which has another value on a dark page
    "ink": "#1c2127",
    "muted": "#69727d",
    "grid": "#dde2e8",
    "many": "#2f6db5",
    "medium": "#7d5ba6",
    "few": "#d4682a",
    "all": "#1c2128",
    "fifth": "#2a8f62",
    "heat": "#2f6db6",
}
LINES = ("many", "few", "fifth", "medium", "muted", "ink")
"""Colours of lines that are no shots, in order."""
MAP, FONT = "cividis", "DejaVu Sans"
ABOVE = "above"
"""The label of a legend between the axes and their title."""
WIDTH, HEIGHT, MOST_COLUMNS = 3.5, 2.5, 4  # inches of a panel, and panels side by side in a file
_STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # names are hostile text: a $ is a dollar
    "svg.fonttype": "none",
}


class Panel(NamedTuple):
    """One pair of axes: what stands above it, what draws it, and how high it is in inches."""

    title: str
    draw: Callable[[Axes], None]
    height: float = HEIGHT


def demand_plotting(path: Path) -> None:
    """Refuse what could not be drawn: no matplotlib (EnvironmentFault), no kind of picture (UsageError)."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"no picture is called {path.name}", where="plot", hint=f"use {', '.join(SUFFIXES)}")
    if path.suffix.lower() != ".json" and importlib.util.find_spec("matplotlib") is None:
        hint = 'pip install "ltfix[plot]", or take the numbers: plot=numbers.json'
        raise EnvironmentFault("matplotlib is not installed", where="plot", hint=hint)


def draw_file(panels: Sequence[Panel], path: Path, *, overwrite: bool = True) -> None:
    """All panels in one picture; equal panels give equal bytes.

    Raises:
        EnvironmentFault, UsageError: as :func:`demand_plotting`, or nothing is to be drawn.
    """
    demand_plotting(path)
    if not panels:
        raise UsageError("there is nothing to draw", where="plot")
    columns = min(MOST_COLUMNS, math.ceil(math.sqrt(len(panels))))
    kind = path.suffix.lower()[1:]
    with _styled("ltfix"):
        figure, cells = _figure(math.ceil(len(panels) / columns), columns, max(p.height for p in panels))
        for panel, axes in zip(panels, cells, strict=False):
            panel.draw(axes)
            legend = axes.get_legend()
            above = legend is not None and legend.get_label() == ABOVE
            axes.set_title(line(panel.title, 48), pad=18 if above else None)
        for axes in cells[len(panels) :]:
            axes.set_axis_off()
        undated: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, metadata=undated, dpi=160)
    files.write_bytes(path, drawn.getvalue(), overwrite=overwrite)


def draw_svg(panel: Panel, name: str) -> str:
    """A panel as an ``<svg>`` whose ids begin with ``name``; the page has ``COLOURS`` as CSS variables."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with _styled(name):
        figure, (axes,) = _figure(1, 1, panel.height)
        panel.draw(axes)
        for patch in (figure.patch, *(each.patch for each in figure.axes)):
            patch.set_facecolor("none")
        drawn = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(drawn, metadata={"Date": None})  # savefig would draw it twice
    return _for_page(drawn.getvalue(), name)


@contextlib.contextmanager
def _styled(salt: str) -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({**_STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+")  # a name in letters that the font lacks
        yield


def _figure(rows: int, columns: int, height: float) -> tuple[Any, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * columns, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _for_page(svg: str, name: str) -> str:
    """What matplotlib wrote, without its head and style, with ids of its own and the page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", body, flags=re.S
    )
    return re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], name), re.sub(r">\s+<", "><", body)).strip()


def _tag(tag: str, name: str) -> str:
    if tag.startswith("<svg"):
        box = re.search(r'viewBox="[^"]*"', tag)
        return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true" {box[0] if box else ""}>'
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)  # nothing refers to these
    tag = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    for variable, said in {**COLOURS, "sans": f"'{FONT}'"}.items():
        tag = tag.replace(said, f"var(--{variable})")
    return tag


def line(text: str, most: int = 40) -> str:
    """Text that can be drawn: what does not print is a ``?``, and it is not too long."""
    text = readable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def label(axes: Axes, x: str, y: str) -> None:
    """Name the axes."""
    axes.set_xlabel(line(x))
    axes.set_ylabel(line(y))


def legend_above(axes: Axes) -> None:
    """A legend of few entries in one row above the axes, where no line runs."""
    legend = axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=1, handletextpad=0.4)
    legend.set_label(ABOVE)


def plain(value: float) -> str:
    """A number on an axis: 0.001, 20, 5000."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if 1e-4 <= abs(value) < 1e6 else f"{value:g}"


def log_scale(axes: Axes, which: str = "x") -> None:
    """A logarithmic axis whose decades are written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
