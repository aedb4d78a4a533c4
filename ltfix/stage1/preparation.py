"""All of a run that is decided before it starts."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision

from ltfix import seeds
from ltfix._version import __version__
from ltfix.compute import Compute, choose_compute
from ltfix.images.longtail import cut_long_tail
from ltfix.images.source import open_source, read_classes
from ltfix.images.split import Split
from ltfix.stage1 import augment, recipes
from ltfix.stage1.entries import Recipe
from ltfix.stage1.objectives import extras
from ltfix.stage1.trainee import Start


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """Which images to train on.

    Attributes:
        spec: a folder, ``list:FILE``, ….
        split: the split to train on.
        root: the folder that a list's paths start from.
        classes: names in index order, or a file of them.
        imbalance_factor, imbalance_seed: cut the split to the exponential profile first.
        limit: at most so many images.
    """

    spec: str | Path
    split: str = "train"
    root: str | Path | None = None
    classes: str | Path | Sequence[str] | None = None
    imbalance_factor: float | None = None
    imbalance_seed: int = 0
    limit: int | None = None

    def open(self) -> tuple[Split, Split | None]:
        """The training images, and those of the split ``val`` where there is one.

        Raises:
            UsageError, InputError: as :func:`ltfix.images.source.open_source`.
        """
        source = open_source(self.spec, root=self.root, split=(self.split,))
        named = isinstance(self.classes, str | Path)
        train = source.split(self.split, read_classes(self.classes) if named else self.classes)  # type: ignore[arg-type]
        if self.imbalance_factor is not None:
            train = cut_long_tail(train, self.imbalance_factor, self.imbalance_seed)
        has_val = self.split != "val" and "val" in source.splits()
        return train.limit(self.limit), source.split("val", train.classes) if has_val else None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A run before its first epoch.

    Attributes:
        recipe: the recipe's record.
        values: every value.
        train, val: the images.
        start: the network before training.
        compute: where and in what it is trained.
        seed: of everything random.
        decides: what decides the weights, as JSON.
    """

    recipe: Recipe
    values: dict[str, Any]
    train: Split
    val: Split | None
    start: Start
    compute: Compute
    seed: int
    decides: dict[str, Any]

    def describe(self, processes: int) -> dict[str, Any]:
        """What ``run.json`` says: all that decides the weights, what they fit, and where they were made."""
        return {
            **self.decides,
            "counts": self.train.counts.tolist(),
            "test_head": self.recipe.test_head,
            "heads": list(self.recipe.heads),
            "dim": self.start.dim,
            "versions": versions(),
            "provenance": {
                "argv": sys.argv,
                "host": platform.node(),
                "device": str(self.compute.device),
                "processes": processes,
                "threads": torch.get_num_threads(),
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            },
        }


def make_plan(
    recipe: Recipe,
    images: tuple[Split, Split | None],
    start: Start,
    *,
    preset: str | None,
    given: Mapping[str, Any],
    seed: int,
    device: torch.device,
) -> Plan:
    """Resolve a recipe's values for these images, this network and this device.

    The network gets the modules that only the recipe's objective uses.

    Raises:
        UsageError: an unknown preset, value or augmentation.
        EnvironmentFault: a precision that the device has not.
    """
    train, val = images
    preset = recipes.choose_preset(preset, start.preprocess.image_size, train.n_classes)
    values = recipes.resolve(recipe, preset, given)
    augment.parse(values["augment"])
    compute = choose_compute(device, values["precision"], channels_last=values["channels_last"])
    values["precision"] = compute.precision
    with seeds.seeded(seed, "extras"):
        start.trainee.extras.update(extras(recipe, values, start.dim))
    decides = {
        "model": start.name,
        "model_args": start.arguments,
        "recipe": recipe.name,
        "preset": preset,
        "values": values,
        "preprocess": start.preprocess.to_dict(),
        "start": start.weights if start.weights == "random" else {start.weights: start.weights_sha256},
        "data": {"kind": train.kind, "root": train.root, "n": len(train), "digest": train.digest},
        "classes": list(train.classes),
        "seed": seed,
    }
    return Plan(recipe, values, train, val, start, compute, seed, decides)


def versions() -> dict[str, str]:
    """Of ltfix and the libraries that decide results."""
    return {
        "ltfix": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }
