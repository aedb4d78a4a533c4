"""Validation samples: the class-wise cut, the score, and what is chosen without the test split."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.heads.head import Head
from ltfix.progress import SILENT
from ltfix.stage2.fitting.validation import (
    class_wise_cut,
    cut,
    is_fresh,
    mean_class_accuracy,
    told_seen,
    validation_samples,
)
from ltfix.stage2.loop.data import Features

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(np.array)


@given(labels=LABELS, seed=st.integers(0, 2**31), fraction=st.sampled_from([0.1, 0.2, 0.5, 0.9]))
def test_the_cut_partitions_class_by_class(labels: np.ndarray, seed: int, fraction: float):
    train, held = class_wise_cut(labels, seed, fraction)
    assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(len(labels)))
    assert np.array_equal(train, np.sort(train))
    assert np.array_equal(held, np.sort(held))
    total = np.bincount(labels)
    of_held = np.bincount(labels[held], minlength=len(total))
    for n, m in zip(total, of_held, strict=True):
        assert m == (0 if n < 2 else min(max(1, round(fraction * n)), n - 1))
    again = class_wise_cut(labels, seed, fraction)
    assert np.array_equal(again[1], held)


@given(labels=LABELS, per_class=st.integers(1, 30))
def test_so_many_a_class_but_one_stays_to_train_on(labels: np.ndarray, per_class: int):
    _, held = class_wise_cut(labels, 0, per_class=per_class)
    total = np.bincount(labels)
    expected = np.where(total < 2, 0, np.minimum(per_class, total - 1))
    assert np.bincount(labels[held], minlength=len(total)).tolist() == expected.tolist()


def test_seeds_cut_apart():
    labels = np.repeat([0, 1], 50)
    assert not np.array_equal(class_wise_cut(labels, 0)[1], class_wise_cut(labels, 1)[1])


@given(labels=LABELS, seed=st.integers(0, 2**31))
def test_the_score_is_sklearns_balanced_accuracy(labels: np.ndarray, seed: int):
    predicted = np.random.default_rng(seed).integers(7, size=len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted and never occur
        expected = balanced_accuracy_score(labels, predicted)
    assert mean_class_accuracy(predicted, labels) == pytest.approx(expected)


def test_all_views_of_a_sample_stay_on_one_side(draw_cache):
    cache = draw_cache([9, 4, 1], views=3)
    data = Features.of(cache, "all")
    train, held = cut(data, 0)
    assert not set(data.rows[train]) & set(data.rows[held])
    assert len(held) == 3 * 3  # round(0.2 · 9) = 2 and one of the second class, three views each
    for part in (data.subset(train), data.subset(held)):
        for start in range(0, len(part), 3):  # each view of a sample exactly once, and its own
            own = part.take(np.arange(start, start + 3), np.zeros(3, np.int64))
            assert np.array_equal(own, cache.features[part.rows[start]])
        assert part.counts.tolist() == np.bincount(part.labels[::3], minlength=3).tolist()


def test_a_validation_cache_leaves_training_whole(draw_cache):
    data, held = Features.of(draw_cache([9, 4, 1])), draw_cache([3, 3, 3], seed=1)
    (found,) = validation_samples(data, held, seed=0, progress=SILENT)
    assert len(found.train) == 14
    assert len(found.held) == 9
    with pytest.raises(UsageError, match="nothing is cut"):
        validation_samples(data, held, seed=0, per_class=2, progress=SILENT)


def test_a_cut_says_what_it_is(draw_cache):
    data = Features.of(draw_cache([9, 4, 1]))
    (found,) = validation_samples(data, None, seed=0, progress=SILENT)
    assert found.where == "a class-wise cut of the training samples (20%, 3 samples)"
    assert len(found.train) + len(found.held) == 14
    views = Features.of(draw_cache([9, 4, 1], views=3), "all")
    several = validation_samples(views, None, seed=0, folds=2, progress=SILENT)
    assert several[1].where == "2 class-wise cuts of the training samples (20%, 3 samples each)"
    (other,) = validation_samples(data, None, seed=4, progress=SILENT)
    assert other.where.endswith("(20%, 3 samples, seed 4)")
    with pytest.raises(InputError, match="none can be held out"):
        validation_samples(Features.of(draw_cache([1, 1])), None, seed=0, progress=SILENT)


def test_who_has_seen_the_samples_of_a_cut_is_told(draw_cache):
    def asked(backbone: dict[str, str] | None, given: Head | None = None) -> str:
        source = {"joined": [{"fingerprint": "some"}]}
        manifest = None if backbone is None else SimpleNamespace(backbone=backbone, source=source)
        return told_seen(SimpleNamespace(head=None, manifest=manifest, identity="these"), given)

    head, ours = Head(np.eye(3, 8), np.zeros(3)), {"name": "resnet18"}
    maybe = "; if the backbone was trained on them, scores are inflated, only their order counts"
    assert told_seen(draw_cache([9, 4, 1]), None).startswith(
        ", which the backbone has seen"
    )  # by its classifier
    assert [asked(None), asked({}), asked(ours), asked(ours, head)] == [maybe, maybe, "", maybe]
    fitted = dataclasses.replace(head, meta={"cache": "these"})
    assert asked(ours, fitted).startswith(", which the start was fitted on: scores are inflated")
    part = dataclasses.replace(head, meta={"cache": "some"})
    assert asked(ours, part).startswith(", part of which the start was fitted on: scores are inflated")
    cut_of = validation_samples(Features.of(draw_cache([9, 4, 1])), None, seed=0, seen=maybe, progress=SILENT)
    assert cut_of[0].where.endswith(maybe)


def test_what_nobody_has_seen_is_fresh(draw_cache):
    data, held = Features.of(draw_cache([9, 4, 1])), draw_cache([3, 3, 3], seed=1)

    for cache in (held, None):
        for known in (False, True):
            (found,) = validation_samples(data, cache, seed=0, fresh=known, progress=SILENT)
            assert found.fresh == known


def test_what_was_seen_is_not_fresh(draw_cache):
    def cache(source: dict[str, Any], head: Head | None = None) -> Any:
        manifest = SimpleNamespace(backbone={"name": "resnet18"}, source=source)
        return SimpleNamespace(head=head, manifest=manifest, identity="these", path=Path("train"), dim=1)

    held, head = draw_cache([3, 3, 3], seed=1), Head(np.eye(3, 8), np.zeros(3))
    of_held = dataclasses.replace(head, meta={"cache": held.identity})
    joined = {"joined": [{"fingerprint": held.identity}]}
    plain = cache({})
    assert is_fresh(plain, None, None)
    assert is_fresh(plain, held, None)
    assert not is_fresh(cache({}, head), None, None)
    assert not is_fresh(cache({"seen": True}), None, None)
    assert not is_fresh(cache(joined), held, None)
    assert not is_fresh(plain, held, of_held)
    assert not is_fresh(held, held, None)


def test_tau_is_chosen_by_its_grid_on_the_cut(draw_cache):
    cache = draw_cache([200, 60, 20, 6], spread=2.5)
    head = ltfix.fit(cache, "tau-norm")
    tried = head.meta["selection"]["tried"]
    assert [point["tau"] for point in tried] == [round(0.1 * i, 1) for i in range(21)]
    best = max(point["score"] for point in tried)
    chosen = head.meta["values"]["tau"]
    assert chosen["from"] == "chosen on validation"
    assert {p["tau"]: p["score"] for p in tried}[chosen["value"]] == best == head.meta["selection"]["score"]
    fixed = ltfix.fit(cache, "tau-norm", tau=chosen["value"])
    assert np.array_equal(head.weight, fixed.weight)
    assert fixed.meta["selection"] == {"epoch": "last"}


def test_tau_is_chosen_on_a_validation_cache_where_there_is_one(draw_cache):
    train, val = draw_cache([200, 60, 20, 6], spread=2.5), draw_cache([50, 50, 50, 50], spread=2.5, seed=5)
    head = ltfix.fit(train, "tau-norm", val=val)
    selection = head.meta["selection"]
    assert "validation cache" in selection["on"]
    x, scores = val.features[:, 0], []
    for point in selection["tried"]:
        fixed = ltfix.fit(train, "tau-norm", tau=point["tau"])
        scores.append(mean_class_accuracy(fixed.logits(x).argmax(1), val.labels))
    assert [point["score"] for point in selection["tried"]] == pytest.approx(scores, abs=1e-6)
