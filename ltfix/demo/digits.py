"""The bundled images (LICENSE-digits.txt) and the long tail that is cut from them."""

from __future__ import annotations

from importlib import resources

import numpy as np

from ltfix import files

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WHITE = 16  # the source counts the set pixels of 4 × 4 blocks


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1797 handwritten digits: images [1797, 8, 8] uint8 (0 black, 255 white), labels [1797] int64."""
    with resources.as_file(resources.files("ltfix.demo") / "digits.npz") as path, files.os_errors(path):
        archive = np.load(path, allow_pickle=False)
        images, labels = archive["images"], archive["labels"]
    return (images.astype(np.uint16) * 255 // WHITE).astype(np.uint8), labels.astype(np.int64)
