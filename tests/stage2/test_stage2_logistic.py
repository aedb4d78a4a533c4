"""Logistic regression in few passes: literal values and gradients, an independent solver's optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from ltfix.stage2.fitting import logistic
from ltfix.stage2.fitting.logistic import Point, Problem, approach
from ltfix.stage2.fitting.newton import finish
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling

CPU = torch.device("cpu")


def clouds(n: int, dim: int, classes: int, seed: int = 0) -> Features:
    """A long tail of overlapping clouds whose dimensions fade by a power law, off the origin."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(
        1, np.round(n * np.geomspace(1, 0.02, classes) / np.geomspace(1, 0.02, classes).sum())
    )
    labels = np.repeat(np.arange(classes), counts.astype(int))
    spectrum = np.arange(1, dim + 1) ** -0.5
    means = rng.normal(size=(classes, dim)) * spectrum
    x = means[labels] + rng.normal(size=(len(labels), dim)) * spectrum + 1.0
    stored = x[:, None].astype(np.float32)
    return Features([stored], np.arange(len(labels)), labels, np.bincount(labels, minlength=classes))


def problem(data: Features) -> Problem:
    return Problem(data, Scaling.of(data.some_rows(), "none", "none"), CPU)


def turned(weight: torch.Tensor, ours: Problem) -> torch.Tensor:
    """A weight over centred features as one over the problem's."""
    return weight @ ours.axes if ours.turned else weight


def literal(data: Features, at: Point, penalty: float, ours: Problem) -> tuple[float, np.ndarray]:
    """f by autograd in float64 over features of unit mean square norm, and its gradient by the weight."""
    x = torch.from_numpy(data.mean_view()).double()
    x = (x - x.mean(0)) / x.square().sum(1).mean().sqrt()
    weight = at.weight.double().requires_grad_()
    value = F.cross_entropy(x @ weight.T + at.bias.double(), torch.from_numpy(data.labels))
    value = value + 0.5 * penalty * weight.square().sum()
    value.backward()
    return value.item(), weight.grad.numpy()


@pytest.mark.parametrize("kept", [True, False])
def test_value_and_gradient_are_literal(kept: bool, monkeypatch):
    if not kept:
        monkeypatch.setattr(logistic, "KEPT_BYTES", 0)
    monkeypatch.setattr(logistic, "BLOCK_VALUES", 1)  # blocks of 64 rows
    data = clouds(300, 7, 5)
    ours = problem(data)
    rng = torch.Generator().manual_seed(0)
    at = Point(torch.randn(5, 7, generator=rng), torch.randn(5, generator=rng))
    value, gradient, _ = ours.value_and_gradient(Point(turned(at.weight, ours), at.bias), 1e-3)
    expected, by_weight = literal(data, at, 1e-3, ours)
    assert value == pytest.approx(expected, rel=1e-5)
    found = turned(torch.from_numpy(by_weight).float(), ours)
    assert gradient.weight.numpy() == pytest.approx(found.numpy(), abs=1e-6)


def test_kept_features_are_turned_so_that_the_preconditioner_is_a_division(monkeypatch):
    data, rng = clouds(300, 7, 5), torch.Generator().manual_seed(0)
    gradient = Point(torch.randn(5, 7, generator=rng), torch.randn(5, generator=rng))
    kept = problem(data)
    found = kept.preconditioner(1e-3)(Point(turned(gradient.weight, kept), gradient.bias))
    monkeypatch.setattr(logistic, "KEPT_BYTES", 0)
    expected = problem(data).preconditioner(1e-3)(gradient)
    assert found.weight.numpy() == pytest.approx(turned(expected.weight, kept).numpy(), abs=1e-4)
    assert found.bias.numpy() == pytest.approx(expected.bias.numpy())


