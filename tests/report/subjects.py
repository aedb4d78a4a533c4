"""A small long-tailed evaluation whose names are hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ltfix.evaluation.measure import Evaluation
from ltfix.features.read import FeatureCache
from ltfix.heads.head import STAGE1, Head
from ltfix.report.subject import Finding, Findings, Subject

HOSTILE = (
    "<script>alert(1)</script>",
    "$\\frac{a}{b}$ & $x_1",
    'a"onload="x',
    "\u202etxt.exe\x1b[2J",
    "-->]]></svg>{{7*7}}{% x %}",
    "lone \udcff half",
    "猫と犬",
)
COUNTS = np.array([300, 101, 100, 40, 20, 19, 3])


def subject(
    *, names: tuple[str, ...] | None = HOSTILE, stage1: bool = True, layers: int = 0, **more: Any
) -> Subject:
    """Seven classes, a stage-1 head that slights the tail, and two heads."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(7, 5)) * 2
    labels = np.repeat(np.arange(7), 40)
    features = (centres[labels] + rng.normal(size=(280, 5)) * 3).astype(np.float32)
    cache = FeatureCache(Path("test.npz"), [features[:, None]], labels, classes=names)
    tail = np.log(COUNTS / COUNTS.sum())
    bias = -0.5 * (centres**2).sum(1)

    def head(name: str, offset: Any) -> Head:
        given = {"classes": names, "counts": COUNTS, "path": None if name == STAGE1 else Path(name)}
        return Head(centres.astype(np.float32), (bias + offset).astype(np.float32), method=name, **given)

    heads = [head("<b>$mine$", 0.0), head("other", 0.5 * tail)]
    given = [head(STAGE1, 2 * tail)] * stage1 + heads
    return Subject(Evaluation.of(given, cache, random_layers=layers), **more)


def spread(mean: float, std: float | None = None) -> dict[str, float | None]:
    return {"mean": mean, "std": std}


def sweep_json(**over: list[Any]) -> dict[str, Any]:
    """A sweep as its JSON has it."""
    n = int(np.prod([len(points) for points in over.values()]))
    scores = ("all", "many", "medium", "few", "class_mean")
    points = [{**{s: spread((i + 1) / (n + 1), 0.01) for s in scores}, "diverged": False} for i in range(n)]
    return {"format": "ltfix-sweep/1", "method": "los", "on_test": False, "over": over, "points": points}


def compare_json() -> dict[str, Any]:
    row = {"all": spread(0.5, 0.1), "many": spread(0.9), "medium": None, "few": spread(0.2)}
    return {"format": "ltfix-compare/1", "rows": [{"name": "<i>$a$", **row}, {"name": "b", **row}]}


def trace_lines() -> list[dict[str, Any]]:
    shots = {"many": 0.9, "medium": None, "few": 0.1}
    line = {"format": "ltfix-trace/1", "seed": 0, "loss": 1.0, "val": shots, "row_norm": shots}
    return [{**line, "epoch": e, "class_norm": [e + k / 10 for k in range(7)]} for e in (0, 1, 2)]


def full() -> Subject:
    """With a finding of every kind, and random layers."""
    found = Findings(
        sweeps=[
            Finding("s", sweep_json(lr=[1e-4, 1e-2], delta=[0.1, 0.5])),
            Finding("t", sweep_json(metric=["a", "$b"])),
        ],
        comparisons=[Finding("<u>$c$", compare_json())],
        traces=[Finding("<s>$t$", trace_lines())],
    )
    return subject(findings=found, layers=2)
