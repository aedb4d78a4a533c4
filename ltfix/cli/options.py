"""Options that several commands share, and that no record of the library has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ltfix.cli.signature import ARGUMENT
from ltfix.option import Option, RunOptions, options_of

TABLE_FORMATS = ("table", "json", "csv", "markdown")
LIST_FORMATS = ("table", "json")

WorkFolder = Annotated[
    Path, Option("Project folder: features/, heads/ and runs/ lie below it.", metavar="DIR", flag="work")
]
RandomSeed = Annotated[int, options_of(RunOptions)["seed"]]
MayOverwrite = Annotated[bool, options_of(RunOptions)["overwrite"]]
TableFormat = Annotated[str, Option("How the result is printed.", choices=TABLE_FORMATS)]
ListFormat = Annotated[str, Option("How the list is printed.", choices=LIST_FORMATS)]
ResultFile = Annotated[Path | None, Option("Write the result here instead of stdout (-).", metavar="FILE")]
EntryName = Annotated[str | None, Option("Show this one with its values.", metavar="NAME"), ARGUMENT]

TrainCache = Annotated[
    Path | None, Option("Features to fit on.  [default: features/train]", metavar="CACHE", flag="train")
]
ValCache = Annotated[
    Path | None,
    Option("Validation features.  [default: features/val if there]", metavar="CACHE", flag="val"),
]
LossName = Annotated[str | None, Option("Use this loss in the method's place.", metavar="NAME")]
ManyBound = Annotated[int, Option("Many: more training samples than this.", low=0)]
FewBound = Annotated[int, Option("Few: fewer training samples than this.", low=0)]


def pairs(help: str) -> Option:
    """``--set``, for what the command says of it."""
    return Option(help, metavar="KEY=VALUE", flag="set")
