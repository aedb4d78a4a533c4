"""Recipes: listing, presets, and how values are resolved and refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ltfix.errors import LtfixError, UsageError
from ltfix.stage1 import recipes
from ltfix.stage1.entries import Recipe


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
    assert recipes.choose_preset(None, size, n_classes) == (expected, "by image size and classes")


@pytest.mark.parametrize(
    ("size", "k", "n", "source", "expected"),
    [
        (32, 1000, 115_846, "list x", ("samn/imagenet-lt", "by its counts")),
        (224, 8142, 437_513, "list x", ("samn/inat", "by its counts")),
        (224, 10, 7, "cifar10 batches", ("samn/cifar", "by the source's name")),
        (32, 10, 7, "folder iNaturalist18", ("samn/inat", "by the source's name")),
        (32, 100, 7, "list ImageNetLT.txt", ("samn/imagenet-lt", "by the source's name")),
        (32, 10, 7, "folder contaminated", ("samn/cifar", "by image size and classes")),
        (224, 365, 62_500, "list places", ("samn/imagenet-lt", "by image size and classes")),
        (32, 10, 7, "folder photos", ("samn/cifar", "by image size and classes")),
    ],
)
def test_a_papers_preset_is_of_the_data_set(
    size: int, k: int, n: int, source: str, expected: tuple[str, str]
) -> None:
    assert recipes.choose_preset("samn", size, k, n=n, source=source) == expected
    assert recipes.choose_preset("los/inat", size, k, n=n, source=source) == ("los/inat", "")


def test_a_table_has_a_preset_of_its_own_and_no_papers() -> None:
    assert recipes.choose_preset(None, 0, 100)[0] == "table"
    with pytest.raises(UsageError, match="of pictures"):
        recipes.choose_preset("samn", 0, 100)
    values = recipes.resolve(recipes.find_recipe("mixup"), "table", {})
    assert (values["optimizer"], values["lr"], values["augment"], values["mixup"]) == (
        "adamw",
        1e-3,
        "none",
        1.0,
    )


def resolve_k(recipe: Recipe, n_classes: int) -> float:
    return float(recipes.resolve(recipe, "cifar", {}, n_classes)["delta"])


def test_a_loss_brings_its_values_and_its_classifier() -> None:
    ce, ldam = recipes.find_recipe("ce"), recipes.find_recipe("ldam-drw")
    assert recipes.resolve(ce.with_loss("los"), "cifar", {"delta": "0.9"})["delta"] == 0.9
    assert resolve_k(ce.with_loss("los"), 10) == 0.98 and resolve_k(ce.with_loss("los"), 1000) == 0.99
    assert (ce.with_loss("ldam").head, ldam.with_loss("ce").head) == ("cosine", "linear")
    assert ldam.with_loss("ce").values()["drw_from"].default == 0.8  # CE-DRW
    assert recipes.find_recipe("etf-fr").with_loss("focal").head == "etf"
    for recipe, loss in (("glmc", "los"), ("ce", "lso"), ("ce", "no.py:loss")):
        with pytest.raises(LtfixError):
            recipes.find_recipe(recipe).with_loss(loss)


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
        ({"beta": 0.99}, "give drw_from below 1"),
    ],
)
def test_wrong_values_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipes.resolve(recipes.find_recipe("ce"), "cifar", given)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"known: ce|did you mean ce"):
        recipes.find_recipe("cee")
    for name, nearest in (("cifra", "cifar"), ("samm", "samn"), ("samn/inet", "samn")):
        with pytest.raises(UsageError, match=f"did you mean {nearest}"):
            recipes.choose_preset(name, 32, 10)
