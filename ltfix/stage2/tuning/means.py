"""The directions of the class means, a classifier that ``auto`` averages with what it takes.

What fits nothing cannot fit noise, and errs elsewhere than what was trained. So the mean of the two is seldom
much behind the better one, where validation samples cannot tell which that is.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ltfix.heads.head import Head
from ltfix.heads.vectors import NORM_FLOOR, unit_vectors
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.posthoc import class_means
from ltfix.stage2.fitting.runs import never_predict
from ltfix.stage2.loop.data import Features

NAME = "class means"
ROWS = 1024
"""So many training samples tell how far logits spread."""


def mean_directions(material: Material, data: Features) -> Head:
    """Logits (c_k − c)·(x − c) / ‖c_k − c‖: c_k the class means of ``data``, c their mean."""
    scaling = material.scaling(data, material.natural)
    means, counts = class_means(data.blocks(scaling), len(data.counts), data.dim)
    center = means[counts > 0].mean(0)
    rows = unit_vectors(means - center)
    return never_predict(scaling.back(Head(rows, -rows @ center, method=NAME)), counts == 0)


def averaged(head: Head, material: Material, data: Features) -> Head:
    """(z/s + z'/s') · s/2: a linear head's logits z and z' of :func:`mean_directions`, at the scale of z.

    s and s' are how far they spread: the root mean square, over samples and classes, of logits centred over
    the classes that have samples.
    """
    means, there = mean_directions(material, data), data.counts > 0
    x = data.some_rows()
    x = x[np.linspace(0, len(x) - 1, min(len(x), ROWS)).astype(np.int64)]
    share = _spread(head, x, there) / max(_spread(means, x, there), NORM_FLOOR)
    weight, bias = ((getattr(head, a) + share * getattr(means, a)) / 2 for a in ("weight", "bias"))
    found = dataclasses.replace(head, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    return never_predict(found, ~there)


def _spread(head: Head, x: np.ndarray, there: np.ndarray) -> float:
    z = head.logits(x)[:, there].astype(np.float64)
    return float(np.sqrt(np.square(z - z.mean(1, keepdims=True)).mean()))
