"""``ltfix train-backbone``: images in, a run folder out that ``ltfix extract`` reads."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ltfix.cli import config, console
from ltfix.cli.options import WorkFolder, pairs, refuse_pairs
from ltfix.option import Option
from ltfix.stage1.entries import COMMON
from ltfix.stage1.request import TrainingRequest

if TYPE_CHECKING:
    from ltfix.stage1.run_folder import Run


def train_backbone(
    *,
    request: TrainingRequest,
    values: Annotated[dict[str, Any], COMMON],
    set_: Annotated[Mapping[str, str], pairs("A value without an option of its own; repeatable.")],
    name: Annotated[str | None, Option("The run's name.  [default: MODEL-RECIPE]", metavar="NAME")] = None,
    work: WorkFolder = Path(),
) -> None:
    """Train a backbone from images (stage 1).

    Writes a run folder that `ltfix extract --backbone runs/<name>` reads with nothing further said. The
    same command continues an unfinished run. Values that are not given are the recipe's.
    `torchrun --nproc-per-node N -m ltfix train-backbone …` shares every batch out among N processes.
    """
    request = look_up(request, values, set_)
    if config.origin("out") == "default":
        request = dataclasses.replace(request, out=work / request.out / (name or _run_name(request)))

    from ltfix.stage1.images import open_images

    images = open_images(request)

    from ltfix.stage1.train import train

    run = train(request, images, console.progress())
    if os.environ.get("RANK", "0") == "0":
        _summarise(run)


def look_up(
    request: TrainingRequest, values: Mapping[str, Any], set_: Mapping[str, str], **rest: object
) -> TrainingRequest:
    """The request with its values, names and values looked up before torch is imported."""
    from ltfix.stage1 import recipes

    request = dataclasses.replace(request, values={**values, **set_})
    preset, _ = recipes.choose_preset(request.preset, 1, 0)
    recipe = recipes.find_recipe(request.recipe).with_loss(request.loss)
    refuse_pairs(set_, recipe.values(preset))
    recipes.resolve(recipe, preset, request.values)
    return request


def _run_name(request: TrainingRequest) -> str:
    """A folder name of the model's, the recipe's and the loss's."""
    parts = (request.model, request.recipe, request.loss)
    return re.sub("[:/\\\\]", "-", "-".join(str(part) for part in parts if part is not None))


def _summarise(run: Run) -> None:
    """What was trained, how well it fits, where it is and what to do with it."""
    info, last = run.info, run.metrics[-1]
    console.write(
        f"{info['model']}, recipe {info['recipe']} ({info['preset']}): K = {len(info['classes'])}, "
        f"D = {info['dim']}, {info['data']['n']} images, {last['epoch']} epochs\n"
        f"last epoch: loss {last['loss']:.3f}, train accuracy {100 * last['train_accuracy']:.1f} %"
    )
    if "val" in last:
        shots = [f"{name} {100 * value:.1f}" for name, value in last["val"].items() if value is not None]
        console.write("validation accuracy: " + ", ".join(shots))
    console.write(
        f"{info['provenance']['seconds']:.1f} s; run written to {run.path}\n"
        f"next: ltfix extract --backbone {run.path} --data …"
    )
