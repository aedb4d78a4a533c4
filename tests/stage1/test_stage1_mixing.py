"""MixUp and CutMix against their formulas and against torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from ltfix.stage1 import mixing
from ltfix.stage1.mixing import Draw
from ltfix.stage1.objectives import BatchPart


def images(n: int = 6, size: int = 8) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_mixup_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its partner is the image before; its λ is the one we give it."""
    x, labels = images(), torch.arange(6)
    monkeypatch.setattr(
        torch, "_sample_dirichlet", lambda alpha: torch.tensor([0.3, 0.7], dtype=torch.float64)
    )
    theirs, soft = v2.MixUp(num_classes=6, alpha=1.0)(x, labels)
    partner = torch.arange(6).roll(1)
    mixed, share = mixing.mix(x, partner, Draw(0.3, False, (0.5, 0.5)))
    assert share == 0.3
    assert torch.allclose(mixed, theirs, rtol=1e-6)
    assert torch.allclose(0.3 * torch.eye(6) + 0.7 * torch.eye(6)[partner], soft)


@pytest.mark.parametrize("centre", [(0.0, 0.5), (0.5, 0.25), (0.99, 0.99)])
def test_cutmix_is_torchvisions(monkeypatch: pytest.MonkeyPatch, centre: tuple[float, float]) -> None:
    """It draws the column first."""
    x, labels = images(), torch.arange(6)
    monkeypatch.setattr(torch, "_sample_dirichlet", lambda alpha: torch.tensor([0.4, 0.6]))
    places = iter([int(centre[1] * 8), int(centre[0] * 8)])
    monkeypatch.setattr(torch, "randint", lambda *a, **k: torch.tensor([next(places)]))
    theirs, soft = v2.CutMix(num_classes=6, alpha=1.0)(x, labels)
    partner = torch.arange(6).roll(1)
    mixed, share = mixing.mix(x, partner, Draw(0.4, True, centre))
    assert torch.equal(mixed, theirs)
    assert torch.allclose(share * torch.eye(6) + (1 - share) * torch.eye(6)[partner], soft)


def test_the_box_of_glmc_rounds_its_sides_up() -> None:
    """λ = 0.3 on 32 pixels: side ⌈32 √0.7⌉ = 27, half of it 13 to each side of the centre."""
    assert mixing.box((32, 32), 0.3, (0.5, 0.0), ceil=True) == [slice(3, 29), slice(0, 13)]
    assert mixing.box((32, 32), 1.0, (0.5, 0.5), ceil=True) == [slice(16, 16), slice(16, 16)]


def test_draws_follow_beta_and_take_turns() -> None:
    rng = np.random.default_rng(0)
    assert mixing.draw(rng, 0.0, 0.0) is None
    shares = [drawn.share for _ in range(4000) if (drawn := mixing.draw(rng, 1.0, 0.0))]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02) and np.var(shares) == pytest.approx(
        1 / 12, abs=0.005
    )
    both = [drawn.cut for _ in range(400) if (drawn := mixing.draw(rng, 0.2, 1.0))]
    assert 150 < sum(both) < 250
    always = mixing.draw(rng, 0.0, 1.0)
    assert always is not None and always.cut


def test_partners_are_all_images_once() -> None:
    order = BatchPart(seed=0, epoch=0, step=0, start=0).partners(7)
    assert sorted(order.tolist()) == list(range(7))
