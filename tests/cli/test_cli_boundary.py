from __future__ import annotations

import errno

import pytest

from ltfix import cli
from ltfix.cli import boundary, config
from ltfix.cli.signals import Terminated
from ltfix.errors import EnvironmentFault, GateMissed, InputError, UsageError
from ltfix.kernel import SwitchImportError


class OutOfMemoryError(RuntimeError):
    """Named as torch's own, which is told by its name."""


def raising(err: BaseException):
    def act() -> None:
        raise err

    return act


@pytest.mark.parametrize(
    ("err", "code", "line"),
    [
        (GateMissed("few is 19.0"), 1, "few is 19.0"),
        (UsageError("no"), 2, "no"),
        (InputError("bad row", where="x.npz, row 3", hint="mend it"), 3, "bad row (x.npz, row 3): mend it"),
        (EnvironmentFault("full"), 4, "full"),
        (MemoryError(), 4, "out of memory: use a smaller batch or fewer workers"),
        (
            OutOfMemoryError("CUDA out of memory. Tried"),
            4,
            "out of memory: use a smaller batch or fewer workers",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            4,
            "out of memory: use a smaller batch or fewer workers",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.jpg"), 3, "no such file or folder (a.jpg)"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            4,
            "no permission (/x): …",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            4,
            "the disk is full (the file system): …",
        ),
        (ModuleNotFoundError("No", name="timm.data"), 4, "timm is not installed: pip install timm"),
        (SwitchImportError("LTFIX_EXTENSION must be 0"), 2, "LTFIX_EXTENSION must be 0"),
        (
            ModuleNotFoundError("No", name="ltfix.x"),
            70,
            "unexpected ModuleNotFoundError: No: --debug shows the traceback",
        ),
        (InputError("first line\nsecond line"), 3, "first line second line"),
        (
            ZeroDivisionError("by zero"),
            70,
            "unexpected ZeroDivisionError: by zero: --debug shows the traceback",
        ),
    ],
)
def test_every_failure_is_one_line_with_its_code(probe, error, err, code, line):
    probe.act = raising(err)
    found, text = error("probe")
    assert found == code
    assert text.startswith(line.removesuffix("…"))  # hints of the file table are its own tests' matter
    assert line.endswith("…") or text == line


@pytest.mark.parametrize(("err", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_interrupts(probe, capsys, err, code):
    probe.act = raising(err)
    assert cli.run(["probe"]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_broken_pipe_is_quiet(probe, capsys, monkeypatch):
    monkeypatch.setattr(boundary, "_abandon_stdout", lambda: None)
    probe.act = raising(BrokenPipeError())
    assert cli.run(["probe"]) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("argv", [["--debug", "probe"], ["probe", "--debug"]])
@pytest.mark.parametrize("err", [InputError("bad"), ValueError("worse \x1b[2J")])
def test_debug_shows_the_traceback_before_or_after_the_command(probe, capsys, argv, err):
    probe.act = raising(err)
    assert cli.run(argv) == (3 if isinstance(err, InputError) else 70)
    told = capsys.readouterr().err
    assert "\x1b" not in told
    lines = told.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("ltfix: error: ")
    assert "--debug" not in lines[-1]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["prob"], "no such command: prob: did you mean probe?"),
        (["--help", "fti"], "no such command: fti: --help goes after the command"),
        (["--qiet", "probe"], "no such option: --qiet (ltfix): did you mean --quiet?"),
        (["--confg", "f", "probe"], "no such option: --confg (ltfix): did you mean --config?"),
        (["probe", "--hlep"], "no such option: --hlep (ltfix probe): did you mean --help?"),
        (
            ["probe", "--weight-dekay", "1"],
            "no such option: --weight-dekay (ltfix probe): did you mean --weight-decay?",
        ),
        (
            ["probe", "--cache=x"],
            "no such option: --cache (ltfix probe): PATH is given by place, and has no option, key or "
            "variable",
        ),
        (["compare", "--baseline"], "no such option: --baseline (ltfix compare): it belongs to evaluate"),
        (["--zzz"], "no such option: --zzz (ltfix): see `ltfix --help`"),
        (["probe", "--zzz"], "no such option: --zzz (ltfix probe): see `ltfix probe --help`"),
        (
            ["extract", "--weights", "x"],
            "no such option: --weights (ltfix extract): did you mean --checkpoint?",
        ),
        (
            ["predict", "h", "b"],
            "got unexpected extra argument(s) (b) (ltfix predict): "
            "`ls new/*.jpg | ltfix predict HEAD --data -` takes several pictures, `--data new` a folder",
        ),
        (
            ["probe", "--method"],
            "option '--method' requires an argument (ltfix probe): see `ltfix probe --help`",
        ),
        (
            ["probe", "a", "b"],
            "got unexpected extra argument(s) (b) (ltfix probe): it takes one PATH; see `ltfix probe --help`",
        ),
        (
            ["probe", "a", "--mean", "1,", "b"],
            "got unexpected extra argument(s) (b) (ltfix probe): it takes one PATH; a list has no blanks "
            "(A,B); see `ltfix probe --help`",
        ),
        (
            ["init", "b"],
            "got unexpected extra argument(s) (b) (ltfix init): it takes options alone; see "
            "`ltfix init --help`",
        ),
        (
            ["inspect", "a", "b"],
            "got unexpected extra argument(s) (b) (ltfix inspect): it takes one PATH; see "
            "`ltfix inspect --help`",
        ),
    ],
)
def test_usage_errors_of_the_parser_have_the_same_form(probe, error, argv, line):
    code, found = error(*argv)
    assert code == 2
    assert (
        found.replace("arguments (b)", "argument(s) (b)").replace("argument (b)", "argument(s) (b)") == line
    )


def test_a_value_of_another_type_names_option_and_command(probe, error):
    code, line = error("probe", "--epochs", "x")
    assert code == 2
    assert "--epochs" in line
    assert line.endswith("(ltfix probe): see `ltfix probe --help`")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--epochs", "0"], "epochs = 0 is out of range (--epochs): it must be at least 1"),
        (
            ["--format", "x"],
            "format is 'x' (--format): it may be table, json, csv, markdown, latex, github, junit",
        ),
        (["--threads", "-3"], "threads = -3 is out of range (--threads): it must be at least 1"),
    ],
)
def test_a_value_out_of_range_names_what_it_may_be(probe, error, argv, line):
    assert error("probe", *argv) == (2, line)


def test_exit_codes_of_library_code_pass(probe):
    probe.act = raising(SystemExit(5))
    assert cli.run(["probe"]) == 5


@pytest.mark.parametrize(
    ("command", "values", "kept"),
    [
        ("extract", {"overwrite": True}, "shards"),
        ("extract", {"dry_run": True}, None),
        ("import", {"overwrite": True}, None),
        ("train-backbone", {"overwrite": False}, "epochs"),
        ("train-backbone", {"overwrite": True}, None),
        ("fit", {"method": "auto", "overwrite": True}, "methods"),
        ("fit", {"method": "los"}, None),
    ],
)
def test_an_interruption_says_what_is_kept(command: str, values: dict, kept: str | None, capsys):
    with config.started() as here:
        here.command, here.values = command, values
        assert boundary.interrupted(KeyboardInterrupt()) == 130
    goes_on = f"; finished {kept} are kept, and the same command again goes on from there" if kept else ""
    assert capsys.readouterr().err == f"ltfix: interrupted{goes_on}\n"
