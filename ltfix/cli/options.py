"""Options that several commands share, as annotated types (the frame adds --config, --quiet, --debug)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ltfix.cli.signature import Located


class TableFormat(StrEnum):
    """How a table of results is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"


class ListFormat(StrEnum):
    """How a listing is printed."""

    table = "table"
    json = "json"


def _move_source(value: str, folder: Path) -> str:
    """A ``--data`` value written in a file of ``folder``, as seen from the working folder.

    ``photos`` and ``list:train=F,test=G`` name paths that move; a prefix stays as it is.
    """
    prefix, colon, rest = value.partition(":")
    if not colon or len(prefix) == 1:  # C:\photos is a path too
        return str(folder / value)
    parts = [part.rpartition("=") for part in rest.split(",")]
    return prefix + ":" + ",".join(f"{split}{equals}{folder / path}" for split, equals, path in parts)


def _move_if_there(value: str, folder: Path) -> str:
    """A name that may also be a path (a model or a run folder): moves where such a path exists."""
    return str(folder / value) if (folder / value).exists() else value


SourceSpec = Located(_move_source)
NameOrPath = Located(_move_if_there)

Work = Annotated[
    Path,
    typer.Option("--work", metavar="DIR", help="Project folder: features/, heads/ and runs/ lie below it."),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Seed of everything random; equal seeds, equal bytes.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; default: what the machine offers.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output that is already there.")]
Format = Annotated[TableFormat, typer.Option("--format", help="How the result is printed.")]
PlainFormat = Annotated[ListFormat, typer.Option("--format", help="How the list is printed.")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write the result here instead of stdout (-).")
]
