from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from ltfix.evaluation.reports.calibration import (
    BINS,
    calibrate,
    expected_calibration_error,
)


def softmax(z: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def slow_ece(p: np.ndarray, labels: np.ndarray) -> float:
    confidence, hit = p.max(1), p.argmax(1) == labels
    total = 0.0
    for i in range(BINS):
        inside = (confidence > i / BINS) & (confidence <= (i + 1) / BINS)
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return total


def drawn(seed: int, n: int = 300, k: int = 6, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, k)) * scale).astype(np.float32), rng.integers(0, k, n)


def blocks(z: np.ndarray):
    return [(slice(i, i + 64), z[i : i + 64]) for i in range(0, len(z), 64)]


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_scores_agree_with_sklearn_and_a_slow_reference(seed: int):
    z, labels = drawn(seed)
    found, p = calibrate(blocks(z), labels), softmax(z.astype(np.float64))
    assert found.nll == pytest.approx(log_loss(labels, p, labels=range(6)), rel=1e-9)
    assert found.brier == pytest.approx(np.mean(((p - np.eye(6)[labels]) ** 2).sum(1)), rel=1e-9)
    assert expected_calibration_error(found.confidence, found.correct) == pytest.approx(slow_ece(p, labels))


def test_a_probability_that_underflows_still_has_its_logarithm():
    found = calibrate([(slice(0, 1), np.array([[0.0, 2000.0]], np.float32))], np.array([0]))
    assert found.nll == 2000.0
    assert found.confidence[0] == 1.0


def test_the_ends_of_a_bin_belong_to_the_lower_one():
    confidence, correct = np.array([1 / BINS, 1.0]), np.array([True, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((1 - 1 / BINS) / 2)
