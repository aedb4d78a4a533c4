"""The average of weights is its formula."""

from __future__ import annotations

import torch
from torch import nn

from ltfix.stage1.average import MovingAverage


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
