"""``ltfix predict``: pictures in, labels and probabilities out."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from ltfix.cli import config, console
from ltfix.cli.caches import fitted_on, named_head, project_of, refuse_other_weights
from ltfix.cli.options import WorkFolder
from ltfix.cli.signature import ARGUMENT
from ltfix.errors import UsageError
from ltfix.option import Option, RunOptions
from ltfix.predicting.request import PredictRequest

FORMATS = ("table", "csv", "jsonl", "json", "parquet")


def predict(
    *,
    model: Annotated[
        Path, Option("A head file, or what ltfix export wrote.", metavar="HEAD_OR_EXPORT"), ARGUMENT
    ],
    data: Annotated[
        str,
        Option(
            "A picture, a folder at any depth, list:FILE, another source, - for paths on stdin; or a cache.",
            metavar="SRC",
            path="data",
        ),
    ],
    request: PredictRequest,
    cache: Annotated[
        Path | None,
        Option("The features a head was fitted on.  [default: those of the project]", metavar="CACHE"),
    ] = None,
    format: Annotated[str, Option("Of the output; else as its file ends.", choices=FORMATS)] = "table",
    output: Annotated[Path | None, Option("Write them here instead of stdout (-).", metavar="FILE")] = None,
    probs: Annotated[
        Path | None, Option("All probabilities to this .npz or .safetensors.", metavar="FILE")
    ] = None,
    run: Annotated[RunOptions, ("device", "threads", "overwrite")],
    work: WorkFolder = Path(),
) -> None:
    """Say what pictures are: a label and its probability a line, as soon as a batch is done.

    The body of a head is what its cache recorded, or --backbone and --checkpoint.
    """
    format = console.format_of(format, output)
    console.claim(output, probs, overwrite=run.overwrite)
    if format == "parquet" and (output is None or console.is_stdout(output)):
        raise UsageError("Parquet goes to a file", where="--format parquet", hint="name it by output=FILE")

    from ltfix.predicting import formats
    from ltfix.predicting.predict import predict as ask

    if probs is not None:
        formats.check_probabilities(probs)
    model = named_head(model, work, exports=True)
    said = config.of_extract("backbone", "checkpoint", project=project_of(model))
    refuse_other_weights(request.backbone)
    request = dataclasses.replace(request, device=run.device, said=said)
    shown = console.progress() if output is not None or not sys.stdout.isatty() else _Notes()
    found = ask(model, data, cache=cache or fitted_on(model, work), request=request, progress=shown)
    if "torch" in sys.modules:  # what a head says of cached features needs none
        from ltfix.compute import use_threads

        use_threads(run.threads)
    if probs is not None:
        found.kept = []
    if format == "parquet":
        assert output is not None
        formats.write_parquet(found, output, overwrite=run.overwrite)
    else:
        _deliver(formats.TEXT[format](found), output, overwrite=run.overwrite)
    if probs is not None:
        formats.write_probabilities(found, probs, overwrite=run.overwrite)


def _deliver(pieces: Iterable[str], output: Path | None, *, overwrite: bool) -> None:
    """Text to stdout or a stream as it comes, or whole into a file."""
    if output is None or console.is_stdout(output):
        for piece in pieces:
            console.write(piece)
        return
    from ltfix.publishing import atomic_path, is_stream, os_errors

    stream = is_stream(output)
    whole = contextlib.nullcontext(output) if stream else atomic_path(output, overwrite=overwrite)
    with whole as place, os_errors(output), place.open("ab") as handle:
        for piece in pieces:
            handle.write(piece.rstrip("\n").encode() + b"\n")


class _Notes:
    """Of progress the notes alone: results are drawn where a bar would be."""

    def start(self, what: str, total: int, unit: str) -> None: ...
    def advance(self, n: int = 1) -> None: ...
    def describe(self, text: str) -> None: ...
    def finish(self) -> None: ...

    def note(self, text: str) -> None:
        console.note(text)
