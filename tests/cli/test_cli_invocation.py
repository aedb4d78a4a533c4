from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ltfix import cli
from ltfix._version import __version__
from ltfix.cli import config, console
from ltfix.cli import invocation as frame
from ltfix.progress import SILENT


def test_common_options_stand_before_or_after_the_command(probe, tmp_path):
    (tmp_path / "f").write_text('[probe]\nmethod = "los"\n')
    seen = []
    probe.act = lambda: seen.append((config.current().quiet, config.current().debug, config.current().file))
    for argv in (
        ["--config", "f", "-q", "--debug", "probe", "x"],
        ["probe", "--config=f", "-q", "--debug", "x"],
        ["--debug", "probe", "x", "--quiet", "--config", "f"],
    ):
        assert cli.run(argv) == 0
        assert (probe.values["cache"], probe.values["method"]) == (Path("x"), "los")
    assert seen == [(True, True, Path("f"))] * 3


def test_the_command_is_split_from_its_line():
    early = ["--config", "f", "-q"]
    assert frame.split([*early, "fit", "x"], ["fit"]) == ("fit", [*early, "x"])
    assert frame.split(["fit", "x"], ["fit"]) == ("fit", ["x"])
    assert frame.split(["--help"], ["fit"]) == (None, ["--help"])


def test_options_after_the_double_dash_are_arguments(probe, capsys):
    assert cli.run(["probe", "--", "--help"]) == 0
    assert probe.values["cache"] == Path("--help")
    seen = []
    probe.act = lambda: seen.append(config.current().debug)
    assert cli.run(["probe", "--", "--debug"]) == 0
    assert seen == [False]


def test_a_config_without_a_name_is_left_to_the_parser(probe, error):
    assert error("probe", "--config")[0] == 2
    assert error("--config")[0] == 2
    assert error("--config", "x.toml") == (2, "no command given (ltfix): see `ltfix --help`")
    told = "no such command: json: --format goes after the command"
    assert error("--format", "json", "probe") == (2, told)
    assert error("prob", "--debug") == (2, "no such command: prob: did you mean probe?")
    assert error("--config", "x.toml", "prob") == (2, "no such command: prob: did you mean probe?")


def test_quiet_silences_notes_and_progress(probe, capsys):
    def act() -> None:
        console.note("read this")
        probe.values["progress"] = console.progress()

    probe.act = act
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == "ltfix: read this\n"
    assert probe.values["progress"] is not SILENT
    for argv in (["-q", "probe"], ["probe", "--quiet"]):
        assert cli.run(argv) == 0
        assert capsys.readouterr().err == ""
        assert probe.values["progress"] is SILENT


def test_quiet_from_the_file(probe, capsys, tmp_path):
    (tmp_path / "ltfix.toml").write_text("[probe]\nquiet = true\n")
    probe.act = lambda: console.note("read this")
    assert cli.run(["probe"]) == 0
    assert capsys.readouterr().err == ""


def test_without_a_command_help_goes_to_stderr_with_code_2(probe, capsys):
    assert cli.run([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Commands:" in captured.err


def test_help_lists_every_command_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in cli.commands.COMMANDS.items():
        assert [line.split() for line in lines if line.startswith(f"  {name} ")] == [
            [name, *command.help.split()]
        ]


def test_command_help_has_the_common_options(probe, capsys):
    assert cli.run(["probe", "-h"]) == 0
    out = capsys.readouterr().out
    assert all(
        word in out for word in ("--config", "--quiet", "--debug", "--weight-decay", "Probe the frame.")
    )


def test_version_names_what_decides_results(capsys):
    assert cli.run(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ltfix", "torch", "timm", "isotonic"]
    assert cli.run(["--version", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["ltfix"] == __version__


def test_main_exits_with_the_code(probe, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ltfix", "nonsense"])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2


def test_an_open_bar_is_closed_before_the_error_is_told(probe, capsys, monkeypatch):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True, raising=False)

    def act() -> None:
        progress = console.progress()
        probe.values["bar"] = progress
        progress.start("train", 10, "images")
        raise KeyboardInterrupt

    probe.act = act
    assert cli.run(["probe"]) == 130
    assert probe.values["bar"]._bar is None
    assert capsys.readouterr().err.endswith("ltfix: interrupted\n")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ltfix prob", ["probe"]),
        ("ltfix probe --weight", ["--weight-decay"]),
        ("ltfix probe --format m", ["markdown"]),
        ("ltfix fit --select b", ["best-val"]),
    ],
)
def test_a_shell_completes_commands_options_and_words(probe, capsys, monkeypatch, words, completed):
    monkeypatch.setenv("_LTFIX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert cli.run([]) == 0
    assert capsys.readouterr().out.split() == completed
