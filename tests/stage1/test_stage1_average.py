"""Precision, the average of weights, and what a precision demands."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ltfix.errors import EnvironmentFault, UsageError
from ltfix.stage1.average import Compute, MovingAverage, choose_compute

CPU = torch.device("cpu")


def test_auto_is_fp32_on_a_cpu() -> None:
    assert choose_compute(CPU, "auto", False) == Compute(CPU, "fp32", False)


def test_unknown_and_emulated_precisions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="did you mean bf16"):
        choose_compute(CPU, "bf61", False)
    monkeypatch.setattr("ltfix.device._cpu_has_bf16", lambda: False)
    with pytest.raises(EnvironmentFault, match="no bfloat16"):
        choose_compute(CPU, "bf16", False)


@pytest.mark.parametrize(
    ("precision", "dtype", "scaled"),
    [("fp32", torch.float32, False), ("bf16", torch.bfloat16, False), ("fp16", torch.float16, True)],
)
def test_the_forward_pass_is_in_its_precision(precision: str, dtype: torch.dtype, scaled: bool) -> None:
    compute = Compute(CPU, precision)
    with compute.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype
    assert compute.scaler().is_enabled() is scaled


def test_the_average_is_its_formula_and_warms_up() -> None:
    """m ← d·m + (1 − d)·w with d = min(decay, (1 + t)/(10 + t)); statistics too, counters copied."""
    network = nn.BatchNorm1d(2).double()
    average = MovingAverage(network, 0.9)
    mean = torch.ones(2, dtype=torch.float64)
    for t in range(100):
        with torch.no_grad():
            network.weight.fill_(float(t))
            network.num_batches_tracked.fill_(t)
        average.update(t)
        decay = min(0.9, (1 + t) / (10 + t))
        mean = decay * mean + (1 - decay) * t
    assert torch.allclose(average.tensors["weight"], mean, rtol=1e-12)
    assert int(average.tensors["num_batches_tracked"]) == 99
    with average.applied():
        assert torch.allclose(network.weight.detach(), mean, rtol=1e-12)
    assert torch.equal(network.weight.detach(), torch.full((2,), 99.0, dtype=torch.float64))
