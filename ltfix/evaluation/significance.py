"""How sure a row of several seeds is, and whether it differs from another beyond chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ltfix.evaluation.shots import SHOTS
from ltfix.evaluation.table import ALPHA

_Z2 = 1.959963984540054**2
_ANGLES = np.linspace(0, math.pi / 2, 20_001)
_MOST_FREEDOM = 1e4  # from there on Student's law is the normal one


def sample_interval(correct: np.ndarray) -> dict[str, float]:
    """The 95 % interval of an accuracy that the sample of the test set leaves open (Wilson, 1927).

    The mean over seeds varies less than a single head does, as if the test set were that much larger.

    Args:
        correct: [S, N], whether each seed's head was right on each sample.

    Returns:
        ``low`` and ``high`` as fractions; they differ where every sample is right, too.
    """
    each = correct.mean(0)
    mean, variance = float(each.mean()), float(each.var())
    n = len(each) * (mean * (1 - mean) / variance if variance else 1.0)
    middle, half = mean + _Z2 / (2 * n), math.sqrt(_Z2 * (mean * (1 - mean) / n + _Z2 / (4 * n * n)))
    return {"low": (middle - half) / (1 + _Z2 / n), "high": (middle + half) / (1 + _Z2 / n)}


def paired_test(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """The difference of two accuracies on the same samples, over samples and seeds.

    A two-sided t-test. Its variance is that of the samples' differences, each the mean over its seeds, if
    there were none between the heads (of single runs McNemar's test), plus that of either's mean over seeds;
    its degrees of freedom are those of the sum (Satterthwaite, 1946). The difference is one sample, 1/n,
    nearer to 0 and the interval as much wider at both ends: the correction for continuity. What seeds change
    is counted in both, so it errs on the side of no difference.

    Args:
        ours, theirs: [S, N], whether each seed's head was right, or that times the weight of a sample, whose
            mean is 1; S may differ.

    Returns:
        ``value``, its 95 % interval ``low`` and ``high``, and ``p``.
    """
    paired = ours.mean(0) - theirs.mean(0)
    n, value = len(paired), float(paired.mean())
    parts = [(float((paired**2).mean()) / n, n)]
    parts += [(float(s.mean(1).var(ddof=1)) / len(s), len(s) - 1) for s in (ours, theirs) if len(s) > 1]
    error = math.sqrt(sum(variance for variance, _ in parts))
    if not error:
        return {"value": value, "low": value, "high": value, "p": 1.0}
    freedom = error**4 / sum(variance**2 / of for variance, of in parts)
    step = 1 / n
    p, limit = _student(max(0.0, abs(value) - step) / error, freedom)
    half = limit * error + step
    return {"value": value, "low": max(-1.0, value - half), "high": min(1.0, value + half), "p": p}


def differences(correct: Mapping[str, np.ndarray], against: str) -> dict[str, dict[str, Any]]:
    """Of every other row its :func:`paired_test` against one, and ``p_holm``, raised to hold for all."""
    found = {name: paired_test(mine, correct[against]) for name, mine in correct.items() if name != against}
    held = holm({name: test["p"] for name, test in found.items()})
    return {name: {**test, "p_holm": held[name]} for name, test in found.items()}


def differences_by_shot(
    correct: Mapping[str, np.ndarray], against: str, labels: np.ndarray, shots: np.ndarray
) -> dict[str, dict[str, Any]]:
    """The same of all samples and, under the name of each shot, of its classes, which count alike.

    Args:
        correct: row -> [S, N], whether each seed's head was right. labels: [N]. shots: [K], as ``Shots.of``.

    Returns:
        Row -> its test; a shot without a tested class is None.
    """
    found = differences(correct, against)
    for number, shot in enumerate(SHOTS):
        of = labels[members := shots[labels] == number]
        tested: dict[str, dict[str, Any]] = {}
        if len(of):
            each = np.bincount(of)
            weights = len(of) / np.count_nonzero(each) / each[of]
            tested = differences(
                {name: mine[:, members] * weights for name, mine in correct.items()}, against
            )
        for name, test in found.items():
            test[shot] = tested.get(name)
    return found


def _student(t: float, freedom: float) -> tuple[float, float]:
    """Of Student's law: the probability beyond ±t, and beyond which limits 5 % of it lie.

    With t = √ν·tan θ the density is cos^(ν-1) θ, which is summed.
    """
    freedom = min(freedom, _MOST_FREEDOM)
    density = np.cos((_ANGLES[1:] + _ANGLES[:-1]) / 2) ** (freedom - 1)
    beyond = np.append(density[::-1].cumsum()[::-1], 0) / density.sum()
    limit = math.sqrt(freedom) * math.tan(np.interp(ALPHA, beyond[::-1], _ANGLES[::-1]))
    return float(np.interp(math.atan(t / math.sqrt(freedom)), _ANGLES, beyond)), limit


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """The p-values of several tests, each raised so that all hold together (Holm, 1979)."""
    order: Sequence[str] = sorted(p, key=p.__getitem__)
    found, least = {}, 0.0
    for place, name in enumerate(order):
        least = max(least, min(1.0, p[name] * (len(order) - place)))
        found[name] = least
    return found
