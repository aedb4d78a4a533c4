"""``ltfix.export``: a head and its body out, in a form that others load."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.errors import InputError, UsageError
from ltfix.exporting.body import load_body, own_cache
from ltfix.exporting.request import EVERY_HEAD, FORMATS, SAMPLES, BodyRequest, ExportRequest
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads.head import Head, load_head
from ltfix.images.source import open_source, read_classes
from ltfix.images.split import Split, check_classes
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.stage2.methods.registry import installed_method


@dataclasses.dataclass(frozen=True, slots=True)
class ExportedHead:
    """What was written.

    Attributes:
        path: the file or folder. format: of it.
        difference: the largest difference of a logit from ltfix's own, over the largest logit.
        checked_on: what the two were compared on.
        usage: the line of Python that loads it without ltfix.
    """

    path: Path
    format: str
    difference: float
    checked_on: str
    usage: str


@public
def export(
    head: Head | Path | str,
    out: Path | str,
    *,
    cache: FeatureCache | Path | str | None = None,
    test: FeatureCache | Path | str | None = None,
    request: ExportRequest | None = None,
    progress: Progress | bool = SILENT,
    **options: Any,
) -> ExportedHead:
    """Put a head back into its model and write the model in a form that others load without ltfix.

    ``ltfix.export("heads/samn.safetensors", "exports/samn", cache="features/train")`` is for timm.
    A head alone needs no body:

    >>> import numpy as np, ltfix
    >>> head = ltfix.Head(np.eye(3), np.zeros(3), "mine", classes=("cat", "dog", "owl"))
    >>> ltfix.export(head, "owls.pt2", to="torch-export", features=True).usage
    'torch.export.load("owls.pt2").module()'

    What is written is loaded first as its users load it, and its logits compared with ltfix's own.

    Args:
        head: the head, or its file.
        out: the file or folder to write.
        cache: the training features that it was fitted on, which say what made them.
        test: features to measure the accuracy on that the model card of ``to="timm"`` tells.
        request: all further options in one record, in place of ``options``.
        progress: told of the steps; True shows a bar.
        options: fields of :class:`ExportRequest`: ``to``, ``features``, ``backbone``, ``checkpoint``, ….

    Raises:
        UsageError: a format that cannot express the head or body, an unknown body, or ``out`` is there.
        InputError: a file is missing or wrong, head and body do not belong together, or the exported
            model's logits differ.
        EnvironmentFault: an extra is missing, or it cannot be written.
    """
    request, progress = request or public(ExportRequest)(**options), listener(progress)
    place = Path(out)
    _demand_place(place, FORMATS[request.to], request)
    head = head if isinstance(head, Head) else load_head(head)
    _demand_linear(head, request.to)
    features = None if cache is None else open_cache(cache)
    features = own_cache(head, features, request, alone=request.features)
    tested = None if test is None else open_cache(test)
    names, pictures = class_names(head, features, request), _pictures(features, request)
    progress.start(f"export to {request.to}", 3, "steps")
    body = None if request.features else load_body(head, features, request)

    from ltfix.exporting.check import check_difference, collect_probes, own_logits
    from ltfix.exporting.joined import Joined
    from ltfix.exporting.opened import lookup, open_export

    form, joined = lookup(request.to), Joined(head, names, body, features, tested)
    progress.advance()
    batch, told = collect_probes(joined, pictures, request.seed)
    own = own_logits(joined, batch)  # before a format takes the model apart
    with tempfile.TemporaryDirectory(prefix="ltfix-export-") as folder:
        written = form.write(joined, Path(folder))
        progress.advance()
        difference = check_difference(open_export(written), batch, own)
        files.write_together(_contents(written, place), overwrite=request.overwrite)
    progress.advance()
    progress.finish()
    return ExportedHead(place, request.to, difference, told, form.usage(place, joined))


def _demand_place(place: Path, suffix: str, request: ExportRequest) -> None:
    """Refuse a name that is taken, or of another kind of file, before the work.

    Raises:
        UsageError: something is there and may not be replaced, or the name ends otherwise.
        InputError, EnvironmentFault: it cannot be written.
    """
    if suffix and place.suffix != suffix:
        told = f"an export to {request.to} is a {suffix} file"
        raise UsageError(told, where=place, hint=f"name it {place.stem or 'model'}{suffix}")
    if suffix:
        files.demand_place(place, overwrite=request.overwrite)
    elif os.path.lexists(place) and not request.overwrite:
        raise UsageError("already there", where=place, hint="overwrite=True replaces it")
    else:
        files.demand_place(place / "config.json")


def _demand_linear(head: Head, to: str) -> None:
    """Refuse a head that the format cannot express, before a body is looked for (UsageError)."""
    if head.transform is None or to not in ("timm", "torchvision"):
        return
    method = installed_method(head.method)
    linear = None if method is None else method.linear_with
    told = f"a {to} model ends in a linear layer, the head {head.name} is {head.transform['kind']}"
    hint = f"{EVERY_HEAD}; {head.method} makes a linear one with {linear}" if linear else EVERY_HEAD
    raise UsageError(told, where=f"to={to}", hint=hint)


def _pictures(cache: FeatureCache | None, request: ExportRequest) -> Split | None:
    """Pictures to check with: of the data, else of the cache's source where it lies in the working folder.

    Raises:
        UsageError, InputError: data that was named is not there.
    """
    recorded = {} if cache is None or cache.manifest is None else cache.manifest.source
    at_hand = str(recorded.get("root")) if recorded.get("kind") == "folder" else ""
    data = request.data or (at_hand if at_hand and Path(at_hand).is_dir() else None)
    if request.features or data is None:
        return None
    source, split = open_source(data, root=request.root), str(recorded.get("split"))
    return source.split(split if split in source.splits() else source.splits()[0]).limit(SAMPLES)


def class_names(head: Head, cache: FeatureCache | None, request: BodyRequest) -> tuple[str, ...]:
    """The K class names: given, else the head's, else the cache's, else their numbers.

    Raises:
        InputError: they are not K, or the cache, a bare file, numbered its names itself.
    """
    given = request.classes
    named: Sequence[str] | None = read_classes(given) if isinstance(given, str | Path) else given
    names = named or head.classes
    if names is None and cache is not None:
        names = cache.numbered(()).classes  # which refuses names that may count otherwise
    where = head.path or head.name
    if names is None:
        return tuple(map(str, range(head.n_classes)))
    if len(names) != head.n_classes:
        raise InputError(f"{len(names)} class names for {head.n_classes} classes", where=where)
    return check_classes(names, where)


def _contents(written: Path, place: Path) -> dict[Path, bytes]:
    """The bytes of what was written, by where they go."""
    if not written.is_dir():
        return {place: written.read_bytes()}
    return {place / path.name: path.read_bytes() for path in sorted(written.iterdir())}
