"""``ltfix import``: features of another tool in, a feature cache out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ltfix.cli import console
from ltfix.cli.inspect import written
from ltfix.cli.options import WorkFolder, WrittenFormat
from ltfix.cli.signature import ARGUMENT
from ltfix.errors import UsageError
from ltfix.importing.request import ImportRequest
from ltfix.option import Option


def import_(
    *,
    sources: Annotated[
        list[Path],
        Option(
            "A .npy, .npz, .safetensors, .h5, .pt, .parquet, .csv, a folder, or feature caches to be joined.",
            metavar="SRC",
        ),
        ARGUMENT,
    ],
    request: ImportRequest,
    out: Annotated[
        Path | None, Option("The folder of the cache.  [default: WORK/features/<SRC's name>]", metavar="DIR")
    ] = None,
    format: WrittenFormat = "table",
    work: WorkFolder = Path(),
) -> None:
    """Write the features and labels of another tool as a feature cache, or join caches of one backbone.

    Reads numpy's files, clip-retrieval's folders, HDF5, tensors that torch saved, parquet with a column of
    lists, and CSV with a column a dimension.
    """
    if len(sources) > 1 and out is None:
        hint = "`ltfix import features/train features/new --out features/all`"
        raise UsageError("several caches are joined into another", where="out", hint=hint)

    from ltfix.importing.importing import run

    cache = run(sources, out or work / "features" / sources[0].stem, request, console.progress())
    if format == "json":
        written([cache.path])
        return
    head = "yes" if cache.head is not None else "no"
    columns = ["samples", "K", "views", "D", "stage-1 head", "cache"]
    k = "–" if cache.unlabelled else cache.n_classes
    console.table(columns, [[cache.n, k, cache.views, cache.dim, head, cache.path]])
