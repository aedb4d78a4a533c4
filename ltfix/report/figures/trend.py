"""What figures over the training samples share: dots of classes, and the mean of classes of alike count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ltfix.evaluation.shots import SHOTS
from ltfix.report.canvas import COLOURS, Axes, log_scale

GROUPS = 12
FEW_DOTS, MOST_DOTS = 40, 600
"""Of more classes only the trend is drawn, of more groups."""


def trend(counts: Sequence[int], values: Sequence[float | None]) -> list[dict[str, float]]:
    """Mean, tenth and ninetieth percentile of ``values`` in groups of classes of alike count.

    Returns:
        ``count`` (geometric mean), ``mean``, ``low`` and ``high`` of each group, by rising count.
    """
    import numpy as np

    known = [(max(n, 1), value) for n, value in zip(counts, values, strict=True) if value is not None]
    known.sort(key=lambda pair: pair[0])
    groups = min(GROUPS if len(known) <= MOST_DOTS else 4 * GROUPS, len(known))
    found = []
    for part in np.array_split(np.array(known), groups) if known else ():
        low, high = np.percentile(part[:, 1], [10, 90])
        count = math.exp(np.log(part[:, 0]).mean())
        found.append({"count": count, "mean": part[:, 1].mean(), "low": low, "high": high})
    return [{key: float(value) for key, value in group.items()} for group in found]


def against_counts(axes: Axes, data: dict[str, Any], head: dict[str, Any], scale: float = 1) -> None:
    """A head's values over the counts, its trend, and that of the first head."""
    x = [max(n, 1) for n in data["counts"]]
    if len(x) <= MOST_DOTS:
        size = 3.6 if len(x) > FEW_DOTS else 5.5
        for index, shot in enumerate(SHOTS):
            mine = [k for k, of in enumerate(data["shots"]) if of == index and head["values"][k] is not None]
            y = [scale * head["values"][k] for k in mine]
            axes.plot([x[k] for k in mine], y, "o", ms=size, mew=0, alpha=0.8, zorder=3, color=COLOURS[shot])
    else:
        low, high = ([scale * group[end] for group in head["trend"]] for end in ("low", "high"))
        axes.fill_between(
            [group["count"] for group in head["trend"]], low, high, color=COLOURS["many"], alpha=0.2, lw=0
        )
    first = data["heads"][0]
    if head is not first:
        _line(axes, first["trend"], scale, ls="--", lw=1, color=COLOURS["muted"])
    _line(axes, head["trend"], scale, lw=1.6, color=COLOURS["ink"])
    log_scale(axes)


def _line(axes: Axes, groups: Sequence[dict[str, float]], scale: float, **how: Any) -> None:
    axes.plot([group["count"] for group in groups], [scale * group["mean"] for group in groups], **how)
