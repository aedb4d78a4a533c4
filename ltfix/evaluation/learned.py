"""What a training run left to look at: batch norm by layer, and how often each class was forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files, runfile
from ltfix.errors import InputError
from ltfix.evaluation.shots import SHOTS, group
from ltfix.tensorfile import load_tensors


def batch_norms(run: Path) -> list[dict[str, Any]]:
    """Every batch norm of a run's backbone: its layer, and mean, least and most of γ and β.

    Empty where the run is unfinished, or its norms have none.
    """
    path = run / runfile.BACKBONE
    tensors = load_tensors(path)[0] if path.exists() else {}
    layers = [name.removesuffix(".running_var") for name in tensors if name.endswith(".running_var")]
    return [
        {
            "layer": layer,
            "gamma": _spread(tensors[f"{layer}.weight"]),
            "beta": _spread(tensors[f"{layer}.bias"]),
        }
        for layer in layers
        if {f"{layer}.weight", f"{layer}.bias"} <= tensors.keys()
    ]


def _spread(numbers: np.ndarray) -> dict[str, float]:
    wide = numbers.astype(np.float64)
    return {"mean": float(wide.mean()), "least": float(wide.min()), "most": float(wide.max())}


def forgetting(run: Path, counts: Any) -> list[float] | None:
    """[K]: how often a sample of each class went from right to wrong, on average (Toneva et al., ICLR 2019).

    None where the run's metrics do not say so for every epoch; 0 for a class without samples.
    """
    path = run / runfile.METRICS
    if counts is None or not path.exists():
        return None
    with files.os_errors(path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        events = np.array([files.parse_json(line, path)["forgotten"] for line in lines], np.float64)
    except (InputError, KeyError, TypeError, ValueError):
        return None
    n = np.asarray(counts, np.float64)
    if events.ndim != 2 or events.shape[1] != len(n):
        return None
    score: list[float] = (events.sum(0) / np.maximum(n, 1)).tolist()
    return score


def told(score: list[float] | None, counts: Any, classes: Sequence[str] | None) -> str:
    """How often samples were forgotten: the mean of classes, by shot, and in the class where it is most."""
    if not score:
        return ""
    of, shots = np.array(score), group(np.asarray(counts)).of
    means = [
        f"{shot.title()} {of[shots == i].mean():.2f}" for i, shot in enumerate(SHOTS) if (shots == i).any()
    ]
    most = int(of.argmax())
    name = classes[most] if classes else most
    return f"{of.mean():.2f} times a sample on average, {', '.join(means)}; most in {name}: {of[most]:.2f}"
