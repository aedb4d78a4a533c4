"""A fit's walk from the command to the step, counted on the frames of a real one."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

import ltfix
from ltfix.cli import run
from ltfix.stage2.loop import engine

PACKAGE = Path(ltfix.__file__).parent
MOST = 8


def test_few_functions_stand_between_the_command_and_the_step(tmp_path: Path, monkeypatch):
    labels = np.repeat([0, 1, 2], [20, 8, 4])
    stage1 = {"head.weight": np.eye(3, 8), "head.bias": np.zeros(3)}
    np.savez(tmp_path / "train.npz", features=np.eye(3, 8)[labels], labels=labels, **stage1)
    step, walks = engine.step, list[list[str]]()

    def recorded(*args: Any) -> None:
        frames = [(Path(frame.filename), frame.function) for frame in inspect.stack(context=0)]
        ours = [
            f"{path.relative_to(PACKAGE)}:{name}" for path, name in frames if path.is_relative_to(PACKAGE)
        ]
        walks.append(["step", *ours[: ours.index(str(Path("cli", "fit.py:fit"))) + 1]])
        step(*args)

    monkeypatch.setattr(engine, "step", recorded)
    monkeypatch.chdir(tmp_path)
    assert run(["fit", "train.npz", "--method", "samn", "--epochs", "1"]) == 0
    assert 4 < len(walks[0]) <= MOST, walks[0]
