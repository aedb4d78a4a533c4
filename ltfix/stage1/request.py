"""Everything that the training of a backbone can be told; neither numpy nor torch is needed to say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltfix.extraction.request import ImageRequest
from ltfix.option import option
from ltfix.stage2.methods.values import LossLike


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest(ImageRequest):
    """The options of a training run; the defaults are the command line's.

    ``loss`` may also be a function of logits and labels. A paper's ``preset``, "samn" or "los", is of the
    data set that counts, the source's name or image size and classes say, or as "samn/inat" has it.
    ``workers`` decode where the images are not resident.

    Attributes:
        values: of the recipe: epochs, lr, batch_size, weight_decay, augment, precision, ….
    """

    model: str = option("cifar_resnet32", "A timm model, or torchvision:NAME.", metavar="NAME", path="model")
    recipe: str = option("ce", "How to train it; `ltfix recipes`.", metavar="NAME")
    loss: LossLike | None = option(
        None, "Another loss of stage 2, like los or focal, or my.py:NAME.", metavar="NAME"
    )
    preset: str | None = option(
        None,
        "cifar, imagenet-lt or inat; of a paper: samn or los.  [default: by image size and classes]",
        metavar="NAME",
    )
    out: str | Path = option("runs", "The run folder.  [default: runs/<name>]", metavar="DIR")
    split: str = option("train", "The split to train on.", metavar="NAME")
    pretrained: bool = option(False, "Start from the model's own weights.", negatable=True)
    workers: int | None = option(
        None, "Decoding processes for large images; auto: one a core.", low=0, unset="auto"
    )
    resume: bool = option(False, "Demand an unfinished run (one that is there is continued anyway).")
    tensorboard: bool = option(False, "Write event files too (pip install 'ltfix[tb]').")
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, **given: Any) -> TrainingRequest:
        """The request of options by name: those that are no field here are values of the recipe.

        None is "not given".
        """
        said = {name: value for name, value in given.items() if value is not None}
        fields = {field.name for field in dataclasses.fields(cls)} - {"values"}
        own = {name: said.pop(name) for name in fields & said.keys()}
        return cls(**own, values=said)