class NoFloat64(TorchDispatchMode):
    """Stands in for a device without float64: whatever would make such a tensor fails."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.dtype == torch.float64:
            raise TypeError(f"{func} makes float64")
        return found


@pytest.mark.parametrize("kept", [True, False])
def test_a_device_without_float64_solves_in_float32(kept: bool, monkeypatch):
    data, at = clouds(300, 7, 5), Point(torch.zeros(5, 7), torch.zeros(5))
    if not kept:
        monkeypatch.setattr(logistic, "KEPT_BYTES", 0)
    scaling = Scaling.of(data.some_rows(), "none", "none")
    wide = problem(data)
    expected = finish(wide, approach(wide, at, 1e-3, 2), 1e-3, tolerance=1e-9, most=30)[0]
    with NoFloat64(), pytest.raises(TypeError, match="makes float64"):
        Problem(data, scaling, CPU)
    monkeypatch.setattr(logistic, "widest", lambda device: torch.float32)
    with NoFloat64():
        ours = Problem(data, scaling, CPU, dtype=torch.float64)
        found = finish(ours, approach(ours, at, 1e-3, 2), 1e-3, tolerance=1e-9, most=30)[0]
    assert found.weight.dtype == torch.float32
    assert found.weight.numpy() == pytest.approx(expected.weight.numpy(), abs=2e-3)
    assert ours.head(found).weight.dtype == np.float32


@pytest.mark.parametrize("normalize", ["none", "standardize", "l2"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_solution_on_fewer_samples_is_where_another_problem_begins(kept: bool, normalize: str, monkeypatch):
    if not kept:
        monkeypatch.setattr(logistic, "KEPT_BYTES", 0)
    data = clouds(300, 7, 5)
    scaling = Scaling.of(data.some_rows(), "none", normalize)
    ours, fewer = (Problem(some, scaling, CPU) for some in (data, data.subset(np.arange(0, 300, 2))))
    found = approach(fewer, fewer.zero(), 1e-3, 20)
    ours_at, theirs = ours.head(ours.point(fewer.plain(found))), fewer.head(found)
    np.testing.assert_allclose(ours_at.weight, theirs.weight, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours_at.bias, theirs.bias, rtol=1e-3, atol=1e-5)


def test_statistics_are_those_of_all_samples():
    data = clouds(400, 6, 4)
    ours, x = problem(data), data.mean_view().astype(np.float64)
    scale = np.sqrt(np.square(x).sum(1).mean())
    assert ours.scale == pytest.approx(scale, rel=1e-5)
    assert ours.covariance.numpy() == pytest.approx(np.cov(x.T, bias=True) / scale**2, abs=1e-5)


@pytest.mark.parametrize("penalty", [1e-4, 1e-5, 1e-6])
def test_minibatches_and_a_few_passes_reach_scikit_learns_optimum(penalty: float):
    data = clouds(3000, 24, 10)
    ours = problem(data)
    found, value, passes = finish(
        ours, approach(ours, ours.zero(), penalty, 5), penalty, tolerance=3e-5, most=60
    )
    x = data.mean_view().astype(np.float64)
    x /= np.sqrt(np.square(x).sum(1).mean())
    solver = LogisticRegression(C=1 / (penalty * len(x)), max_iter=20_000, tol=1e-9).fit(x, data.labels)
    centred = Point(
        turned(torch.from_numpy(solver.coef_).float(), ours),
        torch.from_numpy(solver.intercept_ + solver.coef_ @ x.mean(0)).float(),
    )
    best, _, _ = ours.value_and_gradient(centred, penalty)
    assert value <= best * 1.001
    assert passes <= 40
    assert torch.isfinite(found.weight).all()


def test_a_far_start_and_an_unlucky_rate_still_end_at_the_optimum(monkeypatch):
    monkeypatch.setattr(logistic, "RATE", 200.0)
    data = clouds(3000, 24, 10)
    ours = problem(data)
    wild = approach(ours, ours.zero(), 1e-4, 5)
    calm = finish(ours, ours.zero(), 1e-4, tolerance=1e-6, most=200)[1]
    assert finish(ours, wild, 1e-4, tolerance=1e-6, most=200)[1] == pytest.approx(calm, rel=1e-3)


def test_batches_are_counted_as_they_come(monkeypatch):
    monkeypatch.setattr(logistic, "BUFFER_VALUES", 200 * 24)
    ours = problem(clouds(1000, 24, 10))
    for size in (7, 64, 300):
        assert ours.count_batches(size) == len(list(ours.batches(size, 0)))
