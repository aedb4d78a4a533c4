"""Options that several commands share, and that no record of the library has."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Annotated

from ltfix.cli import config
from ltfix.cli.signature import ARGUMENT
from ltfix.errors import UsageError
from ltfix.option import Checked, Option, RunOptions, option, options_of
from ltfix.stage2.methods.options import WHOLE_RUN
from ltfix.stage2.methods.registry import methods

TABLE_FORMATS = ("table", "json", "csv", "markdown", "latex", "github", "junit")
LIST_FORMATS = ("table", "json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayNames(Checked):
    """What the arrays of a cache are called in a file that another tool wrote."""

    features_key: str | None = option(
        None, "Name of the features in an .npz or .safetensors.  [default: features, X]", metavar="NAME"
    )
    labels_key: str | None = option(None, "Name of the labels there.  [default: labels, y]", metavar="NAME")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableOptions(ArrayNames):
    """What compare and sweep have in common: the features that they fit on, and the table they print."""

    train: Path | None = option(None, "Features to fit on.  [default: features/train]", metavar="CACHE")
    val: Path | None = option(None, "Validation features.  [default: features/val if there]", metavar="CACHE")
    format: str = option("table", f"{', '.join(TABLE_FORMATS)}.", metavar="FORM", choices=TABLE_FORMATS)
    output: Path | None = option(
        None,
        "Write the result here instead of stdout (-), in the format of its ending.",
        metavar="FILE",
    )
    digits: int = option(1, "Decimals of percentages in tables.", low=1, high=4)
    many: int = option(100, "Many: more training samples than this.", low=0)
    few: int = option(20, "Few: fewer training samples than this.", low=0)
    work: Path = option(Path(), "Project folder: features/, heads/ and runs/ lie below it.", metavar="DIR")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepOptions(TableOptions):
    """Those of sweep, which has no gates for junit to show."""

    format: str = option(
        "table", f"{', '.join(TABLE_FORMATS[:-1])}.", metavar="FORM", choices=TABLE_FORMATS[:-1]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateOptions(Checked):
    """What a result is held to."""

    fail_under: str | None = option(
        None,
        "Exit with 1 where a fitted head is below, in percent: few=20,all=45; of ece, above.",
        metavar="SCORE=PERCENT,…",
        joined=True,
    )
    baseline: Path | None = option(None, "An earlier --format json report to compare with.", metavar="FILE")
    max_drop: str | None = option(
        None,
        "Exit with 1 where a head fell further behind the baseline: few=1.0,all=0.5.",
        metavar="SCORE=POINTS,…",
        joined=True,
    )

    def __post_init__(self) -> None:
        from ltfix.evaluation.gate import parse_gates

        for name in ("fail_under", "max_drop"):
            if (text := getattr(self, name)) is not None:
                parse_gates(text, name)

    @property
    def given(self) -> bool:
        """Whether there is any gate."""
        return self.fail_under is not None or self.baseline is not None

    def demand(self, format: str, many: int, few: int) -> None:
        """Refuse a format of gates without any, or a gate that these boundaries have no class for
        (UsageError)."""
        from ltfix.evaluation.formats import demand_gates
        from ltfix.evaluation.gate import demand_possible

        demand_gates(format, there=self.given)
        demand_possible(many, few, self.fail_under, self.max_drop)


_SHARED = options_of(TableOptions)
WorkFolder = Annotated[Path, _SHARED["work"]]
TableFormat = Annotated[str, _SHARED["format"]]
Digits = Annotated[int, _SHARED["digits"]]
ResultFile = Annotated[Path | None, _SHARED["output"]]
ValCache = Annotated[Path | None, _SHARED["val"]]
ManyBound = Annotated[int, _SHARED["many"]]
FewBound = Annotated[int, _SHARED["few"]]
RandomSeed = Annotated[int, options_of(RunOptions)["seed"]]
MayOverwrite = Annotated[bool, options_of(RunOptions)["overwrite"]]
ListFormat = Annotated[str, Option("How the list is printed.", choices=LIST_FORMATS)]
WrittenFormat = Annotated[
    str, Option("What is printed: a summary, or as JSON what was written.", choices=LIST_FORMATS)
]
EntryName = Annotated[str | None, Option("Show this one with its values.", metavar="NAME"), ARGUMENT]
TestCache = Annotated[
    Path | None, Option("Features to evaluate on.  [default: features/test]", metavar="CACHE")
]
PlotFile = Annotated[
    Path | None,
    Option("Draw it: .png, .pdf or .svg (needs the extra `plot`); .json: the numbers.", metavar="FILE"),
]
LossName = Annotated[
    str | None, Option("Use this loss in the method's place; my.py:NAME is one of your own.", metavar="NAME")
]


def pairs(help: str) -> Option:
    """``--set``, for what the command says of it."""
    return Option(help, metavar="KEY=VALUE", flag="set")


def refuse_pairs(pairs: Mapping[str, str], values: Container[str] = ()) -> None:
    """Refuse options of whatever command among ``--set`` pairs (UsageError); ``values`` are none."""
    for name in pairs:
        found = config.option(name)
        is_option = name not in values and (found or name in WHOLE_RUN)
        if is_option and not any(name in method.values() for method in methods()):
            hint = f"write {found.flag}" if found else "this command has no such option"
            raise UsageError(f"{name} is an option, not a value", where="set", hint=hint)
