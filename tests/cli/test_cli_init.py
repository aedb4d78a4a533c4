from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ltfix import cli
from ltfix.cli import config, init
from ltfix.cli.commands import COMMANDS, load
from ltfix.cli.signature import options


def uncommented() -> str:
    """The example with every key set to what stands there."""
    return re.sub(r"^#([a-z-]+ = )", r"\1", init.example(), flags=re.MULTILINE)


def test_it_changes_nothing_until_edited():
    content = tomllib.loads(init.example())
    assert all(table == {} for table in content.values())


@pytest.mark.parametrize("name", [n for n in COMMANDS if n != "init"])
def test_every_option_of_every_command_is_in_it_and_valid(name, tmp_path):
    file = tmp_path / "ltfix.toml"
    file.write_text(uncommented(), encoding="utf-8")
    parameters = options(load(name))
    values = config.read_values(config.Invocation(name, file, parameters))
    left_out = {key for key in parameters if key in init.PER_RUN}
    assert set(values) == set(parameters) - left_out


def test_a_line_without_a_default_says_so():
    lines = init.example().splitlines()
    assert "#lr = 0.0  # no default, or the method's own" in lines
    assert '#normalize = "auto"' in lines
    assert '#cache = "…"' in lines, "its line of help has the default"


def test_it_is_written_once(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["init"]) == 0
    assert capsys.readouterr().err == "ltfix: wrote ltfix.toml\n"
    assert Path("ltfix.toml").read_text(encoding="utf-8") == init.example() + "\n" * 0
    assert cli.run(["init"]) == 2
    assert "already there (ltfix.toml): --overwrite replaces it" in capsys.readouterr().err
    assert cli.run(["init", "--overwrite"]) == 0
    assert cli.run(["init", "--output", "-"]) == 0
    assert capsys.readouterr().out == init.example()


def test_a_file_is_checked_without_running_anything(tmp_path: Path, monkeypatch, error, capsys):
    monkeypatch.chdir(tmp_path)
    assert error("init", "--check") == (3, "no configuration file (ltfix.toml): `ltfix init` writes one")
    file = tmp_path / "ltfix.toml"
    file.write_text(
        "[extract]\nmean = [0.5, 0.5, 0.5]\nbatch-size = 64\nquiet = true\n[fit.set]\ntau = 0.7\n"
    )
    assert cli.run(["init", "--check"]) == 0
    assert capsys.readouterr() == ("ltfix.toml: no mistake found\n", "")
    for text, said in (
        ('[fit]\nselect = "lst"', "select is 'lst' (ltfix.toml, select of fit): it may be last, best-val"),
        ("[fit]\nseeds = 0", "seeds = 0 is out of range (ltfix.toml, seeds of fit): it must be at least 1"),
        (
            '[extract]\nmean = "x"',
            "expected numbers like 0.5,0.5,0.5, found 'x' (ltfix.toml, mean of extract)",
        ),
        (
            "[fit]\nfeature-scal = 1",
            "unknown key 'feature-scal' (ltfix.toml, [fit]): did you mean feature-scale?",
        ),
    ):
        file.write_text(text)
        assert error("init", "--check") == (2, said)


def test_a_written_file_serves_the_commands(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["-q", "init"]) == 0
    assert cli.run(["methods"]) == 0
