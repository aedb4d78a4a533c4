"""Everything that an import can be told; neither numpy nor torch is needed to say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ltfix.option import Checked, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportRequest(Checked):
    """The options of an import, which are the command line's.

    Attributes:
        features: what they are called in the file; of a CSV the columns, as ``f0,f1`` or ``f*``.
        labels: what they are called in the file, or a file of them: ``.npy``, or text, one a line; or
            "folder": the folder that holds each sample, as its name says.
        classes: class names in index order, or a file of them.
        head_from: ``FILE:NAME``, the classifier as NAME.weight and NAME.bias of a checkpoint or ``.npz``, or
            ``FILE`` of a layer that was saved alone; None: head.weight and head.bias beside the features, if
            they are there.
        dtype: of the cache; None: float16, of joined caches theirs.
        shard_rows: samples a shard file. overwrite: replace a cache that is there.
    """

    features: str | None = option(
        None, "What the features are called in it; of a CSV columns: f0,f1 or f*.  [default: found by name]"
    )
    labels: str | None = option(
        None,
        "What they are called in it, a file of them, or folder: of each name.  [default: found by name]",
        path="name",
    )
    classes: str | Path | Sequence[str] | None = option(
        None, "Class names in index order, one a line.", metavar="FILE"
    )
    head_from: str | None = option(
        None,
        "The stage-1 classifier: NAME.weight and NAME.bias of a checkpoint or .npz; FILE of a layer alone.",
        metavar="FILE[:NAME]",
        path="place",
    )
    dtype: str | None = option(
        None,
        "Of the stored features.  [default: float16, of caches theirs]",
        choices=("float16", "float32"),
    )
    shard_rows: int = option(1024, "Samples a shard file.", low=1)
    overwrite: bool = option(False, "Replace output that is already there.")
