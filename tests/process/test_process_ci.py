"""The shell script of docs/ci.md, as a job runs it: without a baseline, against one, and worse than one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ltfix

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ci.md"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A project whose features are there, and an ``ltfix`` on the path that leaves extraction out."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 16)) * 0.6
    for split, counts in (("train", [150, 60, 25, 8]), ("test", [60] * 4)):
        labels = np.repeat(np.arange(4), counts)
        features = centres[labels] + rng.normal(size=(len(labels), 16))
        path = tmp_path / f"{split}.npz"
        np.savez(path, features=features.astype(np.float32), labels=labels)
    (tmp_path / "ltfix.toml").write_text('[evaluate]\ncache = "test.npz"\n', encoding="utf-8")
    tool = tmp_path / "bin" / "ltfix"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\n[ "$1" = extract ] && exit 0\n'
        f'[ "$1" = fit ] && set -- "$@" train.npz\nexec "{sys.executable}" -m ltfix "$@"\n',
        encoding="utf-8",
    )
    tool.chmod(0o755)
    return tmp_path


def test_the_shell_script_holds_a_build_to_the_last_one(job: Path):
    script = re.search(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    env = {**os.environ, "PATH": f"{job / 'bin'}:{os.environ['PATH']}"}

    def run() -> subprocess.CompletedProcess[str]:
        argv = ["sh", "-c", script]
        return subprocess.run(argv, cwd=job, env=env, capture_output=True, text=True, timeout=300)

    first = run()
    assert first.returncode == 0, first.stderr
    last = json.loads((job / "last.json").read_text())
    better = [{**row, "few": min(1.0, row["few"] + 0.3), "correct": None} for row in last["heads"]]
    (job / "last.json").write_text(json.dumps(last | {"heads": better}))
    worse = run()
    assert worse.returncode == 1
    assert re.search(r"gate missed \(ci: few fell by \d+\.\d points to", worse.stderr)
    assert json.loads((job / "last.json").read_text())["heads"] == better, (
        "a build that misses is no baseline"
    )
    assert ltfix.load_head(job / "heads" / "ci.safetensors").method == "samn"
