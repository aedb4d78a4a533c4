"""The commands: where each lives. Only the file of the command that argv names is imported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Command(NamedTuple):
    """Where a command lives and what it says in the list of commands."""

    module: str
    function: str
    help: str


COMMANDS = {
    "extract": Command("extract", "extract", "Run a frozen backbone over images and cache its features."),
    "import": Command("importing", "import_", "Write features of another tool as a feature cache."),
    "fit": Command("fit", "fit", "Retrain the classifier on cached features and write a head."),
    "calibrate": Command("calibrate", "calibrate", "Give a head the temperature of validation samples."),
    "evaluate": Command("evaluate", "evaluate", "Print the accuracy of heads for many, medium and few-shot."),
    "compare": Command("compare", "compare", "Fit and score every method with several seeds; one table."),
    "sweep": Command("sweep", "sweep", "Show how a method's accuracy depends on its values."),
    "export": Command("export", "export", "Put a head back into its model: timm, torchvision, ONNX."),
    "report": Command("report", "report", "Write one HTML page about a project, with pictures."),
    "train-backbone": Command("train", "train_backbone", "Train a backbone from images (stage 1)."),
    "predict": Command("predict", "predict", "Say what pictures are: labels and probabilities."),
    "inspect": Command("inspect", "inspect", "Show what a cache, head, run or checkpoint is."),
    "methods": Command("methods", "methods", "List the stage-2 methods, or one with its values."),
    "recipes": Command("recipes", "recipes", "List the stage-1 recipes, or one with its values."),
    "init": Command("init", "init", "Write a commented ltfix.toml."),
    "demo": Command("demo", "demo", "Run the whole pipeline on bundled images in about a minute."),
}


RESUMED = {
    "extract": ("shards", "dry_run"),
    "compare": ("heads", ""),
    "import": ("shards", "overwrite"),
    "train-backbone": ("epochs", "overwrite"),
}
"""Commands that go on where they stopped when they are given again: what they keep of it, and with which
option they do not."""


def load(name: str) -> Callable[..., Any]:
    """The function of one command; imports its file."""
    command = COMMANDS[name]
    module = importlib.import_module(f"ltfix.cli.{command.module}")
    function: Callable[..., Any] = getattr(module, command.function)
    return function
