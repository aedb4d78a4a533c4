"""``ltfix export``: a head back into its model, and the model out for others to load."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from ltfix.cli import config, console
from ltfix.cli.caches import fitted_on, named_head, project_of, usual
from ltfix.cli.inspect import written as tell_written
from ltfix.cli.options import WorkFolder, WrittenFormat
from ltfix.cli.signature import ARGUMENT
from ltfix.exporting.request import FORMATS, ExportRequest
from ltfix.option import Option


def export(
    *,
    head: Annotated[Path, Option("The head file.", metavar="HEAD"), ARGUMENT],
    request: ExportRequest,
    out: Annotated[
        Path | None, Option("The file or folder.  [default: exports/<head>]", metavar="PATH")
    ] = None,
    cache: Annotated[
        Path | None,
        Option("The features it was fitted on.  [default: those of the project]", metavar="CACHE"),
    ] = None,
    test: Annotated[
        Path | None,
        Option("Test features, for the model card.  [default: features/test if there]", metavar="CACHE"),
    ] = None,
    format: WrittenFormat = "table",
    work: WorkFolder = Path(),
) -> None:
    """Put a head back into its model and write the model for timm, torchvision, ONNX or torch.export.

    The export is loaded as its users load it and compared with ltfix's own logits before it is published.
    """
    from ltfix.exporting.export import export as write

    head = named_head(head, work, alone=True)
    written = write(
        head,
        out or work / "exports" / f"{head.stem}{FORMATS[request.to]}",
        cache=cache or fitted_on(head, work),
        test=test or usual(work, "test"),
        progress=console.progress(),
        request=dataclasses.replace(
            request, said=config.of_extract("backbone", "checkpoint", project=project_of(head))
        ),
    )
    if format == "json":
        told = {"checked_on": written.checked_on, "difference": written.difference, "usage": written.usage}
        tell_written([written.path], **told)
        return
    console.write(
        f"{written.format}: {written.path}\n"
        f"checked on {written.checked_on}: largest difference {written.difference:.1e} of the largest logit\n"
        f"load it by: {written.usage}"
    )
