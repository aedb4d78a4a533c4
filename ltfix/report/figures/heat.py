"""What heat maps share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltfix.report.canvas import COLOURS, Axes, line

FAINTEST, STRONGEST = 0.06, 0.72  # of the colour, so that ink is read on it, on light and dark pages


def heat_map(
    axes: Axes,
    shares: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float] | None = None,
) -> None:
    """Fractions [R, C] as cells that are written in percent; a cell without a value stays empty."""
    from matplotlib.patches import Rectangle

    values = np.array(shares, np.float64)
    low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    for (i, j), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        strength = FAINTEST + (STRONGEST - FAINTEST) * (value - low) / max(high - low, 1e-9)
        cell = Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, color=COLOURS["heat"], alpha=strength, lw=0)
        axes.add_patch(cell)
        axes.text(j + 0.5, i + 0.5, f"{100 * value:.1f}", ha="center", va="center")
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [line(name, 12) for name in columns])
    axes.set_yticks(np.arange(len(rows)) + 0.5, [line(name, 12) for name in rows])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
