from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caches import write_bare
from evaluation_samples import COUNTS, cache_of, head_of, one_hot_cache
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, recall_score

from ltfix.errors import InputError, UsageError
from ltfix.evaluation import scores
from ltfix.evaluation.metrics import shot_accuracy
from ltfix.evaluation.scores import (
    class_accuracy,
    logit_blocks,
    predictions,
)
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads.head import Head


def all_logits(head, cache, tta="mean"):
    return np.concatenate([block for _, block in logit_blocks(head, cache, tta)])


def test_class_accuracy_is_sklearns_recall():
    rng = np.random.default_rng(0)
    labels, pred = rng.integers(0, 9, 500), rng.integers(0, 9, 500)
    expected = recall_score(labels, pred, average=None, labels=range(9))
    np.testing.assert_allclose(class_accuracy(pred, labels, 9), expected, rtol=1e-15)
    assert np.mean(class_accuracy(pred, labels, 9)) == pytest.approx(balanced_accuracy_score(labels, pred))


def test_an_untested_class_has_no_accuracy():
    assert np.isnan(class_accuracy(np.array([0]), np.array([0]), 2)).tolist() == [False, True]


def test_a_shot_is_the_mean_of_its_classes_and_all_the_mean_of_samples():
    labels = np.array([0] * 8 + [1] * 2)
    pred = np.array([0] * 8 + [0, 1])
    found = shot_accuracy(pred, labels, np.array([200, 150]))
    assert found == {"all": 0.9, "many": 0.75, "medium": None, "few": None}


@given(st.integers(0, 2**32 - 1))
def test_equal_classes_make_shots_add_up_to_all(seed: int):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(7), 4)
    found = shot_accuracy(rng.integers(0, 7, 28), labels, COUNTS)
    assert found["all"] * 7 == pytest.approx(found["many"] * 2 + found["medium"] * 3 + found["few"] * 2)


def test_ties_go_to_the_lower_index():
    cache, _ = one_hot_cache([0, 1], [0, 1], 2)
    assert predictions(head_of(np.ones((2, 2))), cache).tolist() == [0, 0]


@pytest.mark.parametrize("transform", [None, {"kind": "l2"}, {"kind": "capsule"}])
def test_views_average_logits(transform):
    rng = np.random.default_rng(1)
    cache = cache_of(rng.normal(size=(50, 3, 4)), rng.integers(0, 3, 50))
    head = head_of(rng.normal(size=(3, 4)), rng.normal(size=3), transform=transform)
    expected = np.mean([head.logits(cache.features[:, v]) for v in range(3)], axis=0)
    np.testing.assert_allclose(all_logits(head, cache), expected, rtol=1e-5, atol=1e-6)
    first = head.logits(cache.features[:, 0])
    np.testing.assert_array_equal(all_logits(head, cache, "first"), first)


def test_blocks_stay_small_whatever_k_is_and_cover_everything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scores, "_BLOCK_VALUES", 640)
    rng = np.random.default_rng(2)
    cache = cache_of(rng.normal(size=(101, 2, 4)), rng.integers(0, 3, 101))
    head = head_of(rng.normal(size=(40, 4)))
    blocks = list(logit_blocks(head, cache))
    assert max(block.size for _, block in blocks) <= 640
    assert [where.start for where, _ in blocks] == list(range(0, 101, 16))
    np.testing.assert_allclose(
        all_logits(head, cache), head.logits(cache.features.mean(1)), rtol=1e-6, atol=1e-6
    )


def test_memory_stays_bounded_at_8142_classes():
    tracemalloc = pytest.importorskip("tracemalloc")
    rng = np.random.default_rng(3)
    cache = cache_of(rng.normal(size=(20_000, 16)), rng.integers(0, 8142, 20_000))
    head = head_of(rng.normal(size=(8142, 16)))
    tracemalloc.start()
    predictions(head, cache)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20  # all logits at once would be 651 MB


def test_an_unknown_treatment_of_views_is_refused():
    cache, head = one_hot_cache([0], [0], 2)
    with pytest.raises(UsageError, match="no such treatment of views: 'max'"):
        predictions(head, cache, "max")


def test_a_nan_feature_names_its_row():
    features = np.ones((5, 1, 2), np.float32)
    features[3, 0, 1] = np.nan
    cache = FeatureCache(Path("x.npz"), [features], np.zeros(5, np.int64))
    with pytest.raises(InputError, match=r"row 3"):
        predictions(head_of(np.eye(2)), cache)


@pytest.mark.parametrize(
    ("tta", "expected"),
    [("mean", [38.39, 71.23, 37.20, 1.47]), ("first", [37.18, 69.60, 35.69, 1.10])],
)
def test_the_packed_features_give_their_reference_numbers(shared_data: Path, tta: str, expected: list[float]):
    train = open_cache(shared_data / "c100_if100_train.safetensors")
    test = open_cache(shared_data / "c100_if100_test.safetensors")
    found = shot_accuracy(predictions(train.head, test, tta), test.labels, train.counts)
    assert [round(100 * value, 2) for value in found.values()] == expected


class TestNotFinite:
    """A logit that is not finite is refused by name; argmax would make class 0 of it."""

    @pytest.mark.parametrize("tta", ["mean", "first"])
    @pytest.mark.parametrize("method", ["linear", "capsule"])
    def test_the_head_and_the_sample_are_named(self, tmp_path: Path, tta: str, method: str) -> None:
        features = np.ones((6, 2, 4), np.float32)
        features[4] = 3e38 if method == "linear" else 1
        weight = np.full((3, 4), 1.0 if method == "linear" else 3e38, np.float32)
        if method == "capsule":
            features *= 1e5
        transform = None if method == "linear" else {"kind": "capsule", "unit": 1e-3}
        head = Head(weight, np.zeros(3, np.float32), "ce", transform=transform)
        cache = open_cache(write_bare(tmp_path / "x.safetensors", features=features))
        row = 4 if method == "linear" else 0
        with pytest.raises(InputError, match=rf"logits of sample {row} are not finite \(ce\)"):
            predictions(head, cache, tta)

    @pytest.mark.parametrize("scale", [1e-25, 1e20, 1e37])
    @pytest.mark.parametrize("kind", [None, "l2", "capsule"])
    def test_large_and_small_features_are_classified_as_in_float64(
        self, tmp_path: Path, scale: float, kind: str | None
    ) -> None:
        rng = np.random.default_rng(3)
        x = np.clip(rng.normal(size=(60, 8)), -1, 1)
        weight = rng.normal(size=(3, 8)).astype(np.float32)
        large = (x * scale).astype(np.float32)
        wide = large.astype(np.float64)
        norm = np.linalg.norm(wide, axis=1, keepdims=True)
        made = {None: wide, "l2": wide / norm, "capsule": wide / (1 + norm)}[kind]
        transform = None if kind is None else {"kind": kind}
        head = Head(weight, np.zeros(3, np.float32), "m", transform=transform)
        path = write_bare(tmp_path / "x.safetensors", features=large, labels=np.arange(60) % 3)
        expected = (made @ weight.astype(np.float64).T).argmax(1)
        np.testing.assert_array_equal(predictions(head, open_cache(path)), expected)
