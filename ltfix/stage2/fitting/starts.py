"""Where training starts: the stage-1 classifier, the linear probe, class means or noise.

The record of a start names a function of this file. It gets the features, the scaling to start in, the
classifier that came with the features (or None), and what gives their linear probe. It returns what gives
the run of a seed its start: a linear head in that scaling, whose ``meta`` says what it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.heads.head import Head, load_head
from ltfix.heads.vectors import NORM_FLOOR
from ltfix.seeds import derive
from ltfix.stage2.fitting.posthoc import class_means
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling

Probe = Callable[[], Head]
Starter = Callable[[int], Head]


def stage1(data: Features, scaling: Scaling, given: Head | None, probed: Probe) -> Starter:
    """The stage-1 classifier that came with the features, else the probe."""
    if given is None:
        return probe(data, scaling, given, probed)
    start = scaling.into(Head(given.weight, given.bias, meta={"from": "stage1"}))
    return lambda seed: start


def probe(data: Features, scaling: Scaling, given: Head | None, probed: Probe) -> Starter:
    """The linear probe of the features."""
    start = scaling.into(probed())
    return lambda seed: start


def class_mean(data: Features, scaling: Scaling, given: Head | None, probed: Probe) -> Starter:
    """The direction of each class's mean feature."""

    @functools.cache
    def found() -> Head:
        mean = class_means(data.blocks(scaling), len(data.counts), data.dim)[0].astype(np.float32)
        unit = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), NORM_FLOOR)
        return Head(unit, np.zeros(len(unit), np.float32), meta={"from": "class-mean"})

    return lambda seed: found()


def given_head(
    own: Path | Head, data: Features, scaling: Scaling, given: Head | None, probed: Probe
) -> Starter:
    """A head, or that of a file, without its temperature. That it fits was seen before."""
    found = own if isinstance(own, Head) else load_head(own)
    divided = np.ones(1) if found.temperature is None else found.temperature
    weight, bias = found.weight / divided[:, None], found.bias / divided
    start = scaling.into(Head(weight, bias, meta=told_of(own)))
    return lambda seed: start


def told_of(own: Path | Head) -> dict[str, str]:
    """What the file of a head says that was fitted from this one, or is it."""
    sha256 = files.sha256_bytes(own.pack("init")) if isinstance(own, Head) else files.sha256_file(own)
    return {"from": "head", "file": own.name, "sha256": sha256}


def random(data: Features, scaling: Scaling, given: Head | None, probed: Probe) -> Starter:
    """Noise, of each seed its own."""
    return lambda seed: noise(seed, len(data.counts), data.dim)


def noise(seed: int, n_classes: int, dim: int) -> Head:
    """A head of uniform noise in ±1/√D, as the framework initialises a linear layer."""
    rng = np.random.default_rng(derive(seed, "init"))
    bound = 1 / math.sqrt(dim)
    weight = rng.uniform(-bound, bound, (n_classes, dim)).astype(np.float32)
    bias = rng.uniform(-bound, bound, n_classes).astype(np.float32)
    return Head(weight, bias, meta={"from": "random"})
