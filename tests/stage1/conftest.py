"""A folder of tiny real images, and a network that learns them in no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ltfix.demo.digits import load_digits

COUNTS = {"train": (20, 11, 6, 3), "val": (5, 5, 5, 5), "test": (8, 8, 8, 8)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train (20, 11, 6, 3 images of the digits 0..3), val and test folders."""
    root = tmp_path_factory.mktemp("photos")
    images, labels = load_digits()
    for digit in range(4):
        rows = iter(np.flatnonzero(labels == digit))
        for split, counts in COUNTS.items():
            folder = root / split / f"digit-{digit}"
            folder.mkdir(parents=True)
            for _ in range(counts[digit]):
                row = next(rows)
                Image.fromarray(images[row]).save(folder / f"{row:04d}.png")
    return root


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Options of train_backbone that make an epoch last some milliseconds."""
    return {
        "model_args": {"depths": [1, 1], "widths": [4, 8]},
        "preprocess": {"image_size": 8, "mean": (0.3,) * 3, "std": (0.35,) * 3},
        "epochs": 3,
        "batch_size": 8,
        "lr": 0.1,
        "crop_pad": 1,
        "threads": 1,
        "device": "cpu",
    }


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Leave the number of threads as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
