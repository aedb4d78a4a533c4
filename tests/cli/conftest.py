"""A probe command, so that the frame is tested apart from what the real commands do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from ltfix import cli
from ltfix.cli import commands, config
from ltfix.cli.options import MayOverwrite, RandomSeed, TableFormat, WorkFolder
from ltfix.cli.signature import ARGUMENT
from ltfix.option import Option


@dataclass
class Probe:
    """What the probe command was called with, and what it should do then."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    act: Callable[[], object] = lambda: None
    exit_code: int = -1


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Probe:
    """Registers the command ``probe``, in an empty folder and a clean environment."""
    seen = Probe()

    def function(
        cache: Annotated[Path | None, Option("A cache."), ARGUMENT] = None,
        method: Annotated[str, Option("The method.")] = "samn",
        epochs: Annotated[int | None, Option("Passes.", low=1)] = None,
        weight_decay: Annotated[float | None, Option("Decay.")] = None,
        flip: Annotated[bool, Option("Flip.", negatable=True)] = True,
        set_: Annotated[list[str] | None, Option("Values.", flag="set")] = None,
        val: Annotated[Path | None, Option("A cache.")] = None,
        extra: Annotated[list[Path] | None, Option("More caches.")] = None,
        mean: Annotated[Sequence[float] | None, Option("Of pixels.", metavar="R,G,B")] = None,
        data: Annotated[str | None, Option("Images.", path="data")] = None,
        backbone: Annotated[str | None, Option("A model.", path="model")] = None,
        format: TableFormat = "table",
        seed: RandomSeed = 0,
        threads: Annotated[int | None, Option("CPU threads.", low=1)] = None,
        work: WorkFolder = Path(),
        overwrite: MayOverwrite = False,
    ) -> None:
        """Probe the frame."""
        seen.values = {k: v for k, v in locals().items() if k != "seen"}
        seen.origins = dict(config.current().origins)
        seen.act()

    command = commands.Command("probe", "probe", "Probe the frame.")
    monkeypatch.setitem(commands.COMMANDS, "probe", command)
    real = commands.load
    monkeypatch.setattr(commands, "load", lambda name: function if name == "probe" else real(name))
    for name in [n for n in config.os.environ if n.startswith("LTFIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return seen


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``code, line = error("probe", "--epochs", "x")``: runs it and demands exactly one line of error."""

    def run(*argv: str) -> tuple[int, str]:
        code = cli.run(argv)
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert captured.out == ""
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("ltfix: error: ")
        return code, lines[0].removeprefix("ltfix: error: ")

    return run
