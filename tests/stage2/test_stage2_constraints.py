"""MaxNorm: the published projection, and what holds after it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ltfix
from ltfix.errors import UsageError
from ltfix.stage2.loop.constraints import MaxNorm


def test_the_published_projection(golden64):
    g = golden64("heads_official")
    constraint = MaxNorm.of(g["W"][None, None], "epoch")
    assert abs(float(constraint.threshold) - float(g["maxnorm.threshold"])) < 1e-5
    for start, end in (("W", "first"), ("maxnorm.weight_perturbed", "second")):
        weight = g[start][None, None].clone()
        dataclasses.replace(constraint, rows=weight).after("epoch")
        assert float((weight[0, 0] - g[f"maxnorm.weight_after_{end}"]).abs().max()) < 1e-5


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), stretch=st.floats(0.1, 10))
def test_no_row_is_longer_than_the_threshold_and_short_rows_stay(seed: int, stretch: float):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=generator)
    constraint = MaxNorm.of(start, "step")
    norms = start.norm(dim=-1)
    torch.testing.assert_close(constraint.threshold, norms.amin(-1) + 0.1 * (norms.amax(-1) - norms.amin(-1)))
    weight = start * stretch
    before = weight.clone()
    dataclasses.replace(constraint, rows=weight).after("epoch")
    assert torch.equal(weight, before)
    dataclasses.replace(constraint, rows=weight).after("step")
    assert bool((weight.norm(dim=-1) <= constraint.threshold[..., None] * (1 + 1e-12)).all())
    short = before.norm(dim=-1) <= constraint.threshold[..., None]
    assert torch.equal(weight[short], before[short])
    lengths = weight.norm(dim=-1, keepdim=True) / before.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(weight, before * lengths)


def test_a_normalised_start_trains_freely_from_unit_rows(draw_cache):
    cache = draw_cache([40, 12, 4])
    head = ltfix.fit(cache, "maxnorm", normalise_start=True, epochs=3, feature_scale="none")
    unit = cache.head.weight / np.linalg.norm(cache.head.weight, axis=1, keepdims=True)
    cache.head = ltfix.Head(unit, cache.head.bias, "stage-1")
    same = ltfix.fit(cache, "cb", form="bce", epochs=3, feature_scale="none")  # weight balancing's loss alone
    np.testing.assert_allclose(head.weight, same.weight, atol=1e-7)
    assert head.meta["values"]["normalise_start"] == {"value": "true", "from": "option"}
    assert "every" not in head.meta["values"]
    with pytest.raises(UsageError, match="every is not used with normalise_start=true"):
        ltfix.fit(cache, "maxnorm", normalise_start="true", every="step")
