"""The linear probe: what stands in for a stage-1 classifier that did not come with the features."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ltfix._version import __version__
from ltfix.errors import LtfixError
from ltfix.features import manifest
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import PROBE, Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting.logistic import BLOCK_VALUES, Point, Problem, approach
from ltfix.stage2.fitting.newton import finish
from ltfix.stage2.fitting.validation import FRACTION, cut, mean_class_accuracy
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling

PENALTIES = (1e-4, 1e-5, 1e-6, 1e-7)
TOLD = ("from", "penalty", "chosen_on")
"""What is said of a probe by the heads that begin at it."""

ENOUGH, CUTS = 500, 5
"""Samples to choose a penalty on. Where a cut has fewer, several do, so many at most."""
WIDEST, LARGEST_CUT = 2048, 1 << 20
"""Dimensions, and weights, above which one cut does: each costs an eigenbasis and four solutions."""
NEAR = 1e-3
"""Solutions that only choose a penalty are left where a step promises less than this share of f."""
LOOSER = 3.0
"""A cut's probe, which only helps to choose, may end with a step that promises so many times as much."""


@dataclasses.dataclass(frozen=True, slots=True)
class Effort:
    """How far a probe is solved.

    Attributes:
        epochs: of minibatches, where nothing is known and from another penalty's solution.
        passes: to its end at most, for a penalty that is tried and for the one that is taken.
        tolerance: it ends where a step promises less than this share of the objective.
        usual: about so many passes that takes, for a penalty that is tried and for the one that is taken.
        dtype: what is computed in.
        near: as ``tolerance``, for a penalty that is tried.
    """

    epochs: tuple[int, int]
    passes: tuple[int, int]
    tolerance: float
    usual: tuple[int, int]
    dtype: torch.dtype = torch.float32
    near: float = NEAR

    def expected(self, cuts: int) -> int:
        """About so many passes, where the penalty is to be found on so many cuts; 0: it is known."""
        return self.epochs[0] + cuts * len(PENALTIES) * (self.epochs[1] + self.usual[0]) + self.usual[1]


EFFORTS = (
    (
        1 << 20,
        Effort((5, 0), passes=(20, 200), tolerance=1e-10, usual=(6, 12), dtype=torch.float64, near=1e-6),
    ),
    (1 << 31, Effort((2, 0), passes=(40, 200), tolerance=3e-5, usual=(9, 26))),
    (1 << 63, Effort((3, 2), passes=(0, 7), tolerance=3e-5, usual=(0, 7))),
)
"""For small, middle and large problems, told by the multiplications of all samples with the weight. Small
ones are solved to many digits; of large ones a pass takes seconds, and they end after seven."""


def find_probe(
    data: Features,
    device: torch.device,
    *,
    beside: FeatureCache | None = None,
    normalize: str = "none",
    penalty: float | None = None,
    progress: Progress = SILENT,
) -> Head:
    """The linear probe as :func:`fit_probe` finds it, kept in the folder of its cache.

    One that lies there is taken where solving again would give the same bytes. A bare file, or a folder that
    cannot be written, keeps none; one of features normalised otherwise takes no other's place, but for that
    of the features as they are.

    Args:
        beside: the cache that ``data`` are all samples of; None keeps and takes nothing.
        normalize, penalty: of :func:`fit_probe`.
    """
    if beside is not None and beside.path.is_file() and _cost(data) > EFFORTS[0][0]:
        hint = "`ltfix import` makes a cache of it, which keeps the probe"
        progress.note(f"the linear probe of a lone file is solved at every fit: {hint}")
    if beside is None or beside.fingerprint is None or not beside.path.is_dir():
        return fit_probe(data, device, normalize=normalize, penalty=penalty, progress=progress)
    how: dict[str, Any] = {
        "normalize": normalize,
        "penalties": list(PENALTIES),
        "chosen": [CUTS, ENOUGH],
        "views_used": data.views_used,
        "streamed": data.streamed,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "versions": {"ltfix": __version__, "torch": torch.__version__},
    }
    found = beside.kept_probe()
    if found is not None and found.meta.get("solved") == how and found.n_classes == beside.n_classes:
        kept = found.meta.get("penalty")
        if kept in PENALTIES:
            return dataclasses.replace(found, meta={k: found.meta[k] for k in TOLD if k in found.meta})
    head = fit_probe(data, device, normalize=normalize, penalty=penalty, progress=progress)
    if found is not None and normalize not in ("none", found.meta.get("solved", {}).get("normalize")):
        return head  # the row of what was before repairs stays that of the features as they are
    meta = {**head.meta, "cache": beside.fingerprint, "solved": how}
    named = dataclasses.replace(head, classes=beside.classes, counts=beside.counts, meta=meta)
    with contextlib.suppress(LtfixError):
        named.save(beside.path / manifest.PROBE)
    return head


