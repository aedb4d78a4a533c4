"""The linear probe: what stands in for a stage-1 classifier that did not come with the features."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
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
    """

    epochs: tuple[int, int]
    passes: tuple[int, int]
    tolerance: float
    usual: tuple[int, int]
    dtype: torch.dtype = torch.float32

    def expected(self, penalty: float | None) -> int:
        """About so many passes, where the penalty is to be found, or where it is known."""
        tried = 0 if penalty is not None else len(PENALTIES)
        return self.epochs[0] + tried * (self.epochs[1] + self.usual[0]) + self.usual[1]


EFFORTS = (
    (1 << 20, Effort((5, 0), passes=(20, 200), tolerance=1e-10, usual=(6, 12), dtype=torch.float64)),
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
        "told": list(TOLD),
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
    one's start. That of the highest mean class accuracy on a class-wise cut of the samples is taken, the
    strongest of equals: a tie or a dip on the way ends nothing, since few samples make one. The probe is then
    fitted on all samples. No array of samples × classes is made, and features that are streamed are read once
    a pass. ``normalize`` is done to them first, and folded back. A ``penalty`` that is given is taken.

    Returns:
        A linear head of raw features; its ``meta`` is ``{"from": "probe", "penalty": …, "chosen_on": …}``,
        the last where samples chose the penalty.
    """
    scaling = Scaling.of(data.some_rows(), "auto", normalize)
    effort = _effort(data)
    progress.start("linear probe" + " of a cut" * (penalty is not None), effort.expected(penalty), "passes")
    start, chosen_on = None, ""
    if penalty is None:
        penalty, start, chosen_on = _choose_penalty(data, normalize, device, progress)
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


def _choose_penalty(
    data: Features, normalize: str, device: torch.device, progress: Progress
) -> tuple[float, Point | None, str]:
    """The penalty that does best on a class-wise cut, the plain solution without that cut, and the cut in
    words: the same for every seed, so that one probe serves all."""
    train, held = (data.subset(index) for index in cut(data, seed=0))
    penalty, best, found = PENALTIES[0], -1.0, None
    if not len(held):
        return penalty, found, ""
    effort = _effort(data)
    problem = Problem(train, Scaling.of(train.some_rows(), "auto", normalize), device, progress, effort.dtype)
    for tried, at in _path(problem, effort):
        score = mean_class_accuracy(_predict(problem.head(at), held), held.labels)
        if score > best:
            penalty, best, found = tried, score, problem.plain(at)
    size = len(held) // data.copies
    return penalty, found, f"a class-wise cut of the training samples ({FRACTION:.0%}, {size} samples)"


def _path(problem: Problem, effort: Effort) -> Iterator[tuple[float, Point]]:
    """Each penalty and about its solution, which is the next one's start."""
    at = problem.zero()
    for number, penalty in enumerate(PENALTIES):
        at = approach(problem, at, penalty, effort.epochs[number > 0])
        if effort.passes[0]:
            at, _, _ = finish(problem, at, penalty, tolerance=NEAR, most=effort.passes[0])
        yield penalty, at


def _predict(head: Head, data: Features) -> np.ndarray:
    found = np.empty(len(data), np.int64)  # filled in place: arrays kept between blocks tear the heap
    rows = max(1, BLOCK_VALUES // head.n_classes)
    for part, x in data.mean_views():
        for start in range(0, len(x), rows):
            some = x[start : start + rows]
            found[part.start + start : part.start + start + len(some)] = head.logits(some).argmax(1)
    return found
