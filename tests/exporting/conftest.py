"""Heads of small random bodies, fitted on the features of real pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ltfix

BODIES = {
    "distilled": ("deit_tiny_distilled_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}),
    "vit": ("vit_tiny_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}),
    "convnext": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}),
    "convolution": ("resnetv2_50", {"layers": (1, 1, 1, 1), "channels": (16, 32, 48, 64), "stem_chs": 8}),
    "torchvision": ("torchvision:shufflenet_v2_x0_5", {}),
    "ours": ("cifar_resnet32", {}),
}


@dataclasses.dataclass(frozen=True)
class Project:
    """A training cache and heads of it, by kind."""

    data: Path
    cache: ltfix.FeatureCache
    heads: dict[str, ltfix.Head]


@pytest.fixture(scope="session")
def project(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """``project("vit")``: the photos' features of that body, each extracted once."""
    made: dict[str, Project] = {}

    def make(body: str) -> Project:
        if body not in made:
            name, args = BODIES[body]
            out = tmp_path_factory.mktemp(body) / "features"
            caches = ltfix.extract(
                photos, backbone=name, out=out, model_args=args, pretrained=False, image_size=64,
                dtype="float32", precision="fp32", device="cpu",
            )  # fmt: skip
            made[body] = Project(photos, caches["train"], heads_of(caches["train"]))
        return made[body]

    return make


def heads_of(cache: ltfix.FeatureCache) -> dict[str, ltfix.Head]:
    """A head of every kind for the features of a cache."""
    rng = np.random.default_rng(0)
    k, dim = cache.n_classes, cache.dim

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    linear = ltfix.Head(
        draw(k, dim), draw(k), "samn", cache.classes, cache.counts, meta={"cache": cache.fingerprint}
    )
    shapes = {"confidence_weight": [dim], "confidence_bias": [], "logit_scale": [k], "logit_bias": [k]}
    disalign = {name: draw(*shape) for name, shape in shapes.items()}
    center = {"center": draw(dim)}
    transforms = {
        "cosine": ({"kind": "l2"}, {}),
        "center": ({"kind": "center+l2", "groups": 2}, center),
        "standardize": ({"kind": "standardize+l2"}, {**center, "spread": abs(draw(dim)) + 0.1}),
        "capsule": ({"kind": "capsule", "unit": 0.5}, {}),
        "disalign": ({"kind": "disalign"}, disalign),
    }
    others = {
        name: dataclasses.replace(linear, transform=kind, tensors=tensors)
        for name, (kind, tensors) in transforms.items()
    }
    calibrated = dataclasses.replace(linear, temperature=abs(draw(k)) + 0.5)
    return {"linear": linear, "calibrated": calibrated, **others}