def fit_probe(
    data: Features,
    device: torch.device,
    *,
    normalize: str = "none",
    penalty: float | None = None,
    progress: Progress = SILENT,
) -> Head:
    """The linear probe: multinomial logistic regression with an L2 penalty.

    The problem is convex, so the solver decides nothing (:mod:`ltfix.stage2.fitting.newton`). The penalty,
    relative to features of unit mean square norm, is weakened along ``PENALTIES``, each solution the next
    one's start. That of the highest mean class accuracy on a class-wise cut of the samples is taken (on
    several where one has few), the strongest of equals: a tie or a dip on the way ends nothing, since few
    samples make one. The probe is then fitted on all samples. No array of samples × classes is made, and
    features that are streamed are read once a pass. ``normalize`` is done to them first, and folded back. A
    ``penalty`` that is given is taken.

    Returns:
        A linear head of raw features; its ``meta`` is ``{"from": "probe", "penalty": …, "chosen_on": …}``,
        the last where samples chose the penalty.
    """
    scaling = Scaling.of(data.some_rows(), "auto", normalize)
    effort, known = _effort(data), penalty is not None
    cuts = [] if known else _cuts(data)
    progress.start("linear probe" + " of a cut" * known, effort.expected(len(cuts)), "passes")
    start, chosen_on = None, ""
    if penalty is None:
        penalty, start, chosen_on = _choose_penalty(data, cuts, normalize, device, progress)
    else:
        effort = dataclasses.replace(effort, tolerance=LOOSER * effort.tolerance)
    problem = Problem(data, scaling, device, progress, effort.dtype)
    at = problem.zero() if start is None else problem.point(start)
    at = approach(problem, at, penalty, effort.epochs[start is not None])
    found, _, _ = finish(problem, at, penalty, tolerance=effort.tolerance, most=effort.passes[1])
    progress.finish()
    meta = {"from": PROBE, "penalty": penalty, **({"chosen_on": chosen_on} if chosen_on else {})}
    return dataclasses.replace(problem.head(found), method=PROBE, meta=meta)


def _cost(data: Features) -> int:
    """Multiplications of all samples with the weight."""
    return len(data) * data.dim * len(data.counts)


def _effort(data: Features) -> Effort:
    return next(effort for most, effort in EFFORTS if _cost(data) <= most)


def _cuts(data: Features) -> list[tuple[np.ndarray, np.ndarray]]:
    """The cuts that choose a penalty, the same for every seed, so that one probe serves all; none where every
    class has one sample."""
    first = cut(data, seed=0)
    wanted = min(math.ceil(ENOUGH * data.copies / max(len(first[1]), 1)), CUTS)
    if data.dim > WIDEST or data.dim * len(data.counts) > LARGEST_CUT:
        wanted = 1
    found = [first, *(cut(data, seed=0, fold=fold) for fold in range(1, wanted))]
    distinct = {held.tobytes(): (train, held) for train, held in found if len(held)}  # small classes repeat
    return list(distinct.values())


def _choose_penalty(
    data: Features,
    cuts: Sequence[tuple[np.ndarray, np.ndarray]],
    normalize: str,
    device: torch.device,
    progress: Progress,
) -> tuple[float, Point | None, str]:
    """The penalty that does best on the cuts, its plain solution without the first, and the cuts in words."""
    if not cuts:
        return PENALTIES[0], None, ""
    effort, scores, starts = _effort(data), dict[float, float](), dict[float, Point]()
    said = {penalty: list[np.ndarray]() for penalty in PENALTIES}
    labels = np.concatenate([data.labels[held] for _, held in cuts])
    for number, (train, held) in enumerate((data.subset(t), data.subset(h)) for t, h in cuts):
        scaling = Scaling.of(train.some_rows(), "auto", normalize)
        problem = Problem(train, scaling, device, progress, effort.dtype)
        for tried, at in _path(problem, effort):
            said[tried].append(_predict(problem.head(at), held))
            if number == len(cuts) - 1:
                scores[tried] = mean_class_accuracy(np.concatenate(said.pop(tried)), labels)
            best = max(scores, key=scores.__getitem__, default=tried)
            if number == 0 and best == tried:  # of one cut, which may be large, the best alone is kept
                starts = {**(starts if len(cuts) > 1 else {}), tried: problem.plain(at)}
    taken = max(scores, key=scores.__getitem__)
    words, each = ("a class-wise cut", "") if len(cuts) == 1 else (f"{len(cuts)} class-wise cuts", " each")
    share = f"{FRACTION:.0%}, {len(cuts[0][1]) // data.copies} samples{each}"
    return taken, starts[taken], f"{words} of the training samples ({share})"


def _path(problem: Problem, effort: Effort) -> Iterator[tuple[float, Point]]:
    """Each penalty and about its solution, which is the next one's start."""
    at = problem.zero()
    for number, penalty in enumerate(PENALTIES):
        at = approach(problem, at, penalty, effort.epochs[number > 0])
        if effort.passes[0]:
            at, _, _ = finish(problem, at, penalty, tolerance=effort.near, most=effort.passes[0])
        yield penalty, at


def _predict(head: Head, data: Features) -> np.ndarray:
    found = np.empty(len(data), np.int64)  # filled in place: arrays kept between blocks tear the heap
    rows = max(1, BLOCK_VALUES // head.n_classes)
    for part, x in data.mean_views():
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            found[part.start + start : part.start + start + len(some)] = head.logits(some).argmax(1)
    return found
