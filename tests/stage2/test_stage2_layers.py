"""Trainable heads: their closed-form steps against autograd with torch.optim.SGD, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix.heads.head import Head
from ltfix.stage2.layers.samn import CHOICES, SAMNLinear
from ltfix.stage2.layers.sgd import Sgd
from ltfix.stage2.loop import engine
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.catalog import HEADS

COUNTS = np.array([40, 12, 12, 3, 1])
K, D = len(COUNTS), 6


class Reference(nn.Module):
    """A head written as its paper does, for autograd; ``weight`` and ``bias`` are where it starts."""

    slow: tuple[str, ...] = ()
    no_decay: tuple[str, ...] = ()

    def __init__(self, weight: Tensor, bias: Tensor, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.v = values
        self.W, self.b = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W.T + self.b

    def test_logits(self, x: Tensor) -> Tensor:
        return self(x)

    def groups(self, lr: float, decay: float) -> list[dict[str, Any]]:
        factor = self.v.get("lr_factor", 1.0)
        return [
            {
                "params": [p],
                "lr": lr * (factor if name in self.slow else 1.0),
                "weight_decay": 0.0 if name in self.no_decay else decay,
            }
            for name, p in self.named_parameters()
            if p.requires_grad
        ]


class BiasOnly(Reference):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.W.requires_grad_(False)


class Scaled(Reference):
    slow = ("W", "b")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.f = nn.Parameter(torch.ones_like(self.b))

    def forward(self, x: Tensor) -> Tensor:
        return self.f * super().forward(x)


class Lws(Scaled):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.W.requires_grad_(False)
        self.b.requires_grad_(False)


class Cosine(Reference):
    no_decay = ("s",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        form = self.v["cosine"]
        scale = 1.0 if form == "plain" else self.v["s"]
        self.s = nn.Parameter(self.b.new_tensor(scale), requires_grad=form == "learnable")
        self.b.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        norm = x.norm(dim=-1, keepdim=True)
        x = x / (1 + norm) if self.v["cosine"] == "capsule" else x / norm
        return self.s * (x @ F.normalize(self.W, dim=1).T)


class Causal(Reference):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.b.requires_grad_(False)
        self.mean = torch.zeros_like(self.W[0])

    def blocks(self, t: Tensor) -> Tensor:
        return t.reshape(*t.shape[:-1], self.v["heads"], -1)

    def similarity(self, x: Tensor) -> Tensor:
        w = self.blocks(self.W)
        w = w / (w.norm(dim=-1, keepdim=True) + self.v["causal_gamma"])
        return self.v["causal_tau"] / self.v["heads"] * torch.einsum("bhd,khd->bk", x, w)

    def forward(self, x: Tensor) -> Tensor:
        self.mean = self.v["mean_momentum"] * self.mean + x.mean(0)
        return self.similarity(F.normalize(self.blocks(x), dim=-1))

    def test_logits(self, x: Tensor) -> Tensor:
        x, c = F.normalize(self.blocks(x), dim=-1), F.normalize(self.blocks(self.mean), dim=-1)
        return self.similarity(x - self.v["alpha"] * (x * c).sum(-1, keepdim=True) * c)


class DisAlign(Reference):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.W.requires_grad_(False)
        self.b.requires_grad_(False)
        self.a, self.m = nn.Parameter(torch.ones_like(self.b)), nn.Parameter(torch.zeros_like(self.b))
        self.u = nn.Parameter(torch.full_like(self.W[0], 0.1))
        self.u0 = nn.Parameter(torch.zeros_like(self.b[0]))

    def forward(self, x: Tensor) -> Tensor:
        z, c = super().forward(x), torch.sigmoid(x @ self.u + self.u0)[:, None]
        if self.v["variant"] == "paper":
            return c * (self.a * z + self.m) + (1 - c) * z
        return (1 + c * self.a) * z + c * self.m


class Samn(Reference):
    def __init__(self, weight: Tensor, bias: Tensor, values: Mapping[str, Any]) -> None:
        super().__init__(weight, bias, values)
        linear = nn.Linear(D, K).double()
        linear.load_state_dict({"weight": weight, "bias": bias})
        self.head = SAMNLinear.from_linear(linear, COUNTS, **values).double()
        del self.W, self.b

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


def samn_values(metric: str, variant: str, part: str, scale: str) -> dict[str, str]:
    plain = {"projection": "pava", "start": "minmax"}
    return {"metric": metric, "variant": variant, "part": part, "scale": scale, **plain}


CAUSAL = {"causal_tau": 16.0, "heads": 2, "causal_gamma": 1 / 32, "alpha": 3.0, "mean_momentum": 0.9}
CASES: dict[str, tuple[str, Callable[..., Reference], dict[str, Any]]] = {
    "linear": ("linear", Reference, {}),
    "etf": ("etf", BiasOnly, {}),
    "lws": ("lws", Lws, {}),
    "scaled": ("scaled", Scaled, {"lr_factor": 1.0}),
    "scaled slow": ("scaled", Scaled, {"lr_factor": 0.2}),
    "causal": ("causal", Causal, CAUSAL),
    "causal one block": ("causal", Causal, {**CAUSAL, "heads": 1, "alpha": 1.0}),
    "disalign paper": ("disalign", DisAlign, {"variant": "paper"}),
    "disalign code": ("disalign", DisAlign, {"variant": "code"}),
    **{
        f"cosine {form}": ("cosine", Cosine, {"cosine": form, "s": 16.0})
        for form in ("learnable", "fixed", "plain", "capsule")
    },
    **{
        f"samn {variant} {part} {scale}": ("samn", Samn, samn_values("freq", variant, part, scale))
        for variant in CHOICES["variant"]
        for part in CHOICES["part"]
        for scale in CHOICES["scale"]
    },
    "samn norm": ("samn", Samn, samn_values("norm", "code", "both", "exp")),
}
RATES, DECAYS = (0.05, 0.3), (0.0, 0.02)


@pytest.mark.parametrize("case", CASES)
def test_steps_equal_autograd_and_torch_sgd(case: str):
    """Two seeds by two settings in one batch; four steps; each run against its own module."""
    name, module, values = CASES[case]
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    weight, bias = draw(2, 2, K, D), draw(2, 2, K)
    xs, test = draw(4, 2, 9, D) + 0.5, draw(11, D)
    ys = torch.randint(K, (4, 2, 9), generator=generator)
    head = HEADS[name].function(weight, bias, COUNTS, [values, values])
    loss = build_loss("ce", torch.from_numpy(COUNTS), [{}, {}], dtype=torch.float64)
    sgd = Sgd(torch.tensor(RATES).double(), 0.9, torch.tensor(DECAYS).double())
    for x, y in zip(xs, ys, strict=True):
        engine.step(head, loss, x, y, sgd)
    for s in range(2):
        for m in range(2):
            reference = module(weight[s, m], bias[s, m], values)
            torch_sgd = torch.optim.SGD(reference.groups(RATES[m], DECAYS[m]), momentum=0.9)
            for x, y in zip(xs[:, s], ys[:, s], strict=True):
                torch_sgd.zero_grad()
                F.cross_entropy(reference(x), y).backward()
                torch_sgd.step()
            found, expected = as_head(head, s, m).logits(test), reference.test_logits(test)
            torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-6)


def as_head(trained: Any, s: int, m: int) -> Head:
    """What ``fit`` would save of run s, m (without the rounding to float32)."""
    tensors = {name: value[s, m].numpy() for name, value in trained.folded().items()}
    weight, bias = tensors.pop("weight"), tensors.pop("bias")
    return Head(weight, bias, transform=trained.transform, tensors=tensors)


@pytest.mark.parametrize("name", ["linear", "samn"])
def test_one_number_for_all_settings_is_the_same_as_one_each(name: str):
    values = samn_values("freq", "code", "both", "exp")
    heads = []
    rates, decays = torch.full((2,), 0.1).double(), torch.full((2,), 0.01).double()
    for sgd in (Sgd(0.1, 0.9, 0.01), Sgd(rates, 0.9, decays)):
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(1, 2, K, D, dtype=torch.float64, generator=generator)
        head = HEADS[name].function(weight, weight[..., 0].clone(), COUNTS, [values, values])
        loss = build_loss("ce", torch.from_numpy(COUNTS), [{}, {}], dtype=torch.float64)
        for _ in range(3):
            x = torch.randn(1, 7, D, dtype=torch.float64, generator=generator)
            engine.step(head, loss, x, torch.arange(7)[None] % K, sgd)
        heads.append(head.folded())
    torch.testing.assert_close(heads[0], heads[1])


@pytest.mark.parametrize("name", ["linear", "samn"])
def test_the_start_is_copied(name: str):
    weight, bias = torch.ones(1, 1, K, D), torch.zeros(1, 1, K)
    head = HEADS[name].function(weight, bias, COUNTS, [samn_values("freq", "code", "both", "exp")])
    loss = build_loss("ce", torch.from_numpy(COUNTS), [{}])
    engine.step(head, loss, torch.ones(1, 2, D), torch.tensor([[0, 1]]), Sgd(0.1, 0.9))
    assert bool((weight == 1).all())
    assert bool((bias == 0).all())


@pytest.mark.parametrize("metric", ["freq", "norm"])
def test_samn_with_zero_rows_two_classes_or_equal_counts_stays_finite(metric: str):
    for counts in ([1, 1], [5, 0], [3, 3, 3]):
        weight = torch.zeros(1, 1, len(counts), 4)
        weight[0, 0, 0] = 1.0
        values = samn_values(metric, "code", "both", "exp")
        head = HEADS["samn"].function(weight, torch.zeros(1, 1, len(counts)), np.array(counts), [values])
        loss = build_loss("ce", torch.tensor(counts), [{}])
        for _ in range(5):
            engine.step(head, loss, torch.randn(1, 6, 4), torch.arange(6)[None] % len(counts), Sgd(5e-4, 0.9))
        folded = head.folded()
        assert all(torch.isfinite(tensor).all() for tensor in folded.values())
