"""Recipes: listing, presets, and how values are resolved and refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ltfix.errors import UsageError
from ltfix.stage1 import recipes


def test_listing_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, ltfix.extraction.request, ltfix.stage1.request;"
        "from ltfix.stage1.recipes import recipes; assert recipes();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_recipe_says_where_it_is_from() -> None:
    for recipe in recipes.recipes():
        assert recipe.summary and recipe.source
        for preset in recipes.PRESETS:
            assert all(value.meaning for value in recipe.values(preset).values())


def test_ce_has_the_published_cifar_values() -> None:
    values = recipes.resolve(recipes.find_recipe("ce"), "cifar", {})
    assert (values["epochs"], values["batch_size"], values["lr"], values["weight_decay"]) == (
        200,
        64,
        0.01,
        5e-3,
    )
    assert (values["schedule"], values["augment"], values["momentum"]) == ("cosine", "crop,flip", 0.9)


def test_given_wins_over_preset_and_text_is_read() -> None:
    values = recipes.resolve(
        recipes.find_recipe("ce"), "imagenet-lt", {"lr": "0.3", "nesterov": "yes", "epochs": None}
    )
    assert (values["lr"], values["nesterov"], values["epochs"]) == (0.3, True, 90)


@pytest.mark.parametrize(
    ("size", "n_classes", "expected"), [(32, 8142, "cifar"), (224, 1000, "imagenet-lt"), (224, 8142, "inat")]
)
def test_preset_by_image_size_and_classes(size: int, n_classes: int, expected: str) -> None:
    assert recipes.choose_preset(None, size, n_classes) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epoch": 3}, "has no value 'epoch'.*did you mean epochs"),
        ({"lr": "fast"}, "lr must be a number"),
        ({"lr": 0}, "out of range"),
        ({"lr": float("nan")}, "lr must be a number"),
        ({"epochs": 0}, "out of range"),
        ({"momentum": 1.5}, "out of range"),
        ({"schedule": "sinus"}, "it may be cosine"),
        ({"nesterov": "perhaps"}, "true or false"),
        ({"warmup_epochs": 9, "epochs": 3}, "9 warm-up epochs"),
        ({"sampler": "nobody"}, "instance"),
    ],
)
def test_wrong_values_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipes.resolve(recipes.find_recipe("ce"), "cifar", given)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"known: ce|did you mean ce"):
        recipes.find_recipe("cee")
    with pytest.raises(UsageError, match="did you mean cifar"):
        recipes.choose_preset("cifra", 32, 10)
