"""Where training starts: the stage-1 classifier, the linear probe, class means or noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ltfix.heads.head import NORM_FLOOR, Head
from ltfix.heads.posthoc import class_means
from ltfix.seeds import derive
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Coordinates


def find_start(
    kind: str, data: Features, coordinates: Coordinates, *, stage1: Head | None, probe: Callable[[], Head]
) -> Callable[[int], Head]:
    """Where the run of a seed starts: a linear head in ``coordinates``, whose ``meta`` says what it is.

    Args:
        kind: "stage1", "probe", "class-mean" or "random".
        stage1: the classifier that came with the features; without one, "stage1" means the probe.
        probe: gives the linear probe of ``data``, for raw features.
    """
    if kind == "random":
        return lambda seed: noise(seed, len(data.counts), data.dim)
    if kind == "class-mean":
        mean = class_means(data.blocks(coordinates), len(data.counts), data.dim)[0].astype(np.float32)
        unit = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), NORM_FLOOR)
        start = Head(unit, np.zeros(len(unit), np.float32), meta={"from": kind})
    elif kind == "stage1" and stage1 is not None:
        start = coordinates.into(Head(stage1.weight, stage1.bias, meta={"from": kind}))
    else:
        start = coordinates.into(probe())
    return lambda seed: start


def noise(seed: int, n_classes: int, dim: int) -> Head:
    """A head of uniform noise in ±1/√D, as the framework initialises a linear layer."""
    rng = np.random.default_rng(derive(seed, "init"))
    bound = 1 / math.sqrt(dim)
    weight = rng.uniform(-bound, bound, (n_classes, dim)).astype(np.float32)
    bias = rng.uniform(-bound, bound, n_classes).astype(np.float32)
    return Head(weight, bias, meta={"from": "random"})
