"""``import_features``: features of another tool to a cache.

A new format is one function and one line in ``FORMATS``.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, UsageError, nearest
from ltfix.features.cache import FeatureCache
from ltfix.features.foreign import labels_hint
from ltfix.features.layout import CachePlan
from ltfix.features.manifest import is_cache
from ltfix.features.store import finished_manifest
from ltfix.heads.arrays import TRANSPOSED
from ltfix.heads.head import FORMAT, STAGE1, Head, head_of
from ltfix.heads.vectors import numpy_of
from ltfix.images.labels import Labels, are_indices, indices, largest_index
from ltfix.images.source import read_classes
from ltfix.importing.arrays import map_npy
from ltfix.importing.found import Found, head_place, read_lines, text_of
from ltfix.importing.joining import join
from ltfix.importing.overlap import made_up
from ltfix.importing.request import ImportRequest
from ltfix.importing.writing import rows, write
from ltfix.numerals import counted, no_label
from ltfix.progress import Progress, listener
from ltfix.public import public
from ltfix.tensorfile import load_tensors, read_npz

FOLDER = "folder"  # in place of labels: each name's folder
FORMATS = {  # by the end of the name; a folder has none
    "": "arrays:folder",
    ".npy": "arrays:npy",
    ".npz": "arrays:npz",
    ".safetensors": "arrays:safetensors",
    ".h5": "arrays:hdf5",
    ".hdf5": "arrays:hdf5",
    ".pt": "arrays:torch_file",
    ".pth": "arrays:torch_file",
    ".parquet": "tables:parquet",
    ".csv": "tables:text",
}


@public
def import_features(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> FeatureCache:
    """Write the features and labels of another tool's file as a feature cache, or join several caches.

    Class names are those of a training cache beside ``out``, so that both number them alike. Caches that are
    joined number theirs by name: the first keeps its numbers, classes that only others have follow.

    >>> import numpy as np, ltfix
    >>> np.savez("other.npz", embeddings=np.ones((3, 4), np.float16), targets=[0, 1, 1])
    >>> ltfix.import_features("other.npz", "features/train")
    FeatureCache('features/train', n=3, views=1, dim=4, K=2)
    >>> np.savez("later.npz", features=np.zeros((2, 4), np.float16), labels=[0, 1])
    >>> ltfix.import_features(["features/train", "later.npz"], "features/all")
    FeatureCache('features/all', n=5, views=1, dim=4, K=2)

    Args:
        source: a file or folder of one of ``FORMATS``, or the feature caches to join, in order: folders,
            ``.npz`` or ``.safetensors``.
        out: the folder of the cache.
        progress: told of samples done.
        options: fields of :class:`ImportRequest`.

    Returns:
        The cache: features [N, V, D], labels [N].

    Raises:
        UsageError: an unknown format, or a finished cache is there.
        InputError: missing or torn, no features or labels in it, parts that do not fit each other, or caches
            of different backbones.
        EnvironmentFault: a package is not installed; ``out`` cannot be written.
    """
    sources = [source] if isinstance(source, str | Path) else source
    request = public(ImportRequest)(**options)
    return run([Path(one) for one in sources], Path(out), request, listener(progress or False))


def run(sources: Sequence[Path], out: Path, request: ImportRequest, progress: Progress) -> FeatureCache:
    """The same, of a request."""
    if not sources:
        raise UsageError("nothing to import", where="source", hint="a file, or the feature caches to join")
    sources = _once([files.completed(one) for one in sources], progress)
    if len(sources) != 1 or is_cache(sources[0]) or _is_packed(sources[0]):
        return join(sources, out, request, progress)
    source = sources[0]
    found = _read(source, request)
    for line in found.notes:
        progress.note(line)
    beside = out.parent / "train"
    train = finished_manifest(beside) if out.name != "train" else None
    head = _head(found, request, source)
    _check_lengths(found, source)
    known = None if train is None else train.class_names
    labels, classes = _labels(found, request, known, head, source, beside=beside, progress=progress)
    sample = rows(found.parts, 0, 1, source)
    if head is not None and (head.n_classes, head.dim) != (len(classes), sample.shape[2]):
        told = f"[{head.n_classes}, {head.dim}], {len(classes)} classes and D = {sample.shape[2]}"
        if request.head_from is not None:
            hint = TRANSPOSED if head.n_classes == sample.shape[2] != head.dim else None
            what = f"its weight does not fit: {told}"
            raise InputError(what, where=f"head_from={request.head_from}", hint=hint)
        progress.note(f"head.weight of {source.name} does not fit and is left out: {told}")
        head = None
    counts = np.bincount(labels, minlength=len(classes)) if train is None else np.array(train.counts)
    if labels.min() == 1 and counts[0] == 0 and classes[0] == "0":
        progress.note(f"class {classes[0]} has no sample: are the labels counted from 1?")
    plan = CachePlan(
        samples=found.samples or [made_up(source.name, row) for row in range(len(labels))],
        labels=labels,
        classes=classes,
        dim=sample.shape[2],
        views=sample.shape[1],
        dtype=request.dtype or "float16",
        backbone={},
        preprocess={},
        source={"kind": "import", "root": source.name, "digest": _digest(source)},
        decides={},
        run={},
        shard_rows=request.shard_rows,
    )
    head = None if head is None else dataclasses.replace(head, classes=classes, counts=counts)
    return write(out, plan, found.parts, head, source, overwrite=request.overwrite, progress=progress)


def _once(sources: Sequence[Path], progress: Progress) -> list[Path]:
    """Each of them once, in order; rows without names would not be known as those that are there."""
    found: dict[str, Path] = {}
    for path in sources:
        if (own := os.path.realpath(path)) in found:
            progress.note(f"{path} is named more than once and is taken once")
        found.setdefault(own, path)
    return list(found.values())


def _is_packed(path: Path) -> bool:
    """Whether it is a file that says of itself what made it."""
    return path.suffix == ".safetensors" and path.is_file() and "ltfix" in load_tensors(path)[1]


def _read(source: Path, request: ImportRequest) -> Found:
    with files.os_errors(source):
        suffix = "" if source.is_dir() else source.suffix.lower()
        source.stat()
    if suffix not in FORMATS or (not suffix and not source.is_dir()):
        known = nearest(suffix, [k for k in FORMATS if k])
        raise UsageError("unknown format", where=source, hint=known)
    module, _, function = FORMATS[suffix].partition(":")
    elsewhere = request.labels is not None and (request.labels == FOLDER or Path(request.labels).is_file())
    within = dataclasses.replace(request, labels=None) if elsewhere else request
    found: Found = getattr(importlib.import_module(f"ltfix.importing.{module}"), function)(source, within)
    beside = (source if source.is_dir() else source.parent) / "file_names.txt"  # as thingsvision writes them
    if found.samples is None and beside.exists():
        found = dataclasses.replace(found, samples=[*read_lines(beside).values()])
    return _labelled(found, str(request.labels)) if elsewhere else found


def _labelled(found: Found, place: str) -> Found:
    """The same with the labels of a file, or of the folders that the names of samples begin with."""
    path = Path(place)
    if place != FOLDER and path.suffix == ".npy":
        return dataclasses.replace(found, labels=map_npy(path), lines=())
    if place != FOLDER:
        lines = read_lines(path)
        empty = next(number for number in itertools.count(1) if number not in lines)
        if empty <= len(lines) != sum(len(part) for part in found.parts if np.ndim(part)):
            what, hint = no_label("", "")
            raise InputError(what, where=f"{path}, line {empty}", hint=hint)
        return dataclasses.replace(found, labels=np.asarray([*lines.values()]), lines=[*lines])
    names = [name.replace("\\", "/").rpartition("/")[0].rpartition("/")[2] for name in found.samples or ()]
    if not all(names) or not names:
        raise UsageError("it has no names of samples with a folder before them", where=f"labels={FOLDER}")
    return dataclasses.replace(found, labels=np.asarray(names))


def _check_lengths(found: Found, source: Path) -> None:
    """As many labels and names as rows of features, and at least one."""
    if found.labels is None:
        hint = f"labels=NAME in it, labels=FILE of them, or labels={FOLDER}: the folder of each name"
        raise InputError("there are no labels", where=source, hint=hint)
    if np.ndim(found.labels) != 1 or not all(map(np.ndim, found.parts)):
        what = f"labels must be [n], features [n, D] or [n, V, D]; labels are {list(np.shape(found.labels))}"
        raise InputError(what, where=source, hint=labels_hint(np.shape(found.labels)))
    rows = sum(map(len, found.parts))
    for what, texts in (("labels", found.labels), ("names of samples", found.samples or range(rows))):
        if not rows or len(texts) != rows:
            raise InputError(f"{rows} rows of features and {len(texts)} {what}", where=source)


def _labels(
    found: Found,
    request: ImportRequest,
    known: tuple[str, ...] | None,
    head: Head | None,
    source: Path,
    *,
    beside: Path,
    progress: Progress,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels [N] as indices, and the class names: those asked for, else ``known`` of the training cache
    ``beside``, which is told where the labels alone have others, else numbers where nothing names them."""
    classes, given = known, request.classes
    if given is not None:
        classes = read_classes(given) if isinstance(given, str | Path) else tuple(given)
    values = np.asarray(found.labels).tolist()
    texts = ["" if value is None else text_of(value) for value in values]
    place = request.labels if request.labels and Path(request.labels).is_file() else source
    written = Labels(texts, lambda row: f"{place}, {found.place(row)}")
    numbers = are_indices({"": written}, written.texts if request.labels == FOLDER else classes or ())
    own = tuple(sorted(written.texts))
    if numbers and given is None:
        own = counted(max(largest_index(written) + 1, 0 if head is None else head.n_classes))
    named = own if classes is None else classes
    away = "out=DIR in another folder has its own"
    others = f"classes=FILE names others, {away}"
    try:
        found_at = indices(written, named, numbers=numbers, known=classes is not None)
    except InputError as err:
        if known is None or given is not None:
            raise
        from_1 = numbers and len(own) == len(named) + 1 and "0" not in written.texts
        hint = f"{'are the labels counted from 1? ' * from_1}the classes are those of {beside}; {others}"
        if err.hint is not None and not numbers:
            mark = "" if err.hint.endswith("?") else ";"
            hint = f"{err.hint}{mark} the classes are those of {beside}, {away}"
        raise InputError(err.what, where=err.where, hint=hint) from err
    if given is None and (len(named) != len(own) or (numbers and named != own)):
        first = f": 0 is taken for {named[0]}" if numbers and named[0] != own[0] else ""
        progress.note(f"K = {len(named)} and class names are those of {beside}{first}; {others}")
    return found_at, named


