"""The bundled digits are scikit-learn's, bit by bit, and are cut without overlap."""

from __future__ import annotations

from importlib import resources

import numpy as np
from sklearn.datasets import load_digits as original

from ltfix.demo.digits import load_digits, split_digits


def test_they_are_the_originals() -> None:
    images, labels = load_digits()
    source = original()
    assert np.array_equal(images, (source.images * 255 // 16).astype(np.uint8))
    assert np.array_equal(labels, source.target)
    assert (images.dtype, labels.dtype, int(images.max())) == (np.uint8, np.int64, 255)


def test_their_licence_is_beside_them() -> None:
    folder = resources.files("ltfix.demo")
    text = (folder / "LICENSE-digits.txt").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text and "Alpaydin" in text
    assert len((folder / "digits.npz").read_bytes()) < 100_000


def test_the_tail_is_long_and_the_test_set_balanced() -> None:
    _, labels = load_digits()
    parts = split_digits(seed=0)
    for rows in parts.values():
        assert all(labels[row] == digit for digit, row in rows)
    counts = {name: np.bincount([digit for digit, _ in rows]) for name, rows in parts.items()}
    assert sorted(counts["train"].tolist()) == [2, 3, 4, 7, 10, 16, 24, 36, 55, 83]
    assert counts["test"].tolist() == [100] * 10
    assert not {row for _, row in parts["train"]} & {row for _, row in parts["test"]}


def test_the_seed_decides() -> None:
    assert split_digits(0) == split_digits(0)
    assert split_digits(0) != split_digits(1)
