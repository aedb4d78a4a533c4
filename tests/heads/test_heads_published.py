"""Heads that others published, said in ltfix's file format: equal logits to their own code's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ltfix.heads.head import Head

Golden = Callable[[str], dict[str, np.ndarray]]


@pytest.fixture
def values(golden: Golden) -> dict[str, np.ndarray]:
    return golden("heads_official")


def logits(values: dict[str, np.ndarray], weight: Any, bias: Any = None, **kw: Any) -> np.ndarray:
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    head = Head(np.asarray(weight, np.float32), np.asarray(bias, np.float32), "x", **kw)
    return np.asarray(head.logits(values["test_X"]))


@pytest.mark.parametrize(
    ("name", "transform"),
    [("un", None), ("l2n", {"kind": "l2"}), ("cl2n", {"kind": "center+l2"})],
)
def test_nearest_class_mean(
    values: dict[str, np.ndarray], name: str, transform: dict[str, str] | None
) -> None:
    """−‖T(x) − c‖² is 2 c·T(x) − ‖c‖² up to a constant per sample; "cos" is c·T(x) / D."""
    c = values[f"ncm.{name}.centroids"]
    tensors = {"center": values["ncm.mean"].ravel()} if name == "cl2n" else {}
    near = logits(values, 2 * c, -(c**2).sum(1), transform=transform, tensors=tensors)
    expected = values[f"ncm.{name}.l2.logits"]
    np.testing.assert_allclose(
        near - near.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=2e-5
    )
    cosine = logits(values, c / c.shape[1], transform=transform, tensors=tensors)
    np.testing.assert_allclose(cosine, values[f"ncm.{name}.cos.logits"], atol=2e-5)


@pytest.mark.parametrize(
    ("name", "scale", "kind"),
    [("cosine_s25.logits", 25, "l2"), ("normedlinear.cos", 1, "l2"), ("cosnorm16.logits", 16, "capsule")],
)
def test_cosine_heads(values: dict[str, np.ndarray], name: str, scale: float, kind: str) -> None:
    rows = values["W"] / np.linalg.norm(values["W"], axis=1, keepdims=True)
    found = logits(values, scale * rows, transform={"kind": kind})
    np.testing.assert_allclose(found, values[name], atol=2e-5)


def test_causal_inference_head(values: dict[str, np.ndarray]) -> None:
    """Taking the momentum direction away (α = 3) is linear in the two halves' unit vectors."""
    heads, tau, alpha, gamma = 2, 16.0, 3.0, 1 / 32
    halves = np.split(values["W"], heads, axis=1), np.split(values["causal.embed"].ravel(), heads)
    parts = []
    for rows, direction in zip(*halves, strict=True):
        w = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + gamma)
        e = direction / np.linalg.norm(direction)
        parts.append(tau / heads * (w - alpha * np.outer(w @ e, e)))
    found = logits(values, np.hstack(parts), transform={"kind": "l2", "groups": heads})
    np.testing.assert_allclose(found, values["causal.tde_logits"], atol=2e-5)


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize(("form", "shift"), [("disalign_cls.logits", 0.0), ("disalign_interp.logits", -1.0)])
def test_disalign(golden: Golden, k: int, form: str, shift: float) -> None:
    """ẑ = z + c (a⊙z + m) as published in code; the paper's interpolation is the same with a − 1."""
    v = {name.removeprefix(f"k{k}."): value for name, value in golden("losses_official").items()}
    head = Head(
        v["W"],
        v["b"],
        "disalign",
        transform={"kind": "disalign"},
        tensors={
            "confidence_weight": v["disalign.conf_weight"].ravel(),
            "confidence_bias": v["disalign.conf_bias"].reshape(()),
            "logit_scale": v["disalign.scale"].ravel() + np.float32(shift),
            "logit_bias": v["disalign.margin"].ravel(),
        },
    )
    expected = v[form]
    assert np.abs(head.logits(v["X"]) - expected).max() / np.abs(expected).max() < 2e-5