def _head(found: Found, request: ImportRequest, source: Path) -> Head | None:
    """The classifier ``FILE:NAME`` that was named, else the one that came with the features, if any."""
    if request.head_from is not None:
        tensors, place = _linear(request.head_from)
    else:
        tensors, place = dict(found.head), source
    return head_of(tensors, {"format": FORMAT, "method": STAGE1}, place) if "weight" in tensors else None


def _linear(text: str) -> tuple[dict[str, np.ndarray], Path]:
    """``weight`` [K, D] and perhaps ``bias`` [K] of ``FILE:NAME``, and the file.

    A layer that was saved alone has no name there: any will do.
    """
    from ltfix.backbones.checkpoint import read_checkpoint

    file, name = head_place(text)
    parts = ("weight", "bias")
    state: Mapping[str, Any]
    if file.endswith(".npz"):
        state = read_npz(file, lambda found: {n: n for n in found if n.rpartition(".")[2] in parts})
    else:
        state = read_checkpoint(file).state
    start = f"{name}." if name and not set(state) <= set(parts) else ""
    if getattr(state.get(f"{start}weight"), "ndim", 0) != 2:
        known = [key.removesuffix(".weight") for key in state if key.endswith(".weight")]
        known = [layer for layer in known if state[f"{layer}.weight"].ndim == 2]
        what = f"there is no linear layer {name!r} in it" if name else "it is no layer that was saved alone"
        raise InputError(what, where=file, hint=nearest(name, known))
    own = {part: state.get(f"{start}{part}") for part in parts}
    return {part: numpy_of(tensor) for part, tensor in own.items() if tensor is not None}, Path(file)


def _digest(source: Path) -> str:
    """SHA-256 of a file, or of the names and bytes of a folder's."""
    if not source.is_dir():
        return files.sha256_file(source)
    below = sorted(path for path in source.rglob("*") if path.is_file())
    return files.sha256_json({str(path.relative_to(source)): files.sha256_file(path) for path in below})
