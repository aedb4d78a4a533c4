"""The bundled images (LICENSE-digits.txt) and the long tail that is cut from them."""

from __future__ import annotations

from importlib import resources

import numpy as np

from ltfix import files
from ltfix.images.longtail import exponential_counts

HELD_OUT, IMBALANCE_FACTOR = 100, 40.0
WHITE = 16  # the source counts the set pixels of 4 × 4 blocks


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1797 handwritten digits: images [1797, 8, 8] uint8 (0 black, 255 white), labels [1797] int64."""
    with resources.as_file(resources.files("ltfix.demo") / "digits.npz") as path, files.os_errors(path):
        archive = np.load(path, allow_pickle=False)
        images, labels = archive["images"], archive["labels"]
    return (images.astype(np.uint16) * 255 // WHITE).astype(np.uint8), labels.astype(np.int64)


def split_digits(seed: int) -> dict[str, list[tuple[int, int]]]:
    """A long-tailed ``train`` and a balanced ``test``, as (digit, row of the images); they share none.

    ``HELD_OUT`` images of each digit are for testing; the rest is cut to the exponential profile of
    ``IMBALANCE_FACTOR``. The seed decides which images.
    """
    _, labels = load_digits()
    draw = np.random.default_rng(seed)
    rows = [draw.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    counts = exponential_counts(np.array([len(r) - HELD_OUT for r in rows]), IMBALANCE_FACTOR)
    parts = {"train": (HELD_OUT, counts + HELD_OUT), "test": (0, np.full(10, HELD_OUT))}
    return {
        name: [(digit, int(row)) for digit in range(10) for row in rows[digit][start : stop[digit]]]
        for name, (start, stop) in parts.items()
    }
