"""Temperatures: what to divide a head's logits by so that its probabilities can be believed.

They are those of least negative log-likelihood on validation samples (Guo et al., "On calibration of modern
neural networks", ICML 2017), every class that occurs counting the same, as a balanced test set has it. The
likelihood is convex in 1/T, so Newton's method finds the one minimum (:mod:`~ltfix.evaluation.likelihood`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ltfix.errors import InputError, UsageError, nearest
from ltfix.evaluation.given import NamedHead, check_fit
from ltfix.evaluation.likelihood import Blocks, class_weights, find_sharpness, kept
from ltfix.evaluation.reports.calibration import calibrate as measure
from ltfix.evaluation.reports.calibration import expected_calibration_error
from ltfix.evaluation.scores import LogitBlocks, logit_blocks
from ltfix.evaluation.shots import FEW, MANY, SHOTS, group, told_absent
from ltfix.features.read import CacheLike, open_cache
from ltfix.heads.head import Head, load_head
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public

BY = "negative log-likelihood, every class alike"
ONE, BY_SHOT = "one", "shots"
KINDS = (ONE, BY_SHOT)


@public
def calibrate(
    head: Head | Path | str,
    val: CacheLike,
    by: str = ONE,
    *,
    many: int = MANY,
    few: int = FEW,
    progress: Progress | bool = SILENT,
) -> Head:
    """The head with the temperature that validation samples ask for; one that it had is replaced.

    >>> import numpy as np, ltfix
    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> np.savez("val.npz", features=np.eye(2)[[0, 0, 1, 1, 1, 0]], labels=labels)
    >>> head = ltfix.calibrate(ltfix.Head(9 * np.eye(2), np.zeros(2), "mine"), "val.npz")
    >>> head.temperature.round(2)  # two of three are right: softmax of 9 / T, 0 is 2/3, 1/3
    array([12.98, 12.98], dtype=float32)

    Args:
        head: a Head, or the path of one.
        val: features and labels that neither the head was fitted on nor a result is measured on.
        by: "one" temperature, which leaves predictions as they are, or one for the classes of each of the
            "shots" by the head's training counts, which may change them.
        many, few: the boundaries of the shots.
        progress: told where the pictures were prepared otherwise; True shows it.

    Returns:
        The head; ``meta["calibration"]`` says on what, and what it changed.

    Raises:
        UsageError: an unknown ``by``.
        InputError: head and samples do not fit, the head was fitted on them, its training counts are unknown.
    """
    if by not in KINDS:
        raise UsageError("no such calibration", where=f"by={by}", hint=nearest(by, KINDS))
    head = head if isinstance(head, Head) else load_head(head)
    val = open_cache(val, head.classes or ())
    val.demand_labels()
    lines = check_fit(NamedHead(head.name, head), val, head.n_classes)
    trained = np.ones(head.n_classes) if head.counts is None else head.counts
    for line in (*lines, *told_absent(val.labels, trained, head.classes or val.classes, val.path)):
        listener(progress).note(line)
    if val.identity == head.meta.get("cache"):
        what = "the head was fitted on these samples, which are too easy for it"
        raise InputError(what, where=val.path, hint="calibrate on samples that it has not seen")
    plain = dataclasses.replace(head, temperature=None)
    blocks = lambda: logit_blocks(plain, val)  # noqa: E731
    found = on_samples(plain, blocks, val.labels, val.path.name, by, many=many, few=few)
    found.meta["calibration"]["cache"] = val.identity
    if head.path is not None:
        found.meta["calibration"]["of"] = head.path.name
    return found


def on_samples(
    head: Head,
    blocks: Blocks,
    labels: np.ndarray,
    where: str,
    by: str = ONE,
    *,
    many: int = MANY,
    few: int = FEW,
) -> Head:
    """:func:`calibrate` on logits at hand: those of ``head``, or of a fit that stands in for it.

    Args:
        blocks: makes a fresh iteration over blocks of logits, before any temperature.
        labels: [N] true classes. where: the samples in words.
    """
    shots = np.zeros(head.n_classes, np.int64)
    if by == BY_SHOT:
        if head.counts is None:
            raise InputError("its training counts are unknown, so no class has a shot", where=head.name)
        shots = group(head.counts, many, few).of
    of = _told_groups(shots, labels)
    blocks, weights = kept(blocks, head.n_classes * len(labels)), class_weights(labels)
    sharpness = find_sharpness(blocks, labels, weights, of)
    temperature = (1 / sharpness[of]).astype(np.float32)
    if by == BY_SHOT and head.counts is not None:
        temperature = _like_their_model(temperature, head, head.counts == 0)
    names = SHOTS if by == BY_SHOT else ("all",)
    found = {name: float(1 / sharpness[of[shots == g][0]]) for g, name in enumerate(names) if g in shots}
    after = ((part, z / temperature) for part, z in blocks())
    record = {
        "by": BY,
        "on": where,
        "n": len(labels),
        "n_effective": round(float(1 / (weights @ weights)), 1),
        "temperature": found,
        "before": _scores(blocks(), labels, weights),
        "after": _scores(after, labels, weights),
    }
    return dataclasses.replace(head, temperature=temperature, meta={**head.meta, "calibration": record})


def _scores(blocks: LogitBlocks, labels: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Accuracy, ECE and NLL, every class counting the same."""
    found = measure(blocks, labels)
    ece = expected_calibration_error(found.confidence, found.correct, weights=weights)
    return {
        "accuracy": round(float(weights @ found.correct), 6),
        "ece": round(ece, 6),
        "nll": round(float(weights @ found.surprise), 6),
    }


def _told_groups(of: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[K] groups numbered from 0; one without samples says nothing by itself and goes with its nearest."""
    told = np.unique(of[labels])
    nearest: np.ndarray = np.abs(of[:, None] - told).argmin(1)
    return nearest


def _like_their_model(temperature: np.ndarray, head: Head, absent: np.ndarray) -> np.ndarray:
    """A class without training samples stays behind the one whose row it has at that one's temperature."""
    for k in np.flatnonzero(absent):
        same = np.flatnonzero((head.weight == head.weight[k]).all(1) & ~absent)
        temperature[k] = temperature[same[0]] if len(same) else temperature[k]
    return temperature
