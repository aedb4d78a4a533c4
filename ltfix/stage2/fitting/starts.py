"""Where training starts: the stage-1 classifier, the linear probe, class means or noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch

from ltfix.heads.head import NORM_FLOOR, Head
from ltfix.progress import SILENT, Progress
from ltfix.seeds import derive
from ltfix.stage2.fitting.probe import fit_probe
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Coordinates, Linear

Probe = tuple[np.ndarray, np.ndarray, float]
"""Weight [K, D], bias [K] over raw features, and the penalty."""


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """A linear classifier to begin with, in the fit's coordinates, and what it is.

    Attributes:
        kind: "stage1", "probe", "class-mean" or "random" (then ``linear`` is None: each seed draws its own).
        penalty: the probe's L2 penalty.
    """

    kind: str
    linear: Linear | None
    penalty: float | None = None

    def of_seed(self, seed: int, n_classes: int, dim: int) -> Linear:
        """The start of one run; noise is uniform in ±1/√D, as the framework initialises a linear layer."""
        if self.linear is not None:
            return self.linear
        rng = np.random.default_rng(derive(seed, "init"))
        bound = 1 / math.sqrt(dim)
        weight = rng.uniform(-bound, bound, (n_classes, dim)).astype(np.float32)
        return Linear(weight, rng.uniform(-bound, bound, n_classes).astype(np.float32))

    def record(self) -> dict[str, object]:
        """What the head file keeps of it."""
        return {"from": self.kind} | ({} if self.penalty is None else {"penalty": self.penalty})


def find_start(
    kind: str,
    stage1: Head | None,
    data: Features,
    coordinates: Coordinates,
    *,
    seed: int = 0,
    device: torch.device,
    progress: Progress = SILENT,
    probe: Callable[[], Probe] | None = None,
) -> Start:
    """The start a method asks for; "stage1" means the probe where no classifier came with the cache.

    Args:
        seed: of the cut on which the probe's penalty is chosen.
        probe: what ``fit_probe`` gives for this data and seed, where it is kept.
    """
    if kind == "stage1" and stage1 is not None:
        return Start(kind, coordinates.into(Linear(stage1.weight, stage1.bias)))
    if kind == "random":
        return Start(kind, None)
    if kind == "class-mean":
        mean = class_means(data, coordinates)
        unit = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), NORM_FLOOR)
        return Start(kind, Linear(unit, np.zeros(len(unit), np.float32)))
    weight, bias, penalty = probe() if probe is not None else fit_probe(data, seed, device, progress)
    return Start("probe", coordinates.into(Linear(weight, bias)), penalty)


def class_means(data: Features, coordinates: Coordinates) -> np.ndarray:
    """Mean feature of each class in ``coordinates``, [K, D] float32; zero for a class without samples."""
    total = np.zeros((len(data.counts), data.dim))
    for part, x in data.mean_views():
        np.add.at(total, data.labels[part], coordinates.apply(torch.from_numpy(x)).numpy())
    sizes = np.bincount(data.labels, minlength=len(total))
    return (total / np.maximum(sizes, 1)[:, None]).astype(np.float32)
