"""The geometry of the evaluated features, and the row norms of the heads against the class counts.

Sums over the samples run in float64 and take two passes, so the features are never in memory at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ltfix.evaluation.report import Report, shot_columns
from ltfix.evaluation.scores import known, summary
from ltfix.evaluation.table import Column, Table
from ltfix.evaluation.testset import TestSet
from ltfix.features.read import FeatureCache
from ltfix.heads.head import Head
from ltfix.heads.vectors import NORM_FLOOR, unit_vectors

_CONSTANT = 1e-3
_ROWS = 4096
_COLUMNS = (
    Column("of", "Of"),
    Column("path", "", csv_only=True),
    Column("measure", "Measure"),
    Column("all", "All", "number"),
    *shot_columns("number"),
)
_MEASURES = {
    "norm": "feature norm",
    "class_mean_norm": "norm of the mean feature",
    "within_cosine": "cosine within a class",
    "between_cosine": "cosine to other classes",
}


def measure(head: Head, test: TestSet) -> dict[str, Any]:
    """Row norms of the head's weight, and their correlation with the logarithm of the training counts."""
    norms = np.linalg.norm(head.weight.astype(np.float64), axis=1)
    logs = np.log(np.maximum(test.shots.counts, 1))
    varies = bool(np.ptp(logs) > 0) and bool(np.ptp(norms) > 0)
    return {
        "weight_norm": summary(norms, test.shots.of),
        "norm_count_correlation": float(np.corrcoef(logs, norms)[0, 1]) if varies else None,
        "classes": {"weight_norm": norms.tolist()},
    }


def about(test: TestSet) -> dict[str, Any]:
    """``features``: Fisher ratios, cosine similarities and norms of the evaluated cache."""
    means = class_means(test.cache, test.n_classes, test.tta)
    values = {
        "norm": means.norm,
        "class_mean_norm": np.where(means.counts > 0, np.linalg.norm(means.mean, axis=1), np.nan),
        "within_cosine": within_cosine(means),
        "between_cosine": between_cosine(means),
    }
    return {
        "features": {
            **fisher_ratio(test.cache, means, test.tta),
            **{key: summary(value, test.shots.of) for key, value in values.items()},
            "classes": {key: [known(v) for v in value] for key, value in values.items()},
            **({"random_layers": _behind_layers(test), "seed": test.seed} if test.random_layers else {}),
        }
    }


def _behind_layers(test: TestSet) -> list[dict[str, float | int | None]]:
    """The Fisher ratio behind 1, 2, … random layers."""
    layers = random_layers(test.cache.dim, test.random_layers, test.seed)
    found = []
    for depth in range(1, len(layers) + 1):
        how = test.tta, layers[:depth]
        means = class_means(test.cache, test.n_classes, *how)
        found.append({"layers": depth, **fisher_ratio(test.cache, means, *how)})
    return found


def table(report: Report) -> Table:
    """One row a measure of the features, then one a head."""
    found = report.about["features"]
    ratios = {
        "Fisher ratio (FDR)": found["fdr"],
        "FDR about the mean of class means": found["fdr_class_mean"],
        **{f"FDR, random layers: {f['layers']}": f["fdr"] for f in found.get("random_layers", ())},
    }
    rows = [{"of": "features", "measure": label, "all": ratio} for label, ratio in ratios.items()]
    rows += [{"of": "features", "measure": label, **found[key]} for key, label in _MEASURES.items()]
    for head in report.heads:
        row = {"of": head["name"], "path": head["path"], "measure": "weight norm"}
        rows.append({**row, **head["weight_norm"]})
    notes = [f"Means over classes. {report.shots.rule()}."]
    if found["fdr_rank"] < found["fdr_dims"]:
        notes.append(
            f"The within-class scatter has rank {found['fdr_rank']} of {found['fdr_dims']}: "
            "FDR is taken on its range."
        )
    return Table(_COLUMNS, rows, notes=tuple(notes))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ClassMeans:
    """What one pass over the features gives.

    Attributes:
        counts: [K] samples per class.
        mean: [K, D] class means of the features (zero where a class has none).
        unit: [K, D] class means of the features scaled to norm 1.
        norm: [K] mean feature norm per class, NaN where a class has no sample.
        varying: [D] bool, dimensions that are not (nearly) constant.
    """

    counts: np.ndarray
    mean: np.ndarray
    unit: np.ndarray
    norm: np.ndarray
    varying: np.ndarray


Layer = tuple[np.ndarray, np.ndarray]
"""Weight [D, D] and bias [D] of a linear layer that a ReLU follows."""


def random_layers(dim: int, n: int, seed: int) -> list[Layer]:
    """``n`` layers as torch initialises them: weights and biases uniform within ±1/√D.

    One of them raises the Fisher ratio of features that were trained with weight decay (Hasegawa & Sato).
    """
    # a stream of its own: the bootstrap has the seed itself
    rng, limit = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,))), dim**-0.5
    return [(rng.uniform(-limit, limit, (dim, dim)), rng.uniform(-limit, limit, dim)) for _ in range(n)]


