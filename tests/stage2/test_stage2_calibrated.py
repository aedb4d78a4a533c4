"""``calibrate`` of a fit: on a validation cache, and on cuts that the fit in its place has not seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import ltfix
from ltfix.errors import InputError
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting.context import FOLDS
from ltfix.stage2.fitting.validation import class_wise_cut
from ltfix.stage2.methods.options import CALIBRATE, Options

COUNTS = [120, 60, 24, 10]


def write(path: Path, seed: int, counts: list[int] = COUNTS) -> Path:
    """Overlapping clouds in more dimensions than the samples of the tail tell apart."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centers = np.random.default_rng(9).normal(size=(len(counts), 40))
    np.savez(
        path, features=(centers[labels] + 3 * rng.normal(size=(len(labels), 40))).astype("f4"), labels=labels
    )
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(tmp_path / "train.npz", 0)


def test_true_is_as_the_bare_flag_and_false_as_none():
    assert [Options(calibrate=given).calibrate for given in (True, False, None)] == ["one", None, None]
    assert Options(preset=True) == Options(preset="auto")


@pytest.mark.parametrize("by", CALIBRATE)
def test_on_a_validation_cache_it_is_calibrate(tmp_path: Path, train: Path, by: str):
    val = write(tmp_path / "val.npz", 1, [50] * 4)
    head = ltfix.fit(train, "ce", val=val, epochs=5, calibrate=by)
    expected = ltfix.calibrate(ltfix.fit(train, "ce", val=val, epochs=5), val, by)
    np.testing.assert_array_equal(head.temperature, expected.temperature)
    assert head.meta["calibration"] == expected.meta["calibration"]


def test_on_cuts_it_is_of_fits_without_them(tmp_path: Path, train: Path):
    """One temperature for the pooled samples of all folds; each fold is fitted again without its own."""
    how = {"epochs": 5, "init": "class-mean"}  # a probe's penalty is chosen once, on all samples
    head = ltfix.fit(train, "ce", calibrate="one", **how)
    cache = ltfix.open_cache(train)
    logits, labels = [], []
    for fold in range(FOLDS):
        rest, held = class_wise_cut(cache.labels, 0, fold=fold)
        np.savez(tmp_path / "rest.npz", features=cache.features[rest, 0], labels=cache.labels[rest])
        without = ltfix.fit(tmp_path / "rest.npz", "ce", **how)
        logits.append(without.logits(cache.features[held, 0]))
        labels.append(cache.labels[held])
    pooled = tmp_path / "pooled.npz"
    np.savez(pooled, features=np.concatenate(logits), labels=np.concatenate(labels))
    expected = ltfix.calibrate(ltfix.Head(np.eye(4), np.zeros(4), "identity"), pooled)
    assert head.temperature == pytest.approx(expected.temperature, rel=1e-3)
    assert "class-wise cuts of the training samples" in head.meta["calibration"]["on"]
    on_train = ltfix.calibrate(dataclasses.replace(head, meta={}), train).temperature
    assert (head.temperature > 1.2 * on_train).all()  # which the head has seen: far too sure


def test_every_seed_has_its_own(train: Path):
    heads = plan_fit("crt", {"epochs": 2, "calibrate": "one"}).train(train, [0, 1])
    assert heads[0].temperature[0] != heads[1].temperature[0]
    np.testing.assert_array_equal(heads[0].weight, ltfix.fit(train, "crt", epochs=2).weight)


def test_training_samples_that_the_backbone_has_seen_are_refused(tmp_path: Path, train: Path):
    stage1 = ltfix.fit(train, "ce", epochs=2)
    arrays = {"head.weight": stage1.weight, "head.bias": stage1.bias}
    cache = ltfix.open_cache(train)
    np.savez(tmp_path / "seen.npz", features=cache.features, labels=cache.labels, **arrays)
    with pytest.raises(InputError, match=r"backbone was trained on these samples.*seen\.npz.*val=CACHE"):
        ltfix.fit(tmp_path / "seen.npz", "ce", epochs=2, calibrate="one")


def test_auto_is_calibrated_once_it_is_chosen(tmp_path: Path, train: Path):
    val = write(tmp_path / "val.npz", 1, [30] * 4)
    head = ltfix.fit(train, "auto", val=val, calibrate="one")
    np.testing.assert_array_equal(head.temperature, ltfix.calibrate(head, val).temperature)


def test_the_name_of_a_calibrated_head():
    assert plan_fit("samn", {"calibrate": "one"}).name == "samn-freq-calibrated"
    assert plan_fit("samn", {"calibrate": "shots", "tune": True}).name == "samn-freq-tuned-calibrated-shots"
