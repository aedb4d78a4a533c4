"""The stage-1 recipes: frozen records of strings and numbers, so listing them needs no torch.

A recipe is head × loss × sampler, as a stage-2 method is, and its losses and samplers are stage 2's.
A value is what the user gives, else the recipe's for the preset, else the recipe's, else the preset's,
else the one in ``COMMON``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest
from ltfix.stage2.parts import SAMPLERS, Value
from ltfix.stage2.values import read_value

Values = Mapping[str, Any]

SCHEDULES = ("cosine", "constant", "steps")

COMMON: Mapping[str, Value] = {
    "epochs": Value(200, "passes over the training images", positive=True),
    "batch_size": Value(64, "images a step", positive=True),
    "lr": Value(0.01, "learning rate at its highest", positive=True),
    "momentum": Value(0.9, "SGD momentum", high=1),
    "nesterov": Value(False, "Nesterov's momentum"),
    "weight_decay": Value(5e-3, "L2 penalty on every trained parameter"),
    "schedule": Value("cosine", "learning rate over the epochs", SCHEDULES),
    "warmup_epochs": Value(0, "epochs of linearly rising rate, part of epochs"),
    "sampler": Value("instance", "how images are drawn", SAMPLERS),
    "augment": Value("crop,flip", "augmentations in order, or none"),
    "crop_pad": Value(4, "pixels of zeros around an image before crop"),
}
"""What every recipe has, at its default for CIFAR: the setting of weight balancing, LOS and SAMN."""

PRESETS: Mapping[str, Values] = {
    "cifar": {},
    "imagenet-lt": {
        "epochs": 90,
        "batch_size": 512,
        "lr": 0.2,
        "weight_decay": 5e-4,
        "augment": "resized-crop,flip,color-jitter",
    },
    "inat": {
        "epochs": 90,
        "batch_size": 512,
        "lr": 0.2,
        "weight_decay": 1e-4,
        "augment": "resized-crop,flip",
    },
}
"""What differs on larger images: the setting of Kang et al. 2020 (decoupling)."""

SMALL_IMAGE = 64  # pixels; up to here the cifar preset
MANY_CLASSES = 5000  # from here the inat preset


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """One way to train a backbone.

    Attributes:
        name, summary, source: what it is called, does, and where it was published.
        head: the classifier's form.
        loss: a loss of stage 2.
        test_head: the classifier that is evaluated and handed to stage 2.
        own: the values that only this recipe takes.
        defaults: what it changes in ``COMMON``.
        presets: what it changes where a preset is used.
    """

    name: str
    summary: str
    source: str
    head: str = "linear"
    loss: str = "ce"
    test_head: str = "fc"
    own: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    defaults: Values = dataclasses.field(default_factory=dict)
    presets: Mapping[str, Values] = dataclasses.field(default_factory=dict)

    def values(self, preset: str = "cifar") -> dict[str, Value]:
        """Every value the recipe takes, with its default under a preset."""
        changed = {**PRESETS[preset], **self.defaults, **self.presets.get(preset, {})}
        return {
            name: dataclasses.replace(value, default=changed.get(name, value.default))
            for name, value in {**COMMON, **self.own}.items()
        }


_RECIPES = (
    Recipe(
        "ce",
        "cross-entropy with strong weight decay: the backbone that SAMN, LOS and weight balancing start from",
        "Alshammari et al., CVPR 2022 (weight balancing); large images: Kang et al., ICLR 2020 (decoupling)",
    ),
)


def recipes() -> list[Recipe]:
    """All recipes, in the order of the documentation."""
    return list(_RECIPES)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; the nearest names are offered.
    """
    known = {recipe.name: recipe for recipe in _RECIPES}
    if name not in known:
        raise UsageError(f"unknown recipe {name!r}", where="--recipe", hint=nearest(name, known))
    return known[name]


def choose_preset(name: str | None, image_size: int, n_classes: int) -> str:
    """The preset's name: the one given, else by the images' side in pixels and K.

    Raises:
        UsageError: there is no such preset.
    """
    if name is not None:
        if name not in PRESETS:
            raise UsageError(f"unknown preset {name!r}", where="--preset", hint=nearest(name, PRESETS))
        return name
    if image_size <= SMALL_IMAGE:
        return "cifar"
    return "inat" if n_classes >= MANY_CLASSES else "imagenet-lt"


def resolve(recipe: Recipe, preset: str, given: Values) -> dict[str, Any]:
    """Every value of a run.

    Args:
        recipe: the recipe.
        preset: a name of ``PRESETS``.
        given: the user's values; None is "not given", text is read as the default's kind.

    Raises:
        UsageError: a value that the recipe does not take (the nearest are offered), of the wrong kind
            or out of range.
    """
    spec = recipe.values(preset)
    values = {name: value.default for name, value in spec.items()}
    for name, value in given.items():
        if value is None:
            continue
        if name not in spec:
            raise UsageError(
                f"recipe {recipe.name} has no value {name!r}", where=f"--set {name}", hint=nearest(name, spec)
            )
        values[name] = _read(name, value, spec[name])
    if values["warmup_epochs"] > values["epochs"]:
        raise UsageError(f"{values['warmup_epochs']} warm-up epochs are more than {values['epochs']} epochs")
    return values


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _read(name: str, value: Any, spec: Value) -> Any:
    """``value`` as the kind that the default is; what stage 2 has no kind for is read here."""
    if isinstance(spec.default, bool):
        word = str(value).lower()
        if word not in _TRUE + _FALSE:
            raise UsageError(f"{name} must be true or false, found {value!r}", where=f"--set {name}")
        return word in _TRUE
    if isinstance(spec.default, str) and not spec.choices:
        return str(value)
    return read_value(name, value, spec)
