"""Heads over logits: the published learnable weight scaling and DisAlign."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ltfix.stage2.layers.linear import DisAlign, ScaledLogits
from ltfix.stage2.layers.sgd import Sgd
from ltfix.stage2.loop import engine
from ltfix.stage2.losses.loss import build_loss


def batch(t: Tensor) -> Tensor:
    """One seed, one setting."""
    return t[None, None].clone()


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert float((found - expected).abs().max()) < tolerance


def test_published_weight_scaling(golden64):
    g = golden64("heads_official")
    head = ScaledLogits(batch(g["W"]), batch(g["b"]), g["counts"].numpy(), [{}])
    head.scale = batch(g["lws.scales"])
    x, y = g["test_X"][None], g["test_y"][None]
    loss = build_loss("ce", g["counts"], [{}], dtype=torch.float64)
    z = head.logits(x)
    near(z[0, :, 0], g["lws.logits_scalebias"], 2e-5)
    near(loss.value(z, y), g["lws.loss"])
    engine.step(head, loss, x, y, Sgd(1.0, 0.0))
    near(g["lws.scales"] - head.scale[0, 0], g["lws.grad_scales"])


@pytest.mark.parametrize("k", ["k10", "k100"])
def test_published_disalign(golden64, k: str):
    g = golden64("losses_official")
    x, y = g[f"{k}.X"][None], g[f"{k}.labels"][None]
    loss = build_loss("grw", g[f"{k}.counts"], [{"rho": 1.2}], dtype=torch.float64)
    head = DisAlign(batch(g[f"{k}.W"]), batch(g[f"{k}.b"]), g[f"{k}.counts"].numpy(), [{"variant": "code"}])
    own = {"gain": "scale", "margin": "margin", "confidence": "conf_weight", "confidence_bias": "conf_bias"}
    before = {}
    for name, key in own.items():
        before[key] = g[f"{k}.disalign.{key}"].reshape(getattr(head, name).shape)
    head.confidence, head.confidence_bias = before["conf_weight"].clone(), before["conf_bias"].clone()
    near(head.logits(x)[0, :, 0], g[f"{k}.disalign_cls.init_logits"], 2e-5)
    head.gain, head.margin = before["scale"].clone(), before["margin"].clone()
    z = head.logits(x)
    near(z[0, :, 0], g[f"{k}.disalign_cls.logits"], 2e-5)
    near(loss.value(z, y), g[f"{k}.disalign_cls.grw1.2_loss"], 2e-5)
    engine.step(head, loss, x, y, Sgd(1.0, 0.0))
    for name, key in own.items():
        expected = g[f"{k}.disalign_cls.grad_{key}"].reshape(before[key].shape)
        near(before[key] - getattr(head, name), expected, 2e-5 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize("k", ["k10", "k100"])
def test_published_interpolating_disalign(golden64, k: str):
    g = golden64("losses_official")
    head = DisAlign(batch(g[f"{k}.W"]), batch(g[f"{k}.b"]), g[f"{k}.counts"].numpy(), [{"variant": "paper"}])
    x = g[f"{k}.X"][None]
    near(head.logits(x), head.frozen.logits(x), 1e-12)  # the identity at its start
    for name, key in (("gain", "scale"), ("margin", "margin"), ("confidence", "conf_weight")):
        setattr(head, name, g[f"{k}.disalign.{key}"].reshape(getattr(head, name).shape))
    head.confidence_bias = g[f"{k}.disalign.conf_bias"].reshape(1, 1)
    near(head.logits(x)[0, :, 0], g[f"{k}.disalign_interp.logits"], 2e-5)
