"""A probe command, so that the frame is tested apart from what the real commands do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from ltfix import cli
from ltfix.cli import config
from ltfix.cli.options import (
    Format,
    NameOrPath,
    Overwrite,
    Seed,
    SourceSpec,
    TableFormat,
    Threads,
    Work,
)


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
        cache: Annotated[Path | None, typer.Argument(help="A cache.")] = None,
        method: Annotated[str, typer.Option(help="The method.")] = "samn",
        epochs: Annotated[int | None, typer.Option(min=1, help="Passes.")] = None,
        weight_decay: Annotated[float | None, typer.Option(help="Decay.")] = None,
        flip: Annotated[bool, typer.Option(help="Flip.")] = True,
        set_: Annotated[list[str] | None, typer.Option("--set", help="Values.")] = None,
        val: Annotated[Path | None, typer.Option(help="A cache.")] = None,
        extra: Annotated[list[Path] | None, typer.Option(help="More caches.")] = None,
        data: Annotated[str | None, SourceSpec, typer.Option(help="Images.")] = None,
        backbone: Annotated[str | None, NameOrPath, typer.Option(help="A model.")] = None,
        format: Format = TableFormat.table,
        seed: Seed = 0,
        threads: Threads = None,
        work: Work = Path(),
        overwrite: Overwrite = False,
    ) -> None:
        """Probe the frame."""
        seen.values = {k: v for k, v in locals().items() if k != "seen"}
        seen.origins = dict(config.origins())
        seen.act()

    command = cli.Command("probe", "probe", "Probe the frame.")
    monkeypatch.setitem(cli.COMMANDS, "probe", command)
    real = cli.load
    monkeypatch.setattr(cli, "load", lambda name: function if name == "probe" else real(name))
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
