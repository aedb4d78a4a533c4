"""What an extraction will do, decided before anything is written."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltfix import files
from ltfix.backbones.load import Backbone, load_backbone
from ltfix.backbones.mlp import rows_for
from ltfix.backbones.preprocess import Columns
from ltfix.compute import Compute, choose_compute, default_batch_size, resolve_device, use_threads
from ltfix.errors import LtfixError, Unused
from ltfix.extraction.found import JobState, as_begun, state_of, told_newer
from ltfix.extraction.opening import Opened, open_data
from ltfix.extraction.request import Request
from ltfix.features.layout import SHARD_ROWS, CachePlan
from ltfix.features.manifest import NAME, read_manifest
from ltfix.features.provenance import made_otherwise
from ltfix.images.decode import fast_jpeg
from ltfix.images.index import Indexes
from ltfix.images.split import Split
from ltfix.images.views import DrawView, Views, parse_views
from ltfix.images.watch import JpegDecoder
from ltfix.ranks import ranks
from ltfix.runfile import read_run


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SplitJob:
    """One split to extract, all decided.

    Attributes:
        split: its samples. plan: of its cache. folder: where the cache goes.
        state: "todo", "resume", "done" (finished by the same command before) or "taken" (by another).
        views: of every image.
    """

    split: Split
    plan: CachePlan
    folder: Path
    state: JobState
    views: Views

    def again(self, overwrite: bool) -> SplitJob:
        """The same with the state of now: another process may have been in the folder meanwhile."""
        return dataclasses.replace(self, state=state_of(self.folder, self.plan, overwrite))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """A prepared extraction: nothing is written yet.

    Attributes:
        request: what was asked for. backbone: loaded, on the CPU. compute: device and precision.
        jobs: one a split, train first. draw: makes the random views of training images, if there are any.
        jpeg: decodes JPEGs in place of Pillow, if anything does. indexes: of tars, to be kept.
        train_counts: [K] training samples per class as planned, or None.
        notes: what the user should know of data and backbone before it starts.
    """

    request: Request
    backbone: Backbone
    compute: Compute
    jobs: list[SplitJob]
    draw: DrawView | None
    jpeg: JpegDecoder | None
    indexes: Indexes
    train_counts: np.ndarray | None
    notes: list[str]


def prepare(asked: Request | Opened) -> Extraction:
    """Open the data, load the backbone and decide all that an extraction depends on.

    Args:
        asked: the request, or what :func:`ltfix.extraction.opening.open_data` made of it.

    Raises:
        UsageError, InputError, EnvironmentFault: as :func:`extract`.
    """
    opened = open_data(asked) if isinstance(asked, Request) else asked
    request, splits, views = opened.request, opened.splits, parse_views(opened.request.views)
    device = _own_device(resolve_device(request.device))
    compute = choose_compute(device, request.precision, channels_last=True, emulated=True)
    use_threads(request.threads)
    backbone = load_backbone(
        request.backbone,
        checkpoint=request.checkpoint,
        checkpoint_key=request.checkpoint_key,
        ignore_tensors=request.ignore_tensors,
        pretrained=request.pretrained,
        model_args=request.model_args,
        preprocess=request.preprocess(),
        experts=request.experts,
        seed=request.seed,
    )
    rows = [rows_for(split, backbone.preprocess) for split in splits]
    if rows[0] is not None and str(views) != "center":
        raise Unused("a row of numbers has no views but itself", where="views")
    _match_classifier(backbone, splits[0].classes)
    augmentation = _augmentation(request, backbone) if views.random else None
    jobs = [_job(request, split, backbone, compute, augmentation) for split in splits]
    newer = filter(None, (told_newer(job.folder, job.split) for job in jobs if job.state == "done"))
    of_body = backbone.notes if any(job.state != "done" for job in jobs) else ()  # else said when it was made
    notes = [*of_body, *(note for split in splits for note in split.notes), *_beside(jobs), *newer]
    draw = None if augmentation is None else _draw(augmentation, backbone)
    jpeg = _jpeg(request, backbone)
    return Extraction(
        request, backbone, compute, jobs, draw, jpeg, opened.indexes, opened.train_counts, notes
    )


def _beside(jobs: list[SplitJob]) -> Iterator[str]:
    """Say of what caches beside these no head can be measured on both, or not fairly."""
    out, plan = jobs[0].folder.parent, jobs[0].plan
    for folder in sorted({path.parent for path in out.glob(f"*/{NAME}")} - {job.folder for job in jobs}):
        with contextlib.suppress(LtfixError):  # of anybody
            if told := made_otherwise(read_manifest(folder), plan):
                yield f"{folder}, which is there, is of other features; {told}"


def _own_device(device: torch.device) -> torch.device:
    """Of several processes each takes the next GPU, unless one was named."""
    own = ranks()
    if own.size == 1 or device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", own.local % torch.cuda.device_count())


def _match_classifier(backbone: Backbone, classes: tuple[str, ...]) -> None:
    """Keep the stage-1 classifier only where its rows are the data's classes, in the data's order."""
    head = backbone.head
    if head is None or not classes:
        backbone.head = None
        return
    if head.n_classes != len(classes):
        note = (
            f"its classifier has {head.n_classes} classes, the data {len(classes)}: "
            "the cache has no stage-1 head"
        )
        backbone.head = None
    elif head.classes in (None, classes):
        return
    elif sorted(head.classes) == sorted(classes) and head.arrays.keys() == {"weight", "bias"}:
        rows = [head.classes.index(name) for name in classes]
        backbone.head = dataclasses.replace(
            head,
            weight=head.weight[rows],
            bias=head.bias[rows],
            classes=classes,
            counts=None if head.counts is None else head.counts[rows],
        )
        note = "its classifier has the classes in another order: the stage-1 head has them in the data's"
    elif classes == tuple(map(str, range(len(classes)))):
        backbone.head = dataclasses.replace(head, classes=None)
        note = f"its classes have names ({head.classes[0]}, …), the data's are numbers, taken for its rows"
    else:
        note = "its classifier was trained on other classes: the cache has no stage-1 head"
        backbone.head = None
    backbone.notes.append(note)


def _augmentation(request: Request, backbone: Backbone) -> dict[str, Any]:
    """How random views are drawn, as manifests say it: as asked, as the run trained, or the common way."""
    names, pad = request.augment or "resized-crop,flip", 0
    if "run" in backbone.info:
        values = read_run(Path(request.backbone)).content.get("values", {})
        names, pad = request.augment or str(values.get("augment", names)), int(values.get("crop_pad", pad))
    return {"augment": names, "crop_pad": pad, "augment_seed": request.seed}


def _jpeg(request: Request, backbone: Backbone) -> JpegDecoder | None:
    """Large pictures are halved only where all views are of the resized picture."""
    if request.decoder == "pillow":
        return None
    pixels = backbone.preprocess
    drawn = parse_views(request.views).random > 0
    return fast_jpeg(0 if drawn else math.floor(pixels.image_size / pixels.crop_pct))


def _draw(augmentation: dict[str, Any], backbone: Backbone) -> DrawView:
    from ltfix.backbones.augment import RandomViews

    names, pad, seed = augmentation.values()
    size, interpolation = backbone.preprocess.image_size, backbone.preprocess.interpolation
    return RandomViews(names, pad, size, interpolation, seed)


def _job(
    request: Request,
    split: Split,
    backbone: Backbone,
    compute: Compute,
    augmentation: dict[str, Any] | None,
) -> SplitJob:
    import PIL

    views = parse_views(request.views).of_split(split.name)
    pixels = {**backbone.preprocess.to_dict(), "views": str(views)}
    if not isinstance(backbone.preprocess, Columns):
        pixels["pillow"] = PIL.__version__
    if request.decoder != "pillow":
        pixels["decoder"] = f"{request.decoder} {importlib.metadata.version(request.decoder)}"
    if views.random and augmentation is not None:
        pixels |= {**augmentation, "random_views": views.random}
    size = backbone.preprocess.image_size
    plan = CachePlan(
        samples=split.samples,
        labels=split.labels,
        classes=split.classes,
        dim=backbone.dim,
        views=len(views),
        dtype=request.dtype,
        backbone=backbone.info,
        preprocess=pixels,
        source=_source(request, split),
        kept=split.kept,
        stamps=None if split.stamps is None else np.stack([split.sizes, split.stamps], axis=1),
        decides={
            "precision": compute.precision,
            "device": compute.device.type,
            "compile": request.compile,
            "on_error": request.on_error,
        },
        run={
            "batch_size": request.batch_size or default_batch_size(compute.device, size, len(views)),
            "threads": torch.get_num_threads(),
            "device": compute.device.type,
            "precision": compute.precision,
        },
        shard_rows=request.shard_rows or SHARD_ROWS,
    )
    folder = Path(request.out) / split.name
    if request.shard_rows is None:
        plan = as_begun(folder, plan, overwrite=request.overwrite)
    return SplitJob(split, plan, folder, state_of(folder, plan, request.overwrite), views)


def _source(request: Request, split: Split) -> dict[str, Any]:
    """Which images a cache is of, and what was cut from them."""
    source: dict[str, Any] = {
        "kind": split.kind,
        "root": split.root,
        "split": split.name,
        "digest": split.digest,
    }
    if split.name == "train" or (split.name == "val" and request.val_from_rest):
        source |= request.cut()
    if split.kept is not None:
        source["columns"] = files.sha256_texts(split.kept)
    if request.unlabelled:
        source["unlabelled"] = True
    if request.classes_order != "text":
        source["classes_order"] = request.classes_order
    return source if request.limit is None else {**source, "limit": request.limit}
