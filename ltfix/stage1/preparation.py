"""All of a run that is decided before it starts."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time
from typing import Any

import numpy as np
import timm
import torch
import torchvision

from ltfix import seeds
from ltfix._version import __version__
from ltfix.backbones import augment, mlp
from ltfix.backbones.load import Backbone
from ltfix.backbones.preprocess import Columns, refuse_pixels
from ltfix.compute import Compute, choose_compute
from ltfix.errors import InputError, Unused, UsageError
from ltfix.images.numbers import numbers_of
from ltfix.images.split import Split
from ltfix.stage1 import recipes
from ltfix.stage1.entries import COMMON, LATER, Recipe
from ltfix.stage1.images import Images
from ltfix.stage1.objectives import extras
from ltfix.stage1.request import TrainingRequest
from ltfix.stage1.trainee import Trainee, build_start


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A run before its first epoch.

    Attributes:
        request: what was asked for.
        recipe: the recipe's record. preset: the preset's name. values: every value.
        train, val: the images.
        backbone: the network before training. trainee: the same with the recipe's classifiers.
        compute: where and in what it is trained.
    """

    request: TrainingRequest
    recipe: Recipe
    preset: str
    values: dict[str, Any]
    train: Split
    val: Split | None
    backbone: Backbone
    trainee: Trainee
    compute: Compute

    def decides(self) -> dict[str, Any]:
        """What decides the weights, as JSON: a checkpoint of other decisions is another run's."""
        start, train, order = self.backbone.info, self.train, self.request.classes_order
        new = LATER.difference(self.recipe.part.values)
        return {
            "model": self.request.model,
            "model_args": dict(self.request.model_args),
            "recipe": self.recipe.name,
            **({} if self.request.loss is None else {"loss": self.recipe.part.identity}),
            "preset": self.preset,
            "values": {k: v for k, v in self.values.items() if k not in new or v != COMMON[k].default},
            "preprocess": self.backbone.preprocess.to_dict(),
            "start": "random"
            if start["weights"] == "random"
            else {start["weights"]: start["weights_sha256"]},
            "data": {"kind": train.kind, "root": train.root, "n": len(train), "digest": train.digest}
            | ({} if order == "text" else {"classes_order": order})
            | self.request.cut(),
            "classes": list(train.classes),
            "seed": self.request.seed,
        }

    def describe(self, processes: int) -> dict[str, Any]:
        """What ``run.json`` says: all that decides the weights, what they fit, and where they were made."""
        return {
            **self.decides(),
            "counts": self.train.counts.tolist(),
            "test_head": self.recipe.test_head,
            "heads": list(self.recipe.heads),
            "dim": self.backbone.dim,
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


def prepare_training(request: TrainingRequest, images: Images, device: torch.device) -> Plan:
    """Build the network for the images and resolve the recipe's values for both and for this device.

    Raises:
        UsageError: an unknown recipe, preset, value, augmentation or model.
        InputError: images or a checkpoint that are wrong.
        EnvironmentFault: a precision that the device has not; weights that cannot be downloaded.
    """
    recipe = recipes.find_recipe(request.recipe).with_loss(request.loss)
    train, val = images
    request = of_table(request, train)
    dropout = COMMON["dropout"].read("dropout", request.values.get("dropout") or 0)
    backbone, trainee = build_start(request, recipe, train.n_classes, dropout)
    table = isinstance(backbone.preprocess, Columns)
    size, source = 0 if table else backbone.preprocess.image_size, f"{train.kind} {train.root}"
    preset, why = recipes.choose_preset(request.preset, size, train.n_classes, n=len(train), source=source)
    if request.preset is not None and why:
        backbone.notes.append(f"preset {preset}, {why}")
    values = recipes.resolve(recipe, preset, request.values, train.n_classes)
    if augment.parse(values["augment"]) and table:
        raise Unused("rows of numbers are not augmented", where="augment")
    if table and (values["cutmix"] or recipe.objective != "classify"):
        raise UsageError("rows of numbers have no boxes to mix", where="cutmix", hint="mixup mixes them")
    compute = choose_compute(device, values["precision"], channels_last=values["channels_last"])
    values["precision"] = compute.precision
    with seeds.seeded(request.seed, "extras"):
        trainee.extras.update(extras(recipe, values, backbone.dim))
    return Plan(request, recipe, preset, values, train, val, backbone, trainee, compute)


def of_table(request: TrainingRequest, train: Split) -> TrainingRequest:
    """The request with what a table's network is made of: its columns, and mean and deviation of each (a
    constant one's is 1) over the training rows. A request for pictures stays as it is.

    Raises:
        InputError: another network than a table's.
        UsageError: options of pictures.
    """
    table = numbers_of(train)
    if table is None:
        return request
    if request.model != mlp.NAME:
        raise InputError("it is a table of numbers", where=train.root, hint="model=mlp takes one")
    refuse_pixels(request.preprocess())
    columns, values = table
    low, high, std = values.min(0), values.max(0), values.std(0)
    varies = (high - low > 1e-12 * np.maximum(high, -low)) & (std > 0)  # a mean is rounded, a range is not
    arguments = {**request.model_args, "columns": list(columns)}
    mean, std = values.mean(0).tolist(), np.where(varies, std, 1.0).tolist()
    return dataclasses.replace(request, model_args=arguments, mean=mean, std=std)


def versions() -> dict[str, str]:
    """Of ltfix and the libraries that decide results."""
    return {
        "ltfix": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }
