"""A command's options, from its own parameters and from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from ltfix.cli.commands import COMMANDS, load
from ltfix.cli.signature import ARGUMENT, arguments, bind, options, parameters
from ltfix.errors import UsageError
from ltfix.extraction.request import Request
from ltfix.option import Checked, Option, RunOptions, option
from ltfix.stage1.request import TrainingRequest
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.parts import Value


@dataclass(frozen=True, kw_only=True)
class Images(Checked):
    data: str | Path = option(..., "Images.", path="data")
    limit: int | None = option(None, "At most N.", low=1)
    shuffled: bool = option(False, "In any order.")


@dataclass(frozen=True, kw_only=True)
class Work(Images):
    model: str = option("resnet", "A model.", metavar="NAME", path="model")
    mean: Sequence[float] | None = option(None, "Of pixels.", metavar="R,G,B")
    splits: Sequence[str] = option((), "Only these.", flag="split")
    model_args: Mapping[str, Any] = option({}, "For the model.", flag="model-arg")
    batch_size: int | None = option(None, "Images a batch.", low=1, unset="auto")
    compile: bool = option(False, "Compile it.", negatable=True)
    kind: str = option("a", "A word.", choices=("a", "b"))
    hidden: int = 3


VALUES = {
    "lr": Value(0.1, "learning rate", positive=True),
    "epochs": Value(20, "passes"),
    "delta": Value(None, "smoothing"),
    "schedule": Value("cosine", "rate over the epochs", ("cosine", "constant")),
    "nesterov": Value(False, "Nesterov's momentum"),
    "mixup": Value(0.0, "α of MixUp"),
}


def command(
    *,
    heads: Annotated[list[Path] | None, Option("h", metavar="HEAD"), ARGUMENT] = None,
    work: Work,
    values: Annotated[dict[str, Any], VALUES],
    set_: Annotated[Mapping[str, str], Option("s", flag="set")],
    run: Annotated[RunOptions, ("seed", "threads")],
    top: Annotated[int, Option("t", low=1, high=9)] = 3,
) -> None: ...


def test_options_stand_in_the_order_of_the_signature_and_own_fields_before_inherited_ones():
    assert list(options(command)) == [
        *("data", "model", "mean", "split", "model_arg", "batch_size", "compile", "kind"),
        *("limit", "shuffled", "lr", "epochs", "delta", "schedule", "nesterov", "mixup"),
        *("set", "seed", "threads", "top"),
    ]


@pytest.mark.parametrize(
    ("key", "kind", "many", "default", "spelled", "metavar"),
    [
        ("data", str, False, None, "--data", "TEXT"),
        ("limit", int, False, None, "--limit", "N"),
        ("shuffled", bool, False, False, "--shuffled", None),
        ("compile", bool, False, False, "--compile/--no-compile", None),
        ("mean", str, False, None, "--mean", "R,G,B"),
        ("split", str, True, None, "--split", "TEXT"),
        ("model_arg", str, True, None, "--model-arg", "TEXT"),
        ("batch_size", str, False, "auto", "--batch-size", "N|auto"),
        ("kind", str, False, "a", "--kind", "a|b"),
        ("lr", float, False, None, "--lr", "X"),
        ("epochs", int, False, None, "--epochs", "N"),
        ("delta", float, False, None, "--delta", "X"),
        ("schedule", str, False, None, "--schedule", "cosine|constant"),
        ("nesterov", bool, False, None, "--nesterov/--no-nesterov", None),
        ("set", str, True, None, "--set", "TEXT"),
        ("seed", int, False, 0, "--seed", "N"),
        ("top", int, False, 3, "--top", "N"),
    ],
)
def test_what_an_option_is(key, kind, many, default, spelled, metavar):
    found = options(command)[key]
    assert (found.kind, found.many, found.default) == (kind, many, default)
    assert (found.spelled, found.metavar) == (spelled, metavar)


def test_help_is_the_fields_or_the_values_meaning():
    found = {key: p.option.help for key, p in options(command).items()}
    assert found["limit"] == "At most N."
    assert found["lr"] == "Learning rate."
    assert found["mixup"] == "α of MixUp."


def test_arguments():
    found = arguments(command)
    assert list(found) == ["heads"]
    assert (found["heads"].kind, found["heads"].many, found["heads"].metavar) == (Path, True, "HEAD")


def typed(**given: Any) -> dict[str, Any]:
    """What the parser makes of a command line, by key."""
    values = {key: p.default for key, p in parameters(command).items()}
    return {**values, "data": Path("photos"), **given}


def test_records_are_built_of_what_was_typed():
    bound = bind(
        command,
        typed(mean="0.5,1", split=["train"], model_arg=["depth=3"], batch_size="8", set=["a-b=1"], lr=0.2),
    )
    assert bound["work"] == Work(
        data=Path("photos"), mean=(0.5, 1.0), splits=("train",), model_args={"depth": 3}, batch_size=8
    )
    assert bound["values"] == {"lr": 0.2}
    assert bound["set_"] == {"a_b": "1"}
    assert (bound["run"], bound["top"], bound["heads"]) == (RunOptions(), 3, [])
    assert bind(command, typed(batch_size="auto", nesterov=False))["values"] == {"nesterov": False}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": None}, r"--data is needed: .* data in the command's table of ltfix.toml"),
        ({"limit": 0}, r"limit = 0 is out of range \(limit\): it must be at least 1"),
        ({"top": 10}, r"top = 10 is out of range \(top\): it must be 1 to 9"),
        ({"kind": "c"}, r"kind is 'c' \(kind\): it may be a, b"),
        ({"batch_size": "many"}, r"whole number or auto, found 'many' \(--batch-size\)"),
        ({"batch_size": "0"}, r"batch_size = 0 is out of range"),
        ({"set": ["lr"]}, r"--set takes KEY=VALUE, found 'lr'"),
        ({"seed": -1}, r"seed = -1"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], said: str):
    with pytest.raises(UsageError, match=said):
        bind(command, typed(**given))


@pytest.mark.parametrize(
    ("key", "value", "moved"),
    [
        ("data", "photos", "f/photos"),
        ("data", "list:train=a,test=b", "list:train=f/a,test=f/b"),
        ("data", "tar:train=a-{0,1}.tar,test=b.tar", "tar:train=f/a-{0,1}.tar,test=f/b.tar"),
        ("data", "csv:https://host/a.csv", "csv:https://host/a.csv"),
        ("data", "csv:train=s3://b/a.csv,test=c.csv", "csv:train=s3://b/a.csv,test=f/c.csv"),
        ("data", "hf:owner/name:config", "hf:owner/name:config"),
        ("data", "list:-", "list:-"),
        ("data", "list:train=-,test=b=c", "list:train=-,test=f/b=c"),
        ("data", "-", "-"),
        ("model", "resnet", "resnet"),
        ("model", "../runs/a", "f/../runs/a"),
        ("model", "local-dir:../prod", "local-dir:f/../prod"),
        ("model", "local-dir:prod", "local-dir:f/prod"),
        ("model", "hf-hub:timm/a", "hf-hub:timm/a"),
        ("kind", "a", "a"),
        ("kind", "ce, my.py:A,los:loss=../own.py:loss", "ce, f/my.py:A,los:loss=f/../own.py:loss"),
        ("heads", "x", "f/x"),
        ("heads", "-", "-"),
    ],
)
def test_paths_of_a_file_move_to_its_folder(key: str, value: str, moved: str):
    assert parameters(command)[key].move(value, Path("f")) == moved


@pytest.mark.parametrize(
    ("name", "argument", "wanted"),
    [
        ("extract", "request", Request(data=Path("x"), backbone="x")),
        ("train-backbone", "request", TrainingRequest(data=Path("x"))),
        ("fit", "options", Options()),
        ("compare", "options", Options()),
        ("sweep", "options", Options()),
        ("fit", "run", RunOptions()),
        ("compare", "run", RunOptions()),
        ("sweep", "run", RunOptions()),
    ],
)
def test_defaults_of_a_command_are_the_librarys(name: str, argument: str, wanted: object):
    assert name in COMMANDS
    function = load(name)
    values = {key: p.default for key, p in parameters(function).items()}
    values |= {key: Path("x") if key == "data" else "x" for key in ("data", "backbone") if key in values}
    assert bind(function, values)[argument] == wanted
