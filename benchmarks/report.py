"""Seconds and bytes of a report of made-up features, at K = 100 and at iNaturalist 2018's 8,142 classes.

python benchmarks/report.py [--classes 100,8142] [--dim 512] [--heads 3]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ltfix.evaluation.measure import Evaluation
from ltfix.heads.head import STAGE1, Head
from ltfix.report.page import make_page
from ltfix.report.subject import Subject


def made_up(folder: Path, n_classes: int, dim: int, n_heads: int) -> Evaluation:
    """Three test samples a class around its mean; heads of these means that slight the tail more and less."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(n_classes, dim)).astype(np.float32)
    labels = np.repeat(np.arange(n_classes), 3)
    features = means[labels] + 3 * rng.normal(size=(len(labels), dim)).astype(np.float32)
    np.savez(folder / "test.npz", features=features.astype(np.float16), labels=labels)
    counts = np.maximum((1000 * 0.002 ** (np.arange(n_classes) / n_classes)).astype(np.int64), 2)
    prior = np.log(counts / counts.sum()).astype(np.float32)
    classes = tuple(f"class {k}" for k in range(n_classes))
    heads = [
        Head(
            means * (counts[:, None] / 1000) ** (0.2 - 0.1 * i),
            (4 - 2 * i) * prior,
            STAGE1 if i == 0 else f"head-{i}",
            counts=counts,
            classes=classes,
        )
        for i in range(n_heads)
    ]
    return Evaluation.of(heads, folder / "test.npz")


def main() -> None:
    """One line a number of classes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", default="100,8142")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--heads", type=int, default=3)
    given = parser.parse_args()
    for n_classes in map(int, given.classes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            evaluation = made_up(Path(folder), n_classes, given.dim, given.heads)
            began = time.perf_counter()
            page = make_page(Subject(evaluation), name=f"{n_classes} classes")
            seconds = time.perf_counter() - began
        size = len(page.encode()) / 1e6
        print(f"K = {n_classes}, {given.heads} heads, D = {given.dim}: {seconds:.1f} s, {size:.2f} MB")


if __name__ == "__main__":
    main()
