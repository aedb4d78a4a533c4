"""The published values stand in the table."""

from __future__ import annotations

from typing import Any

import pytest

from ltfix.stage1.entries import COMMON, PAPERS, PRESETS, RECIPES
from ltfix.stage1.recipes import find_recipe, resolve
from ltfix.stage2.methods.catalog import DRW, LOSSES

LDAM = {"lr": 0.1, "batch_size": 128, "weight_decay": 2e-4, "warmup_epochs": 5, "epochs": 200}
GLMC_LARGE = {"batch_size": 120, "lr": 0.1, "epochs": 135, "weight_decay": 2e-4, "warmup_epochs": 10}


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("ce", "cifar", {"lr": 0.01, "batch_size": 64, "weight_decay": 5e-3, "epochs": 200}),
        ("ce", "imagenet-lt", {"lr": 0.2, "batch_size": 512, "weight_decay": 5e-4, "epochs": 90}),
        ("ce", "inat", {"lr": 0.2, "batch_size": 512, "weight_decay": 1e-4, "epochs": 90}),
        ("mixup", "cifar", {**LDAM, "schedule": "gentle-steps", "mixup": 1.0}),
        (
            "mixup",
            "imagenet-lt",
            {"lr": 0.1, "batch_size": 256, "weight_decay": 5e-4, "epochs": 180, "mixup": 0.2},
        ),
        ("mixup", "inat", {"lr": 0.1, "batch_size": 256, "weight_decay": 1e-4, "epochs": 200, "mixup": 0.2}),
        (
            "ldam-drw",
            "cifar",
            {**LDAM, "schedule": "steps", "ldam_s": 30.0, "max_margin": 0.5, "drw_from": 0.8},
        ),
        (
            "glmc",
            "cifar",
            {"resample_weighting": 0.0, "label_weighting": 1.2, "contrast_weight": 4.0, "projection": 128},
        ),
        (
            "glmc",
            "imagenet-lt",
            {**GLMC_LARGE, "resample_weighting": 0.2, "contrast_weight": 10.0, "projection": 256},
        ),
        ("glmc", "inat", {"batch_size": 128, "lr": 0.1, "epochs": 120, "weight_decay": 1e-4}),
        (
            "etf-fr",
            "cifar",
            {"feature_decay": 0.01, "weight_decay": 5e-3, "lr": 0.01, "batch_size": 64, "epochs": 320},
        ),
        ("logit-adjusted", "cifar", {"tau": 1.0, "lr": 0.01}),
        ("cb", "cifar", {**LDAM, "schedule": "steps", "beta": 0.9999, "form": "softmax", "drw_from": 1.0}),
        ("ce-drw", "cifar", {**LDAM, "schedule": "steps", "beta": 0.9999, "drw_from": 0.8}),
        ("ce", "samn/cifar", {"epochs": 200, "batch_size": 64, "lr": 0.01, "weight_decay": 5e-3}),
        (
            "glmc",
            "samn/imagenet-lt",
            {"epochs": 135, "batch_size": 128, "lr": 0.1, "weight_decay": 2e-4, "contrast_weight": 10.0},
        ),
        ("glmc", "samn/inat", {"epochs": 120, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-3}),
        (
            "ce",
            "los/imagenet-lt",
            {"epochs": 200, "batch_size": 128, "lr": 0.03, "augment": "resized-crop,flip,color-jitter"},
        ),
        ("ce", "los/inat", {"epochs": 200, "batch_size": 256, "lr": 0.1, "schedule": "cosine"}),
    ],
)
def test_published_values(name: str, preset: str, expected: dict[str, Any]) -> None:
    values = resolve(find_recipe(name), preset, {})
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_a_recipe_is_made_of_what_there_is(recipe: Any) -> None:
    assert recipe.loss in LOSSES and recipe.test_head in recipe.heads
    known = set(recipe.values())
    changed = {*recipe.defaults, *(key for values in recipe.presets.values() for key in values)}
    assert changed <= known and set(COMMON) - set(DRW) <= known and set(recipe.presets) <= set(PRESETS)


def test_a_papers_preset_changes_what_there_is() -> None:
    for rows in PAPERS.values():
        assert set(rows) <= set(PRESETS)
        assert all(set(values) <= set(COMMON) for values in rows.values())
