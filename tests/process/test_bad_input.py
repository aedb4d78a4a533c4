"""The table of bad input: what is wrong -> exit code and the one line that says so.

Every row runs in this process, through the same ``run`` as the console script. A third of the rows
whose command needs no torch, and some of the others, run again as real processes: torch takes seconds
to import.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_input_rows import EVALUATE, ROWS, Row
from caches import make_head, write_cache
from PIL import Image

from ltfix import cli

PROCESSES = [row for row in ROWS if row.real][::3] + [row for row in ROWS if not row.real][::14]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which every command works: photos, caches and a head."""
    folder = tmp_path_factory.mktemp("good")
    rng = np.random.default_rng(0)
    for split, n in (("train", 4), ("test", 2)):
        for name in ("cat", "dog", "owl"):
            (folder / "photos" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{i}.png")
    counts = np.array([9, 8, 8])
    for split in ("train", "test"):
        write_cache(folder / "features" / split, make_head(counts=counts))
    (folder / "heads").mkdir()
    make_head(method="ce", counts=counts).save(folder / "heads" / "good.safetensors")
    return folder


@pytest.fixture
def project(good: Path, tmp_path: Path) -> Path:
    """A copy of the good project to spoil."""
    return Path(shutil.copytree(good, tmp_path / "project"))


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file but partial.json, by which an extraction that met a bad image can be resumed."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "partial.json"}


def check(row: Row, code: int, err: str) -> None:
    last = [line for line in err.splitlines() if line.startswith("ltfix: error: ")]
    assert "Traceback" not in err
    assert code == row.code, err
    assert len(last) == 1, err
    assert re.search(row.line, last[0]), last[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_in_this_process(row: Row, project: Path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    row.change(project)
    before = contents(project)
    code = cli.run(row.argv.split())
    check(row, code, capsys.readouterr().err)
    assert contents(project) == before, "a refused command leaves the project as it was"


@pytest.mark.parametrize("row", PROCESSES, ids=lambda row: row.name)
def test_as_a_process(row: Row, project: Path, ltfix):
    row.change(project)
    done = ltfix(*row.argv.split(), cwd=project)
    check(row, done.returncode, done.stderr)


@pytest.mark.parametrize("argv", [EVALUATE, "evaluate", "methods samn", "inspect features/train"])
def test_the_good_project_is_good(argv: str, project: Path, monkeypatch):
    monkeypatch.chdir(project)
    assert cli.run(argv.split()) == 0


def test_every_promised_kind_of_bad_input_has_a_row():
    promised = """
        unknown model, checkpoint of another architecture, corrupt image, truncated image, enormous image,
        empty class folder, one class only, label not below K, negative label, NaN feature, infinite feature,
        shard truncated, manifest missing, manifest disagrees with a shard, manifest of a newer format,
        head of another D, head of fewer classes than the cache, unknown method, unknown --set key,
        unknown config key, gate missed, gate with an unknown shot, output exists: head, output exists: cache
    """
    assert {name.strip() for name in promised.split(",")} <= {row.name for row in ROWS}
    assert len({row.name for row in ROWS}) == len(ROWS)
