"""A trace says what was there after every epoch, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

import ltfix
from ltfix.features.cache import FeatureCache
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting.trace import Trace

COUNTS = [120, 40, 12, 5]


def test_the_lines_are_of_the_heads_after_each_epoch(draw_cache: Callable[..., FeatureCache]):
    train, val = draw_cache(COUNTS, spread=2.5), draw_cache([30] * 4, spread=2.5, seed=1, stage1=False)
    plan, trace = plan_fit("samn", {"epochs": 3, "schedule": "constant"}), Trace()
    heads = plan.train(train, [0, 7], val=val, trace=trace)
    lines = [json.loads(line) for line in trace.pack().decode().splitlines()]
    assert [(line["epoch"], line["seed"]) for line in lines] == [(e, s) for e in (0, 1, 2, 3) for s in (0, 7)]
    assert all(np.isfinite(line["loss"]) for line in lines)
    for head, line in zip(heads, lines[-2:], strict=True):
        scored = ltfix.evaluate([train, head], val).heads[1]
        assert {key: scored[key] for key in ("all", "many", "medium", "few")} == line["val"]
        norms = np.linalg.norm(head.weight.astype(float), axis=1)
        assert line["row_norm"]["medium"] == pytest.approx(norms[1])
        assert line["row_norm"]["few"] == pytest.approx(norms[2:].mean())
    shorter = plan_fit("samn", {"epochs": 1, "schedule": "constant"}).train(train, [0], val=val)[0]
    first = np.linalg.norm(shorter.weight.astype(float), axis=1)
    assert lines[2]["row_norm"]["many"] == pytest.approx(first[0])
    assert lines[2]["class_norm"] == pytest.approx(first, abs=1e-6)
    start = np.exp(1 / np.log1p(np.exp([1, 0])))  # SAMN's of the commonest and of the rarest class
    unit = heads[0].meta["coordinates"]
    assert np.array(lines[0]["class_norm"])[[0, -1]] / start == pytest.approx([1, 1], rel=1e-4), unit
    untraced = plan.train(train, [0, 7], val=val)
    assert [head.pack("a") for head in untraced] == [head.pack("a") for head in heads]


def test_the_loss_is_the_method_s_own(draw_cache: Callable[..., FeatureCache]):
    train, trace = draw_cache(COUNTS), Trace()
    head = plan_fit("ce", {"epochs": 2}).train(train, [0], trace=trace)[0]
    logits = head.mean_logits(train.features).astype(float)
    logits -= logits.max(1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert trace.lines[-1]["loss"] == pytest.approx(
        -np.log(p[np.arange(train.n), train.labels]).mean(), rel=1e-4
    )
    assert "val" not in trace.lines[-1]
