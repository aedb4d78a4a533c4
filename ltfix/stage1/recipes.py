"""Recipes by name, and the values of a run.

A value is what the user gives, else the paper's whose preset it is, else the recipe's for the data set, else
the recipe's, else the data set's, else the one in ``COMMON``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.images import SMALL_IMAGE
from ltfix.stage1.entries import PAPERS, PRESETS, RECIPES, Recipe
from ltfix.stage2.methods.catalog import DRW, HEADS, SAMPLERS
from ltfix.stage2.methods.parts import LARGE_K, clash, lay_over

MANY_CLASSES = 5000  # from here the inat preset
_PUBLISHED = {"ImageNet-LT": "imagenet-lt", "iNaturalist 2018": "inat"}
_NAMED = {"cifar": "cifar", "imagenet": "imagenet-lt", "inat": "inat", "inaturalist": "inat"}


def recipes() -> list[Recipe]:
    """All recipes, in the order of the documentation.

    >>> import ltfix
    >>> [recipe.name for recipe in ltfix.recipes()][:3]
    ['ce', 'mixup', 'balanced-softmax']
    """
    return list(RECIPES)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name (UsageError: there is none; the nearest names are offered)."""
    known = {recipe.name: recipe for recipe in RECIPES}
    if name not in known:
        raise UsageError(f"unknown recipe {name!r}", where="recipe", hint=nearest(name, known))
    return known[name]


def choose_preset(
    name: str | None, image_size: int, n_classes: int, *, n: int = 0, source: str = ""
) -> tuple[str, str]:
    """The preset's name, and how the data set was known; "" where its name was given.

    Without a name it is by the images' side in pixels and K. A paper's is completed by the data set:
    ``samn/inat``, as its counts say, else the source's name, else size and K.

    Args:
        name: of ``PRESETS`` or ``PAPERS``, or such a pair.
        image_size, n_classes: S, 0 for tables of numbers, and K.
        n: training samples. source: kind and name of the source.

    Raises:
        UsageError: there is no such preset.
    """
    if name is None:
        return _by_size(image_size, n_classes), "by image size and classes"
    paper, _, data = name.rpartition("/")
    if name in PRESETS or data in PAPERS.get(paper, ()):
        return name, ""
    if name not in PAPERS:
        known = [*PRESETS, *PAPERS]
        raise UsageError(f"unknown preset {name!r}", where="preset", hint=nearest(name, known))
    if image_size == 0:
        raise UsageError("a paper's preset is of pictures", where="preset", hint="a table has its own")
    from ltfix.images.listing import BENCHMARKS

    counted = [_PUBLISHED.get(each) for each, size in BENCHMARKS.items() if size == (n, n_classes)]
    words = {word.removesuffix("lt") for word in re.findall("[a-z]+", source.lower())}  # of CIFAR100, iNat_LT
    named = [data for word, data in _NAMED.items() if word in words]
    for found, why in ((counted, "by its counts"), (named, "by the source's name")):
        if found and found[0] is not None:
            return f"{name}/{found[0]}", why
    return f"{name}/{_by_size(image_size, n_classes)}", "by image size and classes"


def _by_size(image_size: int, n_classes: int) -> str:
    if image_size == 0:
        return "table"
    if image_size <= SMALL_IMAGE:
        return "cifar"
    return "inat" if n_classes >= MANY_CLASSES else "imagenet-lt"


def resolve(recipe: Recipe, preset: str, given: Mapping[str, Any], n_classes: int = 0) -> dict[str, Any]:
    """Every value of a run.

    Args:
        recipe: the recipe.
        preset: as :func:`choose_preset` gives it.
        given: the user's values; None is "not given", text is read as the default's kind.
        n_classes: K, which decides some defaults.

    Raises:
        UsageError: a value that the recipe does not take (the nearest are offered), of the wrong kind
            or out of range, or that would do nothing; a sampler and a loss that would each correct the prior.
    """
    spec = recipe.values(preset)
    given = {name: value for name, value in given.items() if value is not None}
    values = lay_over(spec, given, f"recipe {recipe.name}")
    for name, by in ((name, value.by_classes) for name, value in spec.items() if values[name] is None):
        values[name] = by and by[n_classes >= LARGE_K]
    if values["warmup_epochs"] > values["epochs"]:
        raise UsageError(f"{values['warmup_epochs']} warm-up epochs are more than {values['epochs']} epochs")
    head = HEADS[recipe.head].under({"cosine": "plain"})
    own = recipe.part.values.get("beta", DRW["beta"]) is not DRW["beta"]
    if "beta" in given and not own and values.get("drw_from", 1) >= 1:
        raise UsageError("beta weighs classes from drw_from on", where="beta", hint="give drw_from below 1")
    why_not = clash({"head": head, "loss": recipe.part, "sampler": SAMPLERS[values["sampler"]]})
    if why_not is not None:
        raise UsageError(why_not, where=f"recipe {recipe.name}")
    return values
