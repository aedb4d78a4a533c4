from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ltfix.cli.signature import Located, arguments, below, options


class Choice(StrEnum):
    a = "a"


def command(
    heads: Annotated[list[Path] | None, typer.Argument(metavar="HEAD", help="h")] = None,
    batch_size: Annotated[int | None, typer.Option(help="b")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", "-s", help="s")] = None,
    flip: Annotated[bool, typer.Option()] = True,
    pretrained: Annotated[bool, typer.Option("--pretrained/--no-pretrained")] = True,
    kind: Annotated[Choice, typer.Option("--kind")] = Choice.a,
    data: Annotated[str, Located(lambda value, folder: f"{folder}:{value}"), typer.Option()] = "x",
    plain: int = 3,
) -> None: ...


def test_options_by_long_name():
    found = options(command)
    assert list(found) == ["batch_size", "set", "flip", "pretrained", "kind", "data"]
    assert (found["batch_size"].kind, found["batch_size"].many, found["batch_size"].help) == (int, False, "b")
    assert (found["set"].name, found["set"].flag, found["set"].many, found["set"].kind) == (
        "set_",
        "--set",
        True,
        str,
    )
    assert found["flip"].spelled == "--flip/--no-flip"
    assert found["pretrained"].spelled == "--pretrained/--no-pretrained"
    assert found["pretrained"].flag == "--pretrained"
    assert found["kind"].kind is Choice
    assert found["data"].locate is not None
    assert found["data"].locate("y", Path("f")) == "f:y"


def test_arguments():
    found = arguments(command)
    assert list(found) == ["heads"]
    assert (found["heads"].kind, found["heads"].many, found["heads"].metavar) == (Path, True, "HEAD")


def test_paths_move_but_stdin_stays():
    assert below("x", Path("sub")) == str(Path("sub/x"))
    assert below("-", Path("sub")) == "-"
