"""SAMNLinear in anyone's training loop: what holds after training, and how it is made."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import ltfix
from ltfix.errors import InputError
from ltfix.pava import _solve
from ltfix.stage2.layers import samn
from ltfix.stage2.layers.samn import SAMNLinear

COUNTS = st.lists(st.integers(1, 200), min_size=2, max_size=12)


def trained(counts: list[int], seed: int, rate: float = 0.5, **options) -> tuple[SAMNLinear, np.ndarray]:
    """A module after 15 steps on noise, and its metric."""
    generator = torch.Generator().manual_seed(seed)
    module = SAMNLinear(5, len(counts), counts, **options)
    with torch.no_grad():
        module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
    sgd = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9)
    x = torch.randn(30, 5, generator=generator)
    y = torch.randint(len(counts), (30,), generator=generator)
    for _ in range(15):
        sgd.zero_grad()
        F.cross_entropy(module(x), y).backward()
        sgd.step()
    return module, np.asarray(counts)


@settings(max_examples=30, deadline=None)
@given(
    counts=COUNTS,
    seed=st.integers(0, 2**31),
    variant=st.sampled_from(samn.CHOICES["variant"]),
    projection=st.sampled_from(["pava", "recursive"]),
)
def test_row_norms_stay_monotone_in_the_metric(counts: list[int], seed: int, variant: str, projection: str):
    module, metric = trained(counts, seed, variant=variant, projection=projection)
    weight, _ = module.folded()
    norms = weight.detach().norm(dim=1).double()
    rare_to_frequent = np.argsort(metric, kind="stable")
    along = norms[torch.from_numpy(rare_to_frequent.copy())]
    if variant == "paper":  # ordered frequent to rare, ties too
        along = norms[torch.from_numpy(np.argsort(-metric, kind="stable"))].flip(0)
    assert bool((along.diff() <= 1e-5 * along[:-1]).all())
    assert bool((norms > (1 if projection == "pava" else 1 - 1e-6)).all())  # squares of raw run away here


@settings(max_examples=20, deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 2**31))
def test_row_norms_are_equal_inside_a_block(counts: list[int], seed: int):
    module, _ = trained(counts, seed)
    norms = module.folded()[0].detach().norm(dim=1)[module.perm]
    _, (edges,) = _solve(module.raw_weight.detach()[module.perm].numpy(), None)
    for start, stop in itertools.pairwise(edges):
        assert torch.allclose(norms[start:stop], norms[start], rtol=1e-5)


def test_documented_values_of_the_scale():
    module = SAMNLinear(2, 2, [1.0, 2.0]).double()
    with torch.no_grad():
        module.raw_weight.copy_(torch.tensor([0.0, 1.0]))
    scales = module.scales(module.raw_weight)
    assert scales.tolist() == pytest.approx([4.232, 2.141], abs=1e-3)
    paper = SAMNLinear(2, 2, [1.0, 2.0], variant="paper")
    assert paper.scales(paper.raw_weight).tolist() == pytest.approx([3.7183, 2.0], abs=1e-3)  # 1 + e^raw


@pytest.mark.parametrize("metric", [[7, 7, 7], [4.0, 4.0]], ids=str)
def test_a_constant_metric_scales_all_rows_alike(metric: list[float]):
    module = SAMNLinear(3, len(metric), metric)
    assert module.raw_weight.tolist() == pytest.approx([1e-6] * len(metric))
    assert module.folded()[0].norm(dim=1).tolist() == pytest.approx([4.232] * len(metric), abs=1e-3)


@pytest.mark.parametrize("scale", samn.CHOICES["scale"])
@pytest.mark.parametrize("variant", samn.CHOICES["variant"])
@pytest.mark.parametrize("value", [-1000.0, -30.0, -4.0, 30.0, 1000.0])
def test_far_raw_values_stay_finite(variant: str, scale: str, value: float):
    module = SAMNLinear(3, 4, [1, 2, 3, 4], variant=variant, scale=scale)
    with torch.no_grad():
        module.raw_weight.fill_(value)
        module.raw_bias.fill_(value)
    module(torch.ones(2, 3)).sum().backward()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
    assert all(torch.isfinite(t).all() for t in module.folded())


def test_gradcheck():
    torch.manual_seed(0)
    for variant in samn.CHOICES["variant"]:
        module = SAMNLinear(3, 5, [9, 1, 4, 4, 2], variant=variant).double()
        raw = torch.tensor([0.9, 0.35, 0.1, 0.7, 0.5], dtype=torch.float64)
        x = torch.randn(4, 3, dtype=torch.float64)

        def forward(weight, bias, raw_weight, raw_bias, module=module, x=x):
            own = {"weight": weight, "bias": bias, "raw_weight": raw_weight, "raw_bias": raw_bias}
            return torch.func.functional_call(module, own, (x,))

        inputs = (module.weight.detach() * 30, module.bias.detach(), raw, raw.flip(0))
        assert torch.autograd.gradcheck(forward, [t.clone().requires_grad_() for t in inputs])


def test_parts_leave_the_other_half_plain():
    linear = nn.Linear(3, 4)
    weight_only = SAMNLinear.from_linear(linear, [4, 3, 2, 1], part="weight")
    assert torch.equal(weight_only.folded()[1], linear.bias)
    assert not torch.equal(weight_only.folded()[0], linear.weight)
    bias_only = SAMNLinear.from_linear(linear, [4, 3, 2, 1], part="bias")
    assert torch.equal(bias_only.folded()[0], linear.weight)
    assert bool((bias_only.folded()[1] > linear.bias + 2).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_linear_and_back(dtype: torch.dtype):
    linear = nn.Linear(3, 4, bias=False).to(dtype)
    module = SAMNLinear.from_linear(linear, [4, 0, 2, 1])
    assert torch.equal(module.weight, linear.weight)
    assert module.bias.tolist() == [0] * 4
    x = torch.randn(2, 5, 3, dtype=dtype)
    torch.testing.assert_close(module.to_linear()(x), module(x))
    assert module(x).shape == (2, 5, 4)
    by_norm = SAMNLinear.from_linear(linear, metric="norm")
    assert torch.equal(by_norm.perm, linear.weight.norm(dim=1).argsort())


def test_state_dict_carries_everything_to_another_module():
    a, b = SAMNLinear(3, 4, [4, 3, 2, 1]), SAMNLinear(3, 4, [1, 1, 1, 1])
    b.load_state_dict(a.state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(a(x), b(x))
    assert set(dict(a.named_parameters())) == {"weight", "bias", "raw_weight", "raw_bias"}


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1, 2],), {}, "3 positive numbers"),
        (([1, 2, 0],), {}, "positive"),
        (([1, 2, float("nan")],), {}, "positive"),
        (([1, 2, 3],), {"variant": "papers"}, "code, paper"),
        (([1, 2, 3],), {"part": "all"}, "both, weight, bias"),
        (([1, 2, 3],), {"scale": "log"}, "exp, mul"),
    ],
)
def test_wrong_arguments(arguments, options, message: str):
    with pytest.raises(ValueError, match=message):
        SAMNLinear(5, 3, *arguments, **options)


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_a_metric_that_the_inverse_start_cannot_take(draw_cache, variant: str):
    form = {"start": "inverse", "variant": variant}
    assert torch.isfinite(SAMNLinear(5, 3, [1, 1, 1 / 29], **form)(torch.ones(5))).all()
    with pytest.raises(
        InputError, match=r"S would begin at 1e\+06, above 30, where a class's metric is 1e-06"
    ):
        SAMNLinear(5, 3, [1, 1, 1e-6], **form)
    cache = draw_cache([20, 10, 5])
    cache.head = dataclasses.replace(cache.head, weight=cache.head.weight * np.float32([[1], [1], [1e-3]]))
    with pytest.raises(InputError, match=r"S would begin at .*\(start=inverse\): start=minmax takes any"):
        ltfix.fit(cache, "samn", metric="norm", epochs=1, **form)


def test_wrong_arguments_of_from_linear():
    linear = nn.Linear(5, 3)
    with pytest.raises(ValueError, match="freq or norm"):
        SAMNLinear.from_linear(linear, [1, 2, 3], metric="count")
    with pytest.raises(ValueError, match="class_counts are needed"):
        SAMNLinear.from_linear(linear)
    with pytest.raises(ValueError, match="3 positive"):
        SAMNLinear.from_linear(linear, [1, 2])


def test_repr_says_what_it_is():
    assert "variant=code, part=both, scale=exp, projection=pava, start=minmax" in repr(
        SAMNLinear(5, 3, [1, 2, 3])
    )
