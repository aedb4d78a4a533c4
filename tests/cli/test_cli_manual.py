"""The help of each command: every option in a group, and examples that the command can read."""

from __future__ import annotations

import re
import shlex

import pytest

from ltfix.cli import run
from ltfix.cli.commands import COMMANDS, load
from ltfix.cli.manual import _GROUP_OF, EXAMPLES
from ltfix.cli.signature import parameters


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_every_option_and_three_examples(name: str, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    for parameter in parameters(load(name)).values():
        assert parameter.positional or parameter.flag in out
    assert out.endswith("".join(f"  {line}\n" for line in EXAMPLES[name]))
    assert len(EXAMPLES[name]) == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_name_options_that_are_there(name: str):
    known = {option for p in parameters(load(name)).values() for option in re.split("/", p.spelled)}
    for line in EXAMPLES[name]:
        words = shlex.split(line.rpartition("ltfix ")[2])
        assert words[0] == name
        assert {word for word in words if word.startswith("--")} <= known


def test_groups_name_options_that_are_there():
    known = {p.key for name in COMMANDS for p in parameters(load(name)).values()}
    assert set(_GROUP_OF) - known <= {"config", "quiet", "debug", "help"}
