"""The images of a training run; opened and refused before torch is imported."""

from __future__ import annotations

from ltfix.backbones.given import demand_weights
from ltfix.errors import UsageError
from ltfix.extraction.opening import class_names, training_splits
from ltfix.images.source import open_source
from ltfix.images.split import Split
from ltfix.stage1.request import TrainingRequest

Images = tuple[Split, Split | None]
"""Those to train on, and those of the split ``val`` where there is one."""


def open_images(request: TrainingRequest) -> Images:
    """The images, when the weights to start from are there; errors as :func:`open_source`."""
    demand_weights(request.checkpoint, request.checkpoint_key, request.ignore_tensors)
    source = open_source(request.data, root=request.root, split=(request.split,), columns=request.columns)
    classes, note = class_names(source, request.split, request)
    found = training_splits(source, request.split, classes, request)
    train = found[request.split].noted(note)
    if train.kept is not None:
        raise UsageError("only caches keep columns", where="columns", hint="leave keep=… out")
    if request.split != "val" and "val" in source.splits():
        return train, source.split("val", train.classes)
    return train, found.get("val") if request.split != "val" else None
