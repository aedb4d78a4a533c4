"""How sure a row of several seeds is, and whether it differs from another beyond chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Z95 = 1.959963984540054
ALPHA = 0.05


def sample_interval(correct: np.ndarray) -> dict[str, float]:
    """The 95 % interval of an accuracy that the sample of the test set leaves open, by the normal law.

    Args:
        correct: [S, N], whether each seed's head was right on each sample.

    Returns:
        ``low`` and ``high`` as fractions.
    """
    each = correct.mean(0)
    half = Z95 * float(each.std()) / math.sqrt(len(each))
    mean = float(each.mean())
    return {"low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def paired_test(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """The difference of two accuracies on the same samples, over samples and seeds.

    A two-sided z-test whose variance is that of the samples' paired differences, each the mean over its
    seeds, plus that of either's mean over seeds. What seeds change is counted in both, so it errs on the
    side of no difference.

    Args:
        ours, theirs: [S, N], whether each seed's head was right; S may differ.

    Returns:
        ``value``, its 95 % interval ``low`` and ``high``, and ``p``.
    """
    paired = ours.mean(0) - theirs.mean(0)
    variance = float(paired.var()) / len(paired)
    for side in (ours, theirs):
        if len(side) > 1:
            variance += float(side.mean(1).var(ddof=1)) / len(side)
    value, error = float(paired.mean()), math.sqrt(variance)
    p = math.erfc(abs(value) / error / math.sqrt(2)) if error else float(value == 0)
    return {"value": value, "low": value - Z95 * error, "high": value + Z95 * error, "p": p}


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """The p-values of several tests, each raised so that all hold together (Holm, 1979)."""
    order: Sequence[str] = sorted(p, key=p.__getitem__)
    found, least = {}, 0.0
    for place, name in enumerate(order):
        least = max(least, min(1.0, p[name] * (len(order) - place)))
        found[name] = least
    return found
