"""``ltfix import``: features of another tool in, a feature cache out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ltfix.cli import console
from ltfix.cli.options import WorkFolder
from ltfix.cli.signature import ARGUMENT
from ltfix.errors import UsageError
from ltfix.importing.request import ImportRequest
from ltfix.option import Option


def import_(
    *,
    source: Annotated[
        Path | None, Option("A .npy, .npz, .h5, .pt, .parquet or .csv, or a folder.", metavar="SRC"), ARGUMENT
    ] = None,
    request: ImportRequest,
    out: Annotated[
        Path | None, Option("The folder of the cache.  [default: WORK/features/<SRC's name>]", metavar="DIR")
    ] = None,
    work: WorkFolder = Path(),
) -> None:
    """Write the features and labels of another tool as a feature cache.

    Reads numpy's files, clip-retrieval's folders, HDF5, tensors that torch saved, parquet with a column of
    lists, and CSV with a column a dimension.
    """
    if source is None:
        raise UsageError("nothing to import", where="ltfix import", hint="`ltfix import train.npz`")

    from ltfix.importing.importing import run

    cache = run(source, out or work / "features" / source.stem, request, console.progress())
    head = "yes" if cache.head is not None else "no"
    columns = ["samples", "K", "views", "D", "stage-1 head", "cache"]
    console.table(columns, [[cache.n, cache.n_classes, cache.views, cache.dim, head, cache.path]])
