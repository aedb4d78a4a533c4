"""Weight decay and the features of a table: scikit-learn's digits, cut to a long tail, five seeds.

python benchmarks/decay.py             # prints the table of docs/train.md
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import ltfix

SETTINGS = (
    {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.0},
    {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 1.0},
    {"optimizer": "sgd", "lr": 0.05, "weight_decay": 0.0},
    {"optimizer": "sgd", "lr": 0.05, "weight_decay": 5e-2},
)
NETWORK = {"model": "mlp", "model_args": {"layers": 2, "width": 64}, "epochs": 100, "dropout": 0.1}
CUT = {"imbalance_factor": 50, "device": "cpu", "threads": 1}
SEEDS = range(5)


def write_digits(path: Path) -> None:
    """1000 rows to train on and 797 to test, before the cut."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    split = np.where(np.arange(len(y)) < 1000, "train", "test")
    np.savez(path, X=x[order], y=y[order], split=split)


def measure(data: Path, folder: Path, seed: int, setting: dict[str, object]) -> list[float]:
    """Fisher's ratio on train and test, and accuracy on test: all, few."""
    run = ltfix.train_backbone(data, out=folder / "run", seed=seed, **NETWORK, **CUT, **setting)
    caches = ltfix.extract(data, backbone=str(run.path), out=folder / "features", **CUT)
    ratios = [ltfix.evaluate([], cache, "features").to_dict()["features"]["fdr"] for cache in caches.values()]
    row = ltfix.evaluate([caches["train"].head], caches["test"]).heads[0]
    return [*ratios, 100 * row["all"], 100 * row["few"]]


def main() -> None:
    """Train every setting with every seed and print means and standard deviations."""
    print("| optimizer, rate, decay | FDR, train | FDR, test | All | Few |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "digits.npz"
        write_digits(data)
        for i, setting in enumerate(SETTINGS):
            rows = np.array([measure(data, Path(place) / f"{i}-{seed}", seed, setting) for seed in SEEDS])
            cells = zip(rows.mean(0), rows.std(0, ddof=1), strict=True)
            told = " | ".join(f"{mean:.1f} ± {std:.1f}" for mean, std in cells)
            print(f"| {', '.join(map(str, setting.values()))} | {told} |", flush=True)


if __name__ == "__main__":
    main()
