"""Presets: the values that were published for a method on a data set, one line each.

Sources: SAMN's code and supplement (CVPR 2026), LOS (ICLR 2025), Decoupling (ICLR 2020), MiSLAS (CVPR 2021).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ltfix.stage2.methods.parts import LARGE_K
from ltfix.stage2.methods.values import Values

if TYPE_CHECKING:
    from ltfix.features.cache import FeatureCache

DATASETS = ("cifar10", "cifar100", "places-lt", "imagenet-lt", "inat")
AUTO = "auto"
_SMALL_DIM, _PLACES_K, _INAT_K = 512, 200, 5000


@dataclasses.dataclass(frozen=True, slots=True)
class Preset:
    """What a method changes on a data set, where the backbone was trained by ``recipe`` ("": by any)."""

    method: str
    dataset: str
    values: Mapping[str, Any]
    recipe: str = ""


PRESETS = (
    Preset("samn", "cifar10", {"lr": 5e-4}),
    Preset("samn", "cifar10", {"lr": 5e-5}, recipe="glmc"),
    Preset("samn", "cifar100", {"lr": 5e-4}),
    Preset("samn", "cifar100", {"lr": 5e-5}, recipe="glmc"),
    Preset("samn", "imagenet-lt", {"lr": 1e-5, "batch_size": 512}),
    Preset("samn", "inat", {"lr": 5e-5, "batch_size": 512}),
    Preset("samn+las", "cifar10", {"lr": 1e-5, "eps_head": 0.3, "eps_tail": 0.1}),
    Preset("samn+las", "cifar100", {"lr": 5e-4, "eps_head": 0.01, "eps_tail": 0.0}),
    Preset("las", "cifar10", {"lr": 5e-4, "eps_head": 0.3, "eps_tail": 0.0}),
    Preset("las", "cifar100", {"lr": 5e-4, "eps_head": 0.4, "eps_tail": 0.1}),
    Preset("los", "cifar10", {"delta": 0.98}),
    Preset("los", "cifar100", {"delta": 0.98}),
    Preset("los", "imagenet-lt", {"delta": 0.99}),
    Preset("los", "inat", {"delta": 0.99}),
    Preset("crt", "places-lt", {"lr": 0.1, "weight_decay": 5e-4, "batch_size": 256, "epochs": 10}),
    Preset("crt", "imagenet-lt", {"lr": 0.2, "weight_decay": 5e-4, "batch_size": 512, "epochs": 10}),
    Preset("crt", "inat", {"lr": 0.2, "weight_decay": 1e-4, "batch_size": 512, "epochs": 30}),
    Preset("lws", "places-lt", {"lr": 0.1, "weight_decay": 5e-4, "batch_size": 256, "epochs": 5}),
    Preset("lws", "imagenet-lt", {"lr": 0.2, "weight_decay": 5e-4, "batch_size": 512, "epochs": 5}),
    Preset("lws", "inat", {"lr": 0.2, "weight_decay": 1e-4, "batch_size": 512, "epochs": 5}),
    Preset("mislas", "cifar10", {"eps_head": 0.3, "eps_tail": 0.0, "lr_factor": 0.5}),
    Preset("mislas", "cifar100", {"eps_head": 0.4, "eps_tail": 0.1, "lr_factor": 0.2}),
    Preset(
        "mislas",
        "places-lt",
        {"eps_head": 0.4, "eps_tail": 0.1, "lr_factor": 0.05, "weight_decay": 5e-4, "batch_size": 256},
    ),
    Preset(
        "mislas",
        "imagenet-lt",
        {"eps_head": 0.3, "eps_tail": 0.0, "lr_factor": 0.05, "weight_decay": 5e-4, "batch_size": 256},
    ),
    Preset(
        "mislas",
        "inat",
        {"eps_head": 0.3, "eps_tail": 0.0, "lr_factor": 0.05, "weight_decay": 1e-4, "batch_size": 256},
    ),
)


def presets_of(method: str) -> list[tuple[str, str]]:
    """What the presets of a method are called, and in words what each of them changes."""
    return [
        (f"{line.dataset}, backbone by {line.recipe}" if line.recipe else line.dataset, _told(line.values))
        for line in PRESETS
        if line.method == method
    ]


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in values.items())


def find_preset(method: str, dataset: str | None, recipe: str) -> Preset | None:
    """The line of a method and a data set; one that names the backbone's recipe before one that does not."""
    lines = [line for line in PRESETS if line.method == method and line.dataset == dataset]
    return next((line for wanted in (recipe, "") for line in lines if line.recipe == wanted), None)


def most_like(n_classes: int, dim: int) -> str | None:
    """The data set whose published values suit features of K classes and D dimensions; None: none does."""
    if n_classes >= LARGE_K:
        return "inat" if n_classes >= _INAT_K else "imagenet-lt"
    if dim <= _SMALL_DIM:  # a network for small images
        return "cifar10" if n_classes <= 10 else "cifar100"
    return "places-lt" if n_classes >= _PLACES_K else None


def with_preset(values: Values, asked: str, train: FeatureCache) -> tuple[Values, str]:
    """The values with those of a preset in the place of defaults; and in a line what was taken.

    Args:
        asked: a data set, or "auto": the one that the features are most like.
    """
    name, k, dim = values.method.name, train.n_classes, train.dim
    recipe = "" if train.head is None else str(train.head.meta.get("recipe", ""))
    dataset = most_like(k, dim) if asked == AUTO else asked
    found = find_preset(name, dataset, recipe)
    on = f"D = {dim}, K = {k}, backbone {f'by {recipe}' if recipe else 'of unknown recipe'}"
    if found is None:
        return values, f"{name} has no preset for {dataset or 'such features'} ({on}): its own values stay"
    taken = {n: v for n, v in found.values.items() if values.origin.get(n) == "default"}
    told = _told(taken) or "all of its values were given"
    return values.choose(f"preset {dataset}", **taken), f"preset {dataset} of {name} ({on}): {told}"
