"""The data of an extraction, opened and refused before torch is imported for its backbone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ltfix import runfile
from ltfix.backbones.given import demand_backbone
from ltfix.errors import UsageError
from ltfix.extraction.request import CUT, Request
from ltfix.extraction.splits import check_present, choose_splits
from ltfix.images.index import Indexes
from ltfix.images.places import is_there
from ltfix.images.source import Source, open_source
from ltfix.images.split import Split
from ltfix.images.unlabelled import open_unlabelled
from ltfix.images.views import parse_views
from ltfix.runfile import read_run


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What is to be extracted.

    Attributes:
        request: with the cut that its backbone was trained with. splits: train first.
        train_counts: [K] training samples per class, or None where they are not known.
        indexes: of tars, to be kept.
    """

    request: Request
    splits: list[Split]
    train_counts: np.ndarray | None
    indexes: Indexes


def open_data(request: Request) -> Opened:
    """Open the data, and see that the files of the backbone are there.

    Raises:
        UsageError, InputError, EnvironmentFault: as :func:`ltfix.extract`.
    """
    views = parse_views(request.views)
    if request.augment is not None and not views.random:
        hint = "views=center,train:4 has four random ones"
        raise UsageError("only random views are augmented", where="augment", hint=hint)
    demand_backbone(request.backbone, request.checkpoint, request.checkpoint_key, request.ignore_tensors)
    indexes = Indexes(Path(request.out))
    request, splits, train_counts = _open(request, indexes)
    if request.on_error == "error":
        for split in splits:
            check_present(split)
    return Opened(request, splits, train_counts, indexes)


def _open(request: Request, index: Indexes) -> tuple[Request, list[Split], np.ndarray | None]:
    """The request with the cut that its backbone was trained with; the splits, and the training samples per
    class [K], where they are known."""
    root, split, columns = request.root, request.split, request.columns
    if request.unlabelled:
        for name in ("classes", *request.cut()):
            if getattr(request, name) is not None:
                raise UsageError("pictures without labels have no classes", where=name, hint="leave it out")
        pictures = open_unlabelled(request.data, root=root, split=split, columns=columns)
        return request, [pictures.limit(request.limit)], None
    source = open_source(request.data, root=root, split=split, columns=columns, index=index)
    request, told = _cut_as_trained(request, source)
    splits, counts = choose_splits(source, request)
    own = splits[0].name in ("train", "val")
    return request, [splits[0].noted(told if own else None), *splits[1:]], counts


def _cut_as_trained(request: Request, source: Source) -> tuple[Request, str | None]:
    """The request, cut as the images were that a run was trained on, if they are these and it says no cut."""
    if request.cut() or not is_there(f"{request.backbone}/{runfile.NAME}"):
        return request, None
    data = read_run(Path(request.backbone)).content.get("data") or {}
    cut = {name: data[name] for name in CUT if name in data}
    if not cut:
        return request, None
    told = ", ".join(f"{name}={value}" for name, value in cut.items())
    if (data.get("kind"), data.get("root")) != (source.kind, source.root):
        return (
            request,
            f"the backbone was trained on a cut of {data.get('root')}, and none is made here: {told}",
        )
    note = f"train is cut as for the training of the backbone: {told}; imbalance_factor=1 takes all"
    return dataclasses.replace(request, **cut), note
