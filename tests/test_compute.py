"""ltfix.compute: what auto means, and that global switches come back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltfix.compute import Compute, default_batch_size, resolve_precision
from ltfix.errors import UsageError

CPU = torch.device("cpu")


def test_auto_is_float32_on_the_cpu():
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"
    with pytest.raises(UsageError, match=r"unknown precision \(fp64\): did you mean fp16"):
        resolve_precision("fp64", CPU)


@given(st.sampled_from(["cpu", "cuda", "mps", "xpu"]), st.integers(1, 2000), st.integers(1, 64))
def test_batches_are_powers_of_two(kind: str, size: int, views: int):
    n = default_batch_size(torch.device(kind), size, views)
    assert n >= 1
    assert n & (n - 1) == 0
    assert n >= default_batch_size(torch.device(kind), size + 1, views)


def test_running_restores_what_it_sets():
    linear, x = torch.nn.Linear(3, 3), torch.rand(2, 3)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    with Compute(CPU, "bf16").running():
        assert linear(x).dtype == torch.bfloat16
        assert not torch.is_grad_enabled()
    with Compute(CPU, "fp32").running():
        assert linear(x).dtype == torch.float32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark) == before
    assert torch.is_grad_enabled()
