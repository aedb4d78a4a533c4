"""How sure the difference of two heads is: a paired bootstrap over the test samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ltfix.evaluation.shots import SHOTS

RESAMPLES = 2000
LEVEL = 0.95
_CHUNK_VALUES = 1 << 21

Interval = dict[str, float]


def paired_difference(
    ours: np.ndarray,
    theirs: np.ndarray,
    labels: np.ndarray,
    shots: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Accuracy of one head minus another's on the same samples, with its percentile interval.

    Each class's samples are drawn with replacement, as many as there are, so every resample has the
    classes of the test set; both heads see the same draw. A sample counts +1, 0 or -1 (only ours right,
    equal, only theirs), hence a class's resampled sum is exactly a multinomial draw. A class with one
    test sample does not vary: intervals of sets that hold few samples a class are too narrow.

    Args:
        ours, theirs: [N] bool, whether each head was right.
        labels: [N] true classes.
        shots: [K] shot index per class.
        resamples: how many draws.
        level: coverage of the interval.
        seed: of the draws.

    Returns:
        For ``all`` (mean over samples), ``class_mean``, ``many``, ``medium`` and ``few`` (means of class
        accuracies): ``value``, ``low`` and ``high`` as fractions; None for a shot without a tested class.
    """
    n_classes = len(shots)
    tested = np.bincount(labels, minlength=n_classes)
    won = np.bincount(labels[ours & ~theirs], minlength=n_classes)
    lost = np.bincount(labels[theirs & ~ours], minlength=n_classes)
    observed = _summaries((won - lost)[None], tested, shots)
    drawn = [_summaries(sums, tested, shots) for sums in _resampled(won, lost, tested, resamples, seed)]
    tails = [100 * (1 - level) / 2, 100 * (1 + level) / 2]
    found: dict[str, Interval | None] = {}
    for name, (value,) in observed.items():
        low, high = np.percentile(np.concatenate([chunk[name] for chunk in drawn]), tails)
        known = {"value": float(value), "low": float(low), "high": float(high)}
        found[name] = None if np.isnan(value) else known
    return found


def _resampled(
    won: np.ndarray, lost: np.ndarray, tested: np.ndarray, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """Resampled sums of won minus lost samples, [R, K] in chunks whose size does not grow with K."""
    share = np.stack([won, lost, tested - won - lost], 1) / np.maximum(tested, 1)[:, None]
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // (3 * len(tested)))
    for start in range(0, resamples, step):
        counted = rng.multinomial(tested, share, size=(min(step, resamples - start), len(tested)))
        yield counted[..., 0] - counted[..., 1]


def _summaries(sums: np.ndarray, tested: np.ndarray, shots: np.ndarray) -> dict[str, np.ndarray]:
    """All and the shots of per-class sums [R, K], [R] each; NaN where a shot has no tested class."""
    found = {"all": sums.sum(1) / tested.sum()}
    of = {"class_mean": np.ones(len(shots), bool), **{shot: shots == i for i, shot in enumerate(SHOTS)}}
    for shot, members in of.items():
        mine = members & (tested > 0)
        mean = (sums[:, mine] / tested[mine]).mean(1) if mine.any() else np.full(len(sums), np.nan)
        found[shot] = mean
    return found
