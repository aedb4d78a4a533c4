"""What a fresh interpreter imports: light commands stay light, and the check itself can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ltfix.cli.commands import COMMANDS

HEAVY = {"torch", "torchvision", "timm", "numpy", "scipy", "sklearn", "PIL", "safetensors"}
PROGRAM = """
import json, sys
from ltfix.cli import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted(m for m in sys.modules if "." not in m)]))
"""


def imported(program: str, *argv: str, cwd: Path) -> set[str]:
    """Top-level modules in ``sys.modules`` after ``program`` ran well in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program, *argv], cwd=cwd, capture_output=True, text=True, timeout=120
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


def test_the_check_can_fail(tmp_path: Path):
    program = PROGRAM.replace("from ltfix.cli import run", "import numpy; from ltfix.cli import run")
    assert imported(program, "--help", cwd=tmp_path) & HEAVY == {"numpy"}


def test_import_ltfix_is_light(tmp_path: Path):
    program = "import ltfix, json, sys; dir(ltfix); print(json.dumps([0, sorted(sys.modules)]))"
    modules = imported(program, cwd=tmp_path)
    assert "ltfix" in modules
    assert not modules & (HEAVY | {"typer", "rich"})


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_is_light(tmp_path: Path, argv: list[str]):
    modules = imported(PROGRAM, *argv, cwd=tmp_path)
    assert not modules & HEAVY
    assert not modules & {"rich", "pydantic"}, "they would cost more than all the rest"


def test_init_and_methods_need_no_torch(tmp_path: Path):
    for argv in (["init"], ["methods"], ["methods", "samn", "--format", "json"]):
        assert not imported(PROGRAM, *argv, cwd=tmp_path) & {"torch", "torchvision", "timm"}


def test_evaluate_and_inspect_need_no_torch(tmp_path: Path):
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "test.npz",
        features=generator.normal(size=(30, 4)).astype(np.float32),
        labels=np.arange(30) % 3,
        **{
            "head.weight": generator.normal(size=(3, 4)).astype(np.float32),
            "head.bias": np.zeros(3, np.float32),
        },
    )
    for argv in (
        ["evaluate", "test.npz", "--cache", "test.npz", "--report", "many-medium-few"],
        ["evaluate", "test.npz", "--cache", "test.npz", "--report", "per-class", "--format", "json"],
        ["inspect", "test.npz"],
    ):
        modules = imported(PROGRAM, *argv, cwd=tmp_path)
        assert "numpy" in modules
        assert not modules & {"torch", "torchvision", "timm", "scipy", "sklearn"}
