"""The data of an extraction, opened and refused before torch is imported for its backbone.

And which splits of it, with which classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ltfix import runfile
from ltfix.backbones.given import demand_backbone
from ltfix.errors import InputError, LtfixError, Unused, UsageError
from ltfix.extraction.request import CUT, ImageRequest, Request
from ltfix.features.manifest import NAME as MANIFEST
from ltfix.features.manifest import Manifest, read_manifest
from ltfix.features.store import finished_manifest
from ltfix.images.index import Indexes
from ltfix.images.labels import order_classes, told_as_text
from ltfix.images.longtail import cut_long_tail
from ltfix.images.places import is_there
from ltfix.images.remote import ABSENT
from ltfix.images.source import SPLITS, Source, open_source, order_splits, read_classes
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
    """Open the data, and see that the files of the backbone are there; errors as :func:`ltfix.extract`."""
    views = parse_views(request.views)
    if request.augment is not None and not views.random:
        hint = "views=center,train:4 has four random ones"
        raise Unused("only random views are augmented", where="augment", hint=hint)
    demand_backbone(request.backbone, request.checkpoint, request.checkpoint_key, request.ignore_tensors)
    indexes, splits, counts = Indexes(Path(request.out)), list[Split](), None
    root, split, columns = request.root, request.split, request.columns
    if request.unlabelled:
        for name in ("classes", *request.cut()):
            if getattr(request, name) is not None:
                raise Unused("pictures without labels have no classes", where=name)
        pictures = open_unlabelled(request.data, root=root, split=split, columns=columns)
        splits = [pictures.limit(request.limit)]
    else:
        source = open_source(request.data, root=root, split=split, columns=columns, index=indexes)
        request, told = _cut_as_trained(request, source)
        splits, counts = choose_splits(source, request)
        if splits[0].name in ("train", "val"):
            splits[0] = splits[0].noted(told)
        if not request.split:
            splits[0] = splits[0].noted(_gone(Path(request.out), source, [split.name for split in splits]))
    if request.on_error == "error":
        for opened in splits:
            check_present(opened)
    return Opened(request, splits, counts, indexes)


def _gone(out: Path, source: Source, splits: Sequence[str]) -> str | None:
    """Say so where caches of a source of this name are there whose split this one does not have."""
    left = []
    for folder in sorted(path.parent for path in out.glob(f"*/{MANIFEST}")):
        with contextlib.suppress(LtfixError):  # of anybody
            known = read_manifest(folder).source
            same = (known.get("kind"), known.get("root")) == (source.kind, source.root)
            usual = known.get("split") in SPLITS  # others are opened where they are asked for
            if same and usual and not known.get("unlabelled") and known["split"] not in splits:
                left.append(str(folder))
    told = f"left as before, of a source called {source.root} with a split that this one lacks"
    return f"{told}: {', '.join(left)}" if left else None


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


def choose_splits(source: Source, request: Request) -> tuple[list[Split], np.ndarray | None]:
    """Open the splits asked for (default: all of the source) with one common list of classes.

    The classes are those that the request names, else of the training split when it is asked for, else
    of the training cache beside which the others go, else of the source's training split, else of the
    project's training cache (``beside``).

    Returns:
        The splits, train first, and the training samples per class [K], or None where there is no training
        split to count.

    Raises:
        UsageError: the classes of a split other than train cannot be known.
        InputError: a split, a class or an image is missing.
    """
    known = (*source.splits(), *(["val"] if request.val_from_rest else []))
    ordered = order_splits(list(request.split) or known)
    beside = None if "train" in source.splits() else request.beside
    places = () if "train" in ordered else (request.out, beside)  # else what is there is kept or replaced
    folders = [Path(place) / "train" for place in places if place is not None]
    kept = ((folder, found) for folder in folders if (found := finished_manifest(folder)))
    train, cached = next(kept, (Path(), None))
    classes, note = _classes(source, ordered, train, cached, request)
    own = dict[str, Split]()
    cut = {"train", "val"} if request.val_from_rest else {"train"}
    if "train" in source.splits() and (cut & set(ordered) or cached is None):
        own = training_splits(source, "train", classes, request)
    counts = own["train"].counts if own else None
    if cached is not None and cached.class_names == classes:
        counts = np.array(cached.counts)
    splits = [
        own[name] if name in own else source.split(name, classes).limit(request.limit) for name in ordered
    ]
    return [splits[0].noted(note), *splits[1:]], counts


def class_names(source: Source, split: str, request: ImageRequest) -> tuple[tuple[str, ...], str | None]:
    """The class names that the request gives, else those that a split shows; and what to say of their order.

    Raises:
        InputError: the file is missing, or its names are no list of classes.
        UsageError: the order of numbers was asked for, and they are none, or have an order of their own.
    """
    given, order = request.classes, request.classes_order
    if given is None:
        names = order_classes(source.classes(split), order, source.root)
        return names, told_as_text(names)
    if order != "text":
        raise Unused("the classes that are named have an order of their own", where=f"classes_order={order}")
    return read_classes(given) if isinstance(given, str | Path) else tuple(given), None


def training_splits(
    source: Source, name: str, classes: Sequence[str], request: ImageRequest
) -> dict[str, Split]:
    """The training split by its name, cut to the long tail and the number of samples that were asked for; and
    "val", if it is to be made of what the cut leaves.

    Raises:
        UsageError: an imbalance factor below 1; the data has a validation split, or too few samples for one.
    """
    split = source.split(name, classes)
    rest = request.val_from_rest or 0
    if rest and ("val" in source.splits() or name == "val"):
        raise UsageError("the data has a split 'val' already", where=f"val_from_rest={rest}")
    whole = request.imbalance_factor is None
    for value, idle in (("imbalance_type", whole), ("imbalance_order", whole and not rest)):
        if idle and value in request.cut():
            where = f"{value}={getattr(request, value)}"
            raise Unused("it cuts nothing", where=where, hint="imbalance_factor=F does")
    if whole and not rest:
        return {name: split.limit(request.limit)}
    kept, left = cut_long_tail(
        split,
        request.imbalance_factor,
        request.imbalance_seed,
        kind=request.imbalance_type,
        order=request.imbalance_order,
        rest=rest,
    )
    found = {name: kept.limit(request.limit)}
    return found | {"val": dataclasses.replace(left, name="val").limit(request.limit)} if rest else found


def _classes(
    source: Source, names: Sequence[str], train: Path, cached: Manifest | None, request: Request
) -> tuple[tuple[str, ...], str | None]:
    if request.classes is not None or "train" in names:
        return class_names(source, "train", request)
    if cached is not None and (classes := cached.class_names) is not None:
        if order_classes(classes, request.classes_order, train) != classes:
            hint = "extract train in the same order"
            raise UsageError("its classes are in the order of text", where=train, hint=hint)
        return classes, None
    if "train" in source.splits():
        return class_names(source, "train", request)
    what = f"the classes of split {names[0]!r} are those of the training split, and there is none"
    raise UsageError(what, where=source.root, hint="extract train first, or name them with classes=FILE")


def check_present(split: Split) -> None:
    """Refuse a split with missing files before hours are spent on it; InputError names the first."""
    missing = np.flatnonzero(split.sizes == ABSENT)
    if not len(missing):
        return
    cause = None
    try:
        split.pictures.read(split.row(int(missing[0])))
    except InputError as err:
        cause = err.hint
    what = f"{len(missing):,} of {len(split):,} images of {split.name} are not there"
    hint = cause or "root=DIR says where a list's paths start from; on_error=skip leaves them out"
    raise InputError(what, where=split.samples[missing[0]], hint=hint)
