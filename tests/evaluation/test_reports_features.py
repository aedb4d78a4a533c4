from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from evaluation_samples import cache_of, head_of

from ltfix.evaluation.measure import evaluate
from ltfix.evaluation.reports import features
from ltfix.evaluation.reports.features import (
    between_cosine,
    class_means,
    fisher_ratio,
    random_layers,
    within_cosine,
)


def drawn(seed: int = 0, n: int = 120, d: int = 6, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    return (rng.normal(size=(k, d))[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


def ratio(x: np.ndarray, labels: np.ndarray, k: int = 4) -> dict[str, float | int | None]:
    cache = cache_of(x, labels)
    return fisher_ratio(cache, class_means(cache, k))


@pytest.mark.parametrize("rows", [50, 4096])
def test_golden_fisher_ratio(
    golden: Callable[[str], dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch, rows: int
):
    monkeypatch.setattr(features, "_ROWS", rows)
    given = golden("heads_official")
    found = ratio(given["train_X"], given["train_y"], 10)
    assert found["fdr"] == pytest.approx(float(given["fdr.train"]), rel=1e-9)
    assert (found["fdr_dims"], found["fdr_rank"]) == (32, 32)


def test_it_does_not_change_under_invertible_maps():
    x, labels = drawn()
    mixed = x @ np.random.default_rng(1).normal(size=(6, 6)) * 1e3
    assert ratio(mixed, labels)["fdr"] == pytest.approx(ratio(x, labels)["fdr"], rel=1e-4)


def test_constant_dimensions_are_dropped():
    x, labels = drawn()
    wide = np.concatenate([x, np.full((len(x), 2), 5.0)], axis=1)
    found = ratio(wide, labels)
    assert found["fdr"] == pytest.approx(ratio(x, labels)["fdr"], rel=1e-9)
    assert (found["fdr_dims"], found["fdr_rank"]) == (6, 6)


def test_a_scatter_without_full_rank_is_taken_on_its_range():
    x, labels = drawn()
    doubled = np.concatenate([x, x @ np.ones((6, 1), np.float32)], axis=1)
    found = ratio(doubled, labels)
    assert (found["fdr_dims"], found["fdr_rank"]) == (7, 6)
    assert found["fdr"] == pytest.approx(ratio(x, labels)["fdr"], rel=1e-3)


def test_fewer_samples_than_dimensions_stay_finite():
    x, labels = drawn(n=12, d=40)
    found = ratio(x, labels)
    assert found["fdr_rank"] < found["fdr_dims"]
    assert np.isfinite(found["fdr"])


def test_collapsed_features_have_no_ratio():
    found = ratio(np.eye(4)[[0, 1, 2, 3, 0, 1]], np.array([0, 1, 2, 3, 0, 1]))
    assert found["fdr_rank"] == 0
    assert found["fdr"] is None


def test_cosines_and_norms_by_their_definition():
    x, labels = drawn()
    labels[0] = 4  # a class of one sample; class 5 has none
    means = class_means(cache_of(x, labels), 6)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for k in range(4):
        mine = unit[labels == k]
        n = len(mine)
        assert within_cosine(means)[k] == pytest.approx(((mine @ mine.T).sum() - n) / (n * (n - 1)))
        others = [(mine @ unit[labels == j].T).mean() for j in range(5) if j != k]
        assert between_cosine(means)[k] == pytest.approx(np.mean(others))
        assert means.norm[k] == pytest.approx(np.linalg.norm(x[labels == k], axis=1).mean())
    assert np.isnan(within_cosine(means)[4:]).all()
    assert np.isnan(between_cosine(means)).tolist() == [False] * 5 + [True]
    assert np.isnan(means.norm).tolist() == [False] * 5 + [True]


def test_views_are_averaged_or_the_first_alone():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(30, 2, 3)), np.arange(30) % 2
    for tta, alone in (("mean", x.mean(1)), ("first", x[:, 0])):
        found, expected = class_means(cache_of(x, labels), 2, tta), class_means(cache_of(alone, labels), 2)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-7)


def literal(x: np.ndarray, labels: np.ndarray, centre: np.ndarray) -> float:
    """tr(S_W⁻¹ S_B) as it is written, class by class."""
    within, between = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1],) * 2)
    for k in np.unique(labels):
        mine = x[labels == k]
        mean = mine.mean(0)
        within += (mine - mean).T @ (mine - mean)
        between += len(mine) * np.outer(mean - centre, mean - centre)
    return float(np.trace(np.linalg.solve(within, between)))


def test_the_ratio_about_either_mean_and_behind_layers_against_the_literal_formula():
    x, labels = drawn(n=400)
    labels[:200] = 0  # uneven
    x, classes = x.astype(np.float64), np.unique(labels)
    about = evaluate(
        head_of(np.ones((4, 6)), counts=np.array([4, 3, 2, 1])),
        cache_of(x, labels),
        "features",
        random_layers=2,
        seed=5,
    ).about["features"]
    means = np.stack([x[labels == k].mean(0) for k in classes])
    assert about["fdr"] == pytest.approx(literal(x, labels, x.mean(0)), rel=1e-9)
    assert about["fdr_class_mean"] == pytest.approx(literal(x, labels, means.mean(0)), rel=1e-9)
    assert about["fdr_class_mean"] > 1.02 * about["fdr"]
    assert about["class_mean_norm"]["all"] == pytest.approx(np.linalg.norm(means, axis=1).mean())
    assert [step["layers"] for step in about["random_layers"]] == [1, 2]
    assert about["seed"] == 5
    for (weight, bias), step in zip(random_layers(6, 2, 5), about["random_layers"], strict=True):
        assert np.abs(weight).max() <= 6**-0.5
        x = np.maximum(x @ weight.T + bias, 0)
        kept = x[:, np.ptp(x, axis=0) > 0]
        assert step["fdr"] == pytest.approx(literal(kept, labels, kept.mean(0)), rel=1e-9)
