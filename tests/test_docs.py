"""The documentation is current, complete, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
import torch

import ltfix
from ltfix.cli import run
from ltfix.cli.commands import COMMANDS, load
from ltfix.cli.signature import arguments, options

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(os.name != "posix", reason="the script needs a terminal of its own")
def test_the_tour_shows_the_screens_of_its_script():
    page = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    made = script(ROOT / "docs" / "make_tour.py")
    assert re.findall(r"^\$ ltfix (.*)$", page, re.MULTILINE) == list(made.SCREENS.values())
    screens = re.findall(r"^```\n\$ [^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert all(len(line) <= made.COLUMNS for screen in screens for line in screen.splitlines())


def test_cli_page_is_current():
    made = script(ROOT / "docs" / "make_cli.py").render()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made, "run `python docs/make_cli.py`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str):
    function = load(name)
    first = (function.__doc__ or "").strip().splitlines()[0]
    assert first.endswith("."), "the first line of the help is one sentence"
    for parameter in [*options(function).values(), *arguments(function).values()]:
        assert parameter.option.help, f"{name} {parameter.spelled} has no help"
    prose = "".join(p.read_text(encoding="utf-8") for p in PAGES if p.name != "cli.md")
    assert f"ltfix {name}" in prose, "no page but the reference mentions it"


def test_every_public_name_is_documented():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    missing = [name for name in ltfix.__all__ if name != "__version__" and f"`{name}" not in text]
    assert missing == []


def test_every_format_that_is_written_is_documented():
    written = {
        name
        for file in (ROOT / "ltfix").rglob("*.py")
        for name in re.findall(r'"(ltfix-[a-z-]+/\d+)"', file.read_text(encoding="utf-8"))
    }
    told = set(re.findall(r"ltfix-[a-z-]+/\d+", (ROOT / "docs" / "format.md").read_text(encoding="utf-8")))
    assert len(written) > 15 and written - told == set()


def test_python_examples_run(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # as the page sets it, and undone in the end
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        if name := re.match(r"# (\w+\.py)\n", block):
            Path(name[1]).write_text(block, encoding="utf-8")
    exec(compile("\n".join(blocks), "docs/python.md", "exec"), {})
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for command in commands.splitlines():
        assert run(shlex.split(command)[1:]) == 0, command


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_relative_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
