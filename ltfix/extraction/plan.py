"""What an extraction will do, decided before anything is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ltfix import files
from ltfix.backbones.load import Backbone, load_backbone
from ltfix.compute import Compute, choose_compute, default_batch_size, resolve_device, use_threads
from ltfix.errors import UsageError
from ltfix.extraction.request import Request
from ltfix.extraction.splits import check_present, choose_splits
from ltfix.features.layout import CachePlan
from ltfix.features.store import cache_state
from ltfix.images.source import open_source
from ltfix.images.split import Split
from ltfix.images.unlabelled import open_unlabelled
from ltfix.images.views import Views, parse_views
from ltfix.ranks import ranks

JobState = Literal["todo", "resume", "done", "taken"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SplitJob:
    """One split to extract, all decided.

    Attributes:
        split: its samples. plan: of its cache. folder: where the cache goes.
        state: "todo", "resume", "done" (finished by the same command before) or "taken" (by another).
    """

    split: Split
    plan: CachePlan
    folder: Path
    state: JobState

    def again(self, overwrite: bool) -> SplitJob:
        """The same with the state of now: another process may have been in the folder meanwhile."""
        return dataclasses.replace(self, state=_state(self.folder, self.plan, overwrite))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """A prepared extraction: nothing is written yet.

    Attributes:
        request: what was asked for. backbone: loaded, on the CPU. compute: device and precision.
        views: of every image. jobs: one a split, train first.
        train_counts: [K] training samples per class as planned, or None.
        notes: what the user should know of data and backbone before it starts.
    """

    request: Request
    backbone: Backbone
    compute: Compute
    views: Views
    jobs: list[SplitJob]
    train_counts: np.ndarray | None
    notes: list[str]


def prepare(request: Request) -> Extraction:
    """Open the data, load the backbone and decide all that an extraction depends on.

    Raises:
        UsageError, InputError, EnvironmentFault: as :func:`extract`.
    """
    views = parse_views(request.views)
    device = _own_device(resolve_device(request.device))
    compute = choose_compute(device, request.precision, channels_last=True, emulated=True)
    use_threads(request.threads)
    splits, train_counts = _open(request)
    if request.on_error == "error":
        for split in splits:
            check_present(split)
    backbone = load_backbone(
        request.backbone,
        checkpoint=request.checkpoint,
        checkpoint_key=request.checkpoint_key,
        ignore_tensors=request.ignore_tensors,
        pretrained=request.pretrained,
        model_args=request.model_args,
        preprocess=request.preprocess(),
        seed=request.seed,
    )
    _match_classifier(backbone, splits[0].classes)
    jobs = [_job(request, split, backbone, compute, views) for split in splits]
    notes = [*backbone.notes, *(note for split in splits for note in split.notes)]
    return Extraction(request, backbone, compute, views, jobs, train_counts, notes)


def _open(request: Request) -> tuple[list[Split], np.ndarray | None]:
    """The splits, and the training samples per class [K], where they are known."""
    root, split, columns = request.root, request.split, request.columns
    if not request.unlabelled:
        source = open_source(request.data, root=root, split=split, columns=columns)
        return choose_splits(source, request)
    for name in ("classes", "imbalance_factor"):
        if getattr(request, name) is not None:
            raise UsageError("pictures without labels have no classes", where=name, hint="leave it out")
    pictures = open_unlabelled(request.data, root=root, split=split, columns=columns)
    return [pictures.limit(request.limit)], None


def _own_device(device: torch.device) -> torch.device:
    """Of several processes each takes the next GPU, unless one was named."""
    own = ranks()
    if own.size == 1 or device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", own.local % torch.cuda.device_count())


def _match_classifier(backbone: Backbone, classes: tuple[str, ...]) -> None:
    """Keep the stage-1 classifier only where its rows are the data's classes."""
    head = backbone.head
    if head is None or not classes:
        backbone.head = None
        return
    if head.n_classes != len(classes):
        note = (
            f"its classifier has {head.n_classes} classes, the data {len(classes)}: "
            "the cache has no stage-1 head"
        )
    elif head.classes is not None and head.classes != classes:
        note = "its classifier was trained on other classes: the cache has no stage-1 head"
    else:
        return
    backbone.head = None
    backbone.notes.append(note)


def _job(request: Request, split: Split, backbone: Backbone, compute: Compute, views: Views) -> SplitJob:
    import PIL

    size = backbone.preprocess.image_size
    plan = CachePlan(
        samples=split.samples,
        labels=split.labels,
        classes=split.classes,
        dim=backbone.dim,
        views=len(views),
        dtype=request.dtype,
        backbone=backbone.info,
        preprocess={**backbone.preprocess.to_dict(), "views": str(views), "pillow": PIL.__version__},
        source=_source(request, split),
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
        shard_rows=request.shard_rows,
    )
    folder = Path(request.out) / split.name
    return SplitJob(split, plan, folder, _state(folder, plan, request.overwrite))


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
    if request.unlabelled:
        source["unlabelled"] = True
    if request.classes_order != "text":
        source["classes_order"] = request.classes_order
    return source if request.limit is None else {**source, "limit": request.limit}


def _state(folder: Path, plan: CachePlan, overwrite: bool) -> JobState:
    found, fingerprint = cache_state(folder)
    same = fingerprint == files.sha256_json(plan.decisions())
    if found == "partial" and same:  # with overwrite, too: it is that command's own unfinished output
        return "resume"
    if found == "absent" or overwrite:
        return "todo"
    if found == "partial":
        return "resume"  # the writer says what differs
    return "done" if same else "taken"
