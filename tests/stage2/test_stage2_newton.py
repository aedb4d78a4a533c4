"""The logistic regression's last steps: the Hessian of some samples, and who they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_stage2_logistic import CPU, clouds, problem
from torch.nn import functional as F

from ltfix.features.read import open_cache
from ltfix.stage2.fitting import logistic, newton
from ltfix.stage2.fitting.logistic import Point, Problem, approach
from ltfix.stage2.fitting.newton import Hessian, draw, finish
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("few", [True, False])
def test_of_all_samples_it_is_the_hessian_and_what_is_added(kept: bool, few: bool, monkeypatch):
    if not kept:
        monkeypatch.setattr(logistic, "KEPT_BYTES", 0)
    ours, rng = problem(clouds(200, 6, 4)), torch.Generator().manual_seed(0)
    at = Point(torch.randn(4, 6, generator=rng), torch.randn(4, generator=rng))
    d = Point(torch.randn(4, 6, generator=rng), torch.randn(4, generator=rng))
    _, _, losses = ours.value_and_gradient(at, 1e-3)
    monkeypatch.setattr(newton, "draw", lambda shares, most: (np.arange(ours.n), np.ones(ours.n)))
    monkeypatch.setattr(newton, "LEAST", ours.n if few else 1)
    found = Hessian(ours, at, losses, 1e-3)
    inner = Point(d.weight if kept else d.weight @ ours.axes, d.bias)
    x, y = (torch.cat(parts).double() for parts in zip(*ours.blocks(), strict=True))

    def mean_loss(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(x @ weight.T + bias, y.long())

    _, (weight, bias) = torch.autograd.functional.hvp(
        mean_loss, (at.weight.double(), at.bias.double()), (d.weight.double(), d.bias.double())
    )
    residuals = torch.softmax(x @ at.weight.T.double() + at.bias, 1) - F.one_hot(y.long(), 4)
    wrong = residuals.abs().mean(0) * (0 if few else 6 / (6 + ours.n))
    curved = found.product(inner)
    expected = (weight if kept else weight @ ours.axes.double()) + inner.weight * (
        wrong[:, None] * ours.spectrum + 1e-3
    )
    assert curved.weight.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert curved.bias.numpy() == pytest.approx((bias + d.bias * (wrong + 1e-3)).numpy(), abs=1e-6)
    monkeypatch.setattr(found, "products", 60)
    monkeypatch.setattr(newton, "ACCURATE", 0.0)
    solved = found.solve(Point(curved.weight if kept else curved.weight @ ours.axes.T, curved.bias))
    assert solved.weight.numpy() == pytest.approx(d.weight.numpy(), abs=1e-2)
    assert solved.bias.numpy() == pytest.approx((d.bias - d.bias.mean()).numpy(), abs=1e-2)


def test_few_samples_end_at_the_optimum_where_they_are_hardly_curved():
    """Some products with a sample of the Hessian made 200 steps there and had not arrived."""
    rng = np.random.default_rng(1)
    labels = np.sort(np.arange(405) % 32)
    x = rng.normal(size=(32, 30))[labels] + 3.3 * rng.normal(size=(405, 30))
    data = Features.of(open_cache((x.astype(np.float32), labels)))
    ours = Problem(data, Scaling.of(data.some_rows(), "auto", "none"), CPU, dtype=torch.float64)
    at = approach(ours, ours.zero(), 1e-6, 5)
    assert finish(ours, at, 1e-6, tolerance=1e-10, most=200)[2] < 30


def test_rows_are_drawn_as_their_shares_say_and_weighted_so_that_sums_stay():
    shares = np.random.default_rng(0).exponential(size=10_000) ** 2
    index, times = draw(shares, 1000)
    assert len(index) == pytest.approx(np.minimum(1, 1000 * shares / shares.sum()).sum(), abs=1)
    assert (times >= 1).all()
    assert (shares[index] * times).sum() == pytest.approx(shares.sum(), rel=0.02)
    everyone, ones = draw(shares, 10**15)
    assert list(everyone) == list(range(10_000))
    assert (ones == 1).all()
    assert not len(draw(np.zeros(5), 3)[0])


@pytest.mark.parametrize(("n", "dim", "classes"), [(6000, 32, 20), (600, 200, 20)])
def test_a_weak_penalty_takes_few_passes(n: int, dim: int, classes: int):
    ours = problem(clouds(n, dim, classes))
    at = approach(ours, ours.zero(), 1e-7, 5)
    _, value, passes = finish(ours, at, 1e-7, tolerance=3e-5, most=200)
    best = finish(ours, at, 1e-7, tolerance=1e-8, most=400)[1]
    assert value <= best * 1.001
    assert passes <= 40


def test_it_ends_at_the_optimum_from_where_all_are_sure_of_the_wrong_class():
    ours = problem(clouds(3000, 24, 10))
    calm = finish(ours, ours.zero(), 1e-6, tolerance=1e-6, most=200)[1]
    wild = torch.randn(10, 24, generator=torch.Generator().manual_seed(0)) * 100
    assert finish(ours, Point(wild, torch.zeros(10)), 1e-6, tolerance=1e-6, most=200)[1] == pytest.approx(
        calm, rel=1e-3
    )