def feature_blocks(
    cache: FeatureCache, tta: str = "mean", layers: Sequence[Layer] = ()
) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks [m, D] float64 of the mean over the views, or of the first, behind these layers."""
    for where, block in cache.blocks(_ROWS):
        x = block[:, 0] if tta == "first" else block.mean(1, dtype=np.float64)
        x = x.astype(np.float64, copy=False)
        for weight, bias in layers:
            x = np.maximum(x @ weight.T + bias, 0)
        yield where, x


def class_means(
    cache: FeatureCache, n_classes: int, tta: str = "mean", layers: Sequence[Layer] = ()
) -> ClassMeans:
    """Class means, mean norms, and which dimensions vary.

    A dimension counts as constant where it never differs from its first value by more than 1e-3 of its
    mean's size, as in the published code of Hasegawa & Sato ("Exploring weight balancing", 2024).
    """
    counts = np.bincount(cache.labels, minlength=n_classes)
    mean, unit = np.zeros((n_classes, cache.dim)), np.zeros((n_classes, cache.dim))
    norm, first = np.zeros(n_classes), None
    low, high = np.full(cache.dim, np.inf), np.full(cache.dim, -np.inf)
    for where, x in feature_blocks(cache, tta, layers):
        labels = cache.labels[where]
        length = np.sqrt(np.einsum("id,id->i", x, x))
        first = x[0].copy() if first is None else first
        low, high = np.minimum(low, x.min(0)), np.maximum(high, x.max(0))
        norm += np.bincount(labels, length, minlength=n_classes)
        _add_rows(mean, labels, x)
        _add_rows(unit, labels, x / np.maximum(length, NORM_FLOOR)[:, None])
    centre = mean.sum(0) / cache.n
    safe = np.maximum(counts, 1)[:, None]
    assert first is not None  # a cache has at least one sample
    varying = np.maximum(high - first, first - low) > _CONSTANT * np.abs(centre)
    seen = np.where(counts > 0, counts, np.nan)
    return ClassMeans(counts, mean / safe, unit / safe, norm / seen, varying)


def _add_rows(total: np.ndarray, labels: np.ndarray, x: np.ndarray) -> None:
    """``total[labels] += x`` with repeated labels added up, by runs of equal labels."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    total[ordered[starts]] += np.add.reduceat(x[order], starts, axis=0)


def fisher_ratio(
    cache: FeatureCache, means: ClassMeans, tta: str = "mean", layers: Sequence[Layer] = ()
) -> dict[str, float | int | None]:
    """tr(S_W⁻¹ S_B) in float64, S_W = Σ (x-μ_y)(x-μ_y)ᵀ, S_B = Σ_k n_k (μ_k-μ)(μ_k-μ)ᵀ.

    It does not change under invertible linear maps of the features, so each dimension is first scaled
    to unit within-class scatter. Where S_W has no full rank (fewer samples than dimensions, or
    collapsed features) the ratio is taken on its range by the pseudo-inverse.

    Returns:
        ``fdr`` with μ the mean of the samples, as in the code of Hasegawa & Sato, and ``fdr_class_mean`` with
        μ the mean of the class means, where the tail counts like the head; None where no direction has
        within-class scatter. ``fdr_dims``, the dimensions left after the constant ones were dropped, and
        ``fdr_rank``, the rank of S_W.
    """
    keep = means.varying
    class_mean = means.mean[:, keep]
    dims = int(keep.sum())
    scatter = np.zeros((dims, dims))
    for where, x in feature_blocks(cache, tta, layers):
        centred = x[:, keep] - class_mean[cache.labels[where]]
        scatter += centred.T @ centred
    scale = np.sqrt(np.diag(scatter)) if dims else np.zeros(0)
    scale[scale == 0] = 1
    values, vectors = np.linalg.eigh(scatter / np.outer(scale, scale)) if dims else (scale, scatter)
    usable = values > max(values, default=0.0) * dims * np.finfo(np.float64).eps
    usable &= values > 0

    def ratio(centre: np.ndarray) -> float | None:
        spread = np.sqrt(means.counts)[:, None] * (class_mean - centre)
        along = (spread / scale) @ vectors[:, usable]
        return known(float(np.sum(along * along / values[usable]))) if usable.any() else None

    return {
        "fdr": ratio(means.counts @ class_mean / cache.n),
        "fdr_class_mean": ratio(class_mean[means.counts > 0].mean(0)),
        "fdr_dims": dims,
        "fdr_rank": int(usable.sum()),
    }


def within_cosine(means: ClassMeans) -> np.ndarray:
    """[K] mean cosine similarity of two different samples of a class; NaN with fewer than two."""
    n = means.counts.astype(np.float64)
    pairs = np.where(n > 1, n * (n - 1), np.nan)
    square = np.einsum("kd,kd->k", means.unit, means.unit) * n * n
    return np.asarray((square - n) / pairs)


def between_cosine(means: ClassMeans) -> np.ndarray:
    """[K] mean cosine similarity of a class's samples with those of every other class; NaN alone or empty.

    Every other class counts equally, whatever its number of samples.
    """
    seen = means.counts > 0
    others = max(int(seen.sum()) - 1, 0)
    total = means.unit[seen].sum(0)
    found = means.unit @ total - np.einsum("kd,kd->k", means.unit, means.unit)
    return np.where(seen & (others > 0), found / max(others, 1), np.nan)


def cosine_map(means: ClassMeans, order: np.ndarray, bins: int) -> np.ndarray:
    """Cosine similarity of the classes' mean features, [m, m], classes in ``order`` [K].

    Args:
        order: classes that have samples.
        bins: of more classes than that, so many groups of neighbours in ``order``; a value then is the mean
            over pairs of different classes (NaN where a group has no pair).
    """
    unit = unit_vectors(means.mean[order])
    groups = np.array_split(np.arange(len(order)), min(bins, len(order)))
    sizes = np.array([len(group) for group in groups], np.float64)
    total = np.stack([unit[group].sum(0) for group in groups])
    found = total @ total.T / np.outer(sizes, sizes)
    if len(groups) < len(order):
        own = np.diag(found) * sizes**2 - [float((unit[group] ** 2).sum()) for group in groups]
        pairs = np.where(sizes > 1, sizes * (sizes - 1), np.nan)
        np.fill_diagonal(found, own / pairs)
    return np.asarray(found)
