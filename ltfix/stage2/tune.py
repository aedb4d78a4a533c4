"""What a fit leaves open is chosen here, by mean class accuracy on validation samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ltfix.stage2.coordinates import Linear
from ltfix.stage2.runs import Fitter
from ltfix.stage2.select import BY, Validation
from ltfix.stage2.values import CHOSEN, Values

RATES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
"""--tune tries these multiples of a method's rate …"""
SCALES = (0.5, 1.0, 2.0)
"""… on features of these multiples of the scale it would take, with every value of the method's grid."""

MakeFitter = Callable[[float], Fitter]


def candidates(values: Values, tune: bool) -> list[Values]:
    """The settings to try: the grids of values without a default, and with ``tune`` the method's grid too.

    A value that was given is not searched.
    """
    spec = values.method.values()
    grids: dict[str, Sequence[Any]] = {}
    for name, value in spec.items():
        if values[name] is None and value.grid:
            grids[name] = value.grid
    if tune:
        for name, tried in values.method.grid.items():
            if values.origin.get(name) == "default":
                grids[name] = tried
        if values.origin.get("lr") == "default":
            grids["lr"] = [factor * values["lr"] for factor in RATES]
    names = list(grids)
    return [
        values.choose(**dict(zip(names, point, strict=True))) for point in itertools.product(*grids.values())
    ]


def choose(
    make: MakeFitter,
    validation: Validation,
    tried: Sequence[Values],
    scales: Sequence[float],
    seed: int,
) -> tuple[Values, float, dict[str, Any]]:
    """Fit every candidate on ``validation.train`` and take the best.

    Returns:
        The values, the multiple of the feature scale, and the record for the head file. Equal scores
        go to the candidate nearest the middle of the grid in order of listing, then the first.
    """
    points: list[tuple[Values, float, float]] = []
    for scale in scales:
        fitter = make(scale)
        for values, linear in zip(tried, fitter.fit(tried, [seed])[0], strict=True):
            points.append((values, scale, validation.score(linear)))
    best = int(np.argmax([score for *_, score in points]))
    values, scale, score = points[best]
    names = [name for name, origin in values.origin.items() if origin == CHOSEN]
    record = {
        "chosen": names + (["feature_scale"] if len(scales) > 1 else []),
        "by": BY,
        "on": validation.where,
        "score": round(score, 6),
        "tried": [
            {
                **{name: v[name] for name in names},
                **({"scale": s} if len(scales) > 1 else {}),
                "score": round(p, 6),
            }
            for v, s, p in points
        ],
    }
    return values, scale, record


def best_epoch(fitter: Fitter, validation: Validation, values: Values, seed: int) -> tuple[int, list[float]]:
    """The number of epochs after which a run scores best, and the score after each."""
    scores: list[float] = []

    def watch(epoch: int, found: list[list[Linear]]) -> None:
        scores.append(validation.score(found[0][0]))

    fitter.watch = watch
    fitter.fit([values], [seed])
    fitter.watch = None
    return int(np.argmax(scores)) + 1, scores
