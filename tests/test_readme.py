"""The README's examples run as they stand, in order, on a small project of real image files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
SKIP = re.compile(r"<!-- not run by the tests: (.+) -->")


class Block(NamedTuple):
    """One fenced block: its language, its text, the comments that stand directly above it."""

    language: str
    text: str
    marks: str


def blocks() -> list[Block]:
    pattern = r"((?:^<!-- .*? -->\n)*)^```(\w*)\n(.*?)^```$"
    found = re.finditer(pattern, README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(m[2], m[3], m[1]) for m in found]


def runnable() -> list[Block]:
    return [b for b in blocks() if b.language in ("sh", "python") and not SKIP.search(b.marks)]


def quick_start(name: str) -> list[str]:
    return [b.text.strip() for b in blocks() if f"<!-- quick start: {name} -->" in b.marks]


def test_the_quick_start_is_two_commands():
    section = README.read_text(encoding="utf-8").split("## Quick start")[1].split("\n## ")[0]
    commands = [line for b in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in b.splitlines()]
    assert len(commands) == 2
    assert [*quick_start("demo"), *quick_start("tests")] == commands


def test_every_shell_block_is_run_or_says_why_not():
    for block in blocks():
        if block.language in ("sh", "python"):
            reason = SKIP.search(block.marks)
            assert block in runnable() or (reason and len(reason[1]) > 10)
    assert len(runnable()) >= 4


def test_every_method_is_in_the_table():
    import ltfix

    section = README.read_text(encoding="utf-8").split("## Methods")[1].split("`ltfix methods`")[0]
    assert sorted(re.findall(r"`([^`]+)`", section)) == sorted(m.name for m in ltfix.methods())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ with three classes of unequal size, and the README's ltfix.toml."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    for split, counts in {"train": (12, 6, 3), "test": (4, 4, 4)}.items():
        for k, (name, n) in enumerate(zip(("cat", "dog", "owl"), counts, strict=True)):
            (folder / "photos" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 120, (40, 40, 3)) + np.eye(3)[k] * 120
                Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / split / name / f"{i}.jpg")
    for block in blocks():
        if named := re.search(r"<!-- file: (\S+) -->", block.marks):
            (folder / named[1]).write_text(block.text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """``ltfix`` and ``python`` on the path; a small random backbone in place of a download."""
    bin_ = tmp_path_factory.mktemp("bin")
    (bin_ / "ltfix").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ltfix "$@"\n')
    (bin_ / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for path in bin_.iterdir():
        path.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LTFIX_") or k == "LTFIX_EXTENSION"}
    return {
        **clean,
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "LTFIX_EXTRACT_BACKBONE": "test_resnet",
        "LTFIX_EXTRACT_PRETRAINED": "no",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="the examples are for a POSIX shell")
def test_the_examples_run_in_order(project: Path, environment: dict[str, str]):
    for block in runnable():
        program = [sys.executable, "-c"] if block.language == "python" else ["sh", "-euc"]
        done = subprocess.run(
            [*program, block.text], cwd=project, env=environment, capture_output=True, text=True, timeout=240
        )
        allowed = (0, 1) if "<!-- may exit with 1 -->" in block.marks else (0,)
        assert done.returncode in allowed, f"{block.text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert (project / "features" / "train" / "manifest.json").is_file()
    assert (project / "heads" / "samn-freq.safetensors").is_file()
