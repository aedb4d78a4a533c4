from __future__ import annotations

import json
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
    assert "#lr = 0.0  # each method or recipe has its own default" in lines
    assert '#fail-under = ["…"]  # no default' in lines, "evaluate has no method"
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
    assert capsys.readouterr() == (
        "ltfix.toml: no mistake found\n",
        "ltfix: --set from ltfix.toml is not used: method samn has no value 'tau'\n",
    )
    assert cli.run(["init", "--check", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"] == "ltfix.toml"
    file.write_text("[evaluate]\ngate = 1")
    assert error("init", "--check")[1].endswith("did you mean fail-under?")
    file.write_text('seeds = 1\n[fit]\nepoch = 1\nlr = "x"\nmethod = "none"\n[evaluate]\nmany = 1.5')
    assert cli.run(["init", "--check"]) == 2
    assert [
        line.partition(" (")[0].removeprefix("ltfix: error: ")
        for line in capsys.readouterr().err.splitlines()
    ] == [
        "unknown key 'seeds'",
        "unknown key 'epoch'",
        'expected a number, found "x"',
        "expected a whole number, found 1.5",
    ]
    file.write_text('[fit]\nmethod = "samm"\n[evaluate]\nreport = "per"\nfail-under = "few"')
    assert cli.run(["init", "--check"]) == 2
    told = [line.partition(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["ltfix: error: unknown method 'samm'", "ltfix: error: not a gate: 'few'"]
    file.write_text("[fit]\nfeature-scal = 1")
    said = "unknown key 'feature-scal' (ltfix.toml, [fit]): did you mean feature-scale?"
    assert error("init", "--check") == (2, said)
    assert error("init", "--config", "ltfix.toml", "--output", "new.toml") == (2, said)
    assert not Path("new.toml").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = -1", "seed = -1 is out of range (ltfix.toml, seed): it must be at least 0"),
        ('[fit]\nmethod = "samm"', "unknown method 'samm' (ltfix.toml, [fit] method): did you mean samn"),
        ('[fit]\nloss = "loss"', "unknown loss 'loss' (ltfix.toml, [fit] loss): did you"),
        ('[fit]\nselect = "lst"', "select is 'lst' (ltfix.toml, [fit] select): it may be last, best-val"),
        ("[fit]\nseeds = 0", "seeds = 0 is out of range (ltfix.toml, [fit] seeds): it must be at least 1"),
        ("[fit]\nlr = -1", "lr = -1 is out of range (ltfix.toml, [fit] lr): it must be above 0"),
        ("[fit]\nval-fraction = 7.0", "the fraction is 7 (ltfix.toml, [fit] val-fraction): between 0 and 1"),
        ('[fit]\nbudget = "9x"', "the budget is '9x' (ltfix.toml, [fit] budget): 90s, 10m, 2h"),
        ('[fit]\nfeature-scale = "abc"', "the scale is 'abc' (ltfix.toml, [fit] feature-scale): auto, none"),
        ("[fit.set]\nnosuch = 3", "method samn has no value 'nosuch' (nosuch; ltfix.toml, [fit]): known: "),
        (
            '[extract]\nmean = "x"',
            "expected numbers like 0.5,0.5,0.5, found 'x' (ltfix.toml, [extract] mean)",
        ),
        ('[extract]\ndevice = "tpu"', "unknown device 'tpu' (ltfix.toml, [extract] device): auto, cpu"),
        ('[extract]\nviews = "x"', "unknown view (x; ltfix.toml, [extract]): known: center, hflip"),
        ('[extract]\nprecision = "x"', "precision is 'x' (ltfix.toml, [extract] precision): it may be auto"),
        ('[train-backbone]\nrecipe = "c"', "unknown recipe 'c' (ltfix.toml, [train-backbone] recipe)"),
        ('[evaluate]\nreport = "per"', "no report 'per' (ltfix.toml, [evaluate] report): did you mean per-c"),
        (
            '[evaluate]\nfail-under = "few=x"',
            "few=x is no percentage (ltfix.toml, [evaluate] fail-under)",
        ),
        (
            '[evaluate]\noutput = "x.html"',
            ".html is the ending of no format (ltfix.toml, [evaluate] output): known: .csv",
        ),
        (
            '[compare]\nfew = 0\nfail-under = ["all=3", "few=3"]',
            "no class can be few with many = 100 and few = 0, so few cannot be held (ltfix.toml, [compare]",
        ),
        (
            '[evaluate]\nfew = 101\nmax-drop = { medium = 3 }\nbaseline = "last.json"',
            "no class can be medium with many = 100 and few = 101, so medium cannot be held (ltfix.toml, [",
        ),
        ("[report]\nmany = 10", "the shot boundaries many = 10 and few = 20 overlap (ltfix.toml, [report])"),
        ("[sweep]\nmany = 10", "the shot boundaries many = 10 and few = 20 overlap (ltfix.toml, [sweep])"),
        (
            '[predict]\noutput = "x.xml"',
            ".xml is the ending of no format (ltfix.toml, [predict] output): known: .csv, .json, .jsonl, ",
        ),
        ('[compare]\nmethods = "ce,zz"', "unknown method 'zz' (ltfix.toml, [compare] methods): known"),
        (
            '[sweep]\nover = "lr=1"',
            "a sweep needs two different points or more (--over lr=1; ltfix",
        ),
    ],
)
def test_a_check_finds_what_a_command_would_refuse(text: str, said: str, tmp_path: Path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    Path("ltfix.toml").write_text(text)
    code, line = error("init", "--check")
    assert (code, line[: len(said)]) == (2, said)


def test_a_check_takes_no_option_of_writing(tmp_path: Path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    for option in (["--output", "other.toml"], ["--overwrite"]):
        code, line = error("init", "--check", *option)
        assert (code, line) == (2, f"init --check has no use for it ({option[0]}): leave it out")


def test_a_written_file_serves_the_commands(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["-q", "init"]) == 0
    assert cli.run(["methods"]) == 0
