"""Recipes by name, and the values of a run.

A value is what the user gives, else the recipe's for the preset, else the recipe's, else the preset's,
else the one in ``COMMON``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.images import SMALL_IMAGE
from ltfix.stage1.entries import PRESETS, RECIPES, Recipe
from ltfix.stage2.methods.catalog import HEADS, LOSSES, SAMPLERS
from ltfix.stage2.methods.parts import Value, clash

MANY_CLASSES = 5000  # from here the inat preset


def recipes() -> list[Recipe]:
    """All recipes, in the order of the documentation.

    >>> import ltfix
    >>> [recipe.name for recipe in ltfix.recipes()][:3]
    ['ce', 'mixup', 'balanced-softmax']
    """
    return list(RECIPES)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; the nearest names are offered.
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    if name not in known:
        raise UsageError(f"unknown recipe {name!r}", where="recipe", hint=nearest(name, known))
    return known[name]


def choose_preset(name: str | None, image_size: int, n_classes: int) -> str:
    """The preset's name: the one given, else by the images' side in pixels and K.

    Raises:
        UsageError: there is no such preset.
    """
    if name is not None:
        if name not in PRESETS:
            raise UsageError(f"unknown preset {name!r}", where="preset", hint=nearest(name, PRESETS))
        return name
    if image_size <= SMALL_IMAGE:
        return "cifar"
    return "inat" if n_classes >= MANY_CLASSES else "imagenet-lt"


def resolve(recipe: Recipe, preset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every value of a run.

    Args:
        recipe: the recipe.
        preset: a name of ``PRESETS``.
        given: the user's values; None is "not given", text is read as the default's kind.

    Raises:
        UsageError: a value that the recipe does not take (the nearest are offered), of the wrong kind
            or out of range; a sampler and a loss that would each correct the prior.
    """
    spec = recipe.values(preset)
    values = {name: value.default for name, value in spec.items()}
    for name, value in given.items():
        if value is None:
            continue
        if name not in spec:
            raise UsageError(
                f"recipe {recipe.name} has no value {name!r}", where=name, hint=nearest(name, spec)
            )
        values[name] = _read(name, value, spec[name])
    if values["warmup_epochs"] > values["epochs"]:
        raise UsageError(f"{values['warmup_epochs']} warm-up epochs are more than {values['epochs']} epochs")
    head = HEADS[recipe.head].under({"cosine": "plain"})
    why_not = clash({"head": head, "loss": LOSSES[recipe.loss], "sampler": SAMPLERS[values["sampler"]]})
    if why_not is not None:
        raise UsageError(why_not, where=f"recipe {recipe.name}")
    return values


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _read(name: str, value: Any, spec: Value) -> Any:
    """``value`` as the kind that the default is; what stage 2 has no kind for is read here."""
    if isinstance(spec.default, bool):
        word = str(value).lower()
        if word not in _TRUE + _FALSE:
            raise UsageError(f"{name} must be true or false, found {value!r}", where=name)
        return word in _TRUE
    if isinstance(spec.default, str) and not spec.choices:
        return str(value)
    return spec.read(name, value)
