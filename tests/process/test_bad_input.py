"""The table of bad input: what is wrong -> exit code and the one line that says so.

Every row runs in this process, through the same ``run`` as the console script. Rows whose command needs no
torch, and one in four of the others, run again as real processes, where importing torch takes seconds.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from caches import make_head, write_bare, write_cache
from PIL import Image

from ltfix import cli, files

Change = Callable[[Path], object]


class Row(NamedTuple):
    """One bad input: what is done to a good project, the command, what is to come of it."""

    name: str
    argv: str
    code: int
    line: str
    change: Change = lambda folder: None
    real: bool = True


def shard(folder: Path) -> Path:
    return folder / "features" / "train" / "shard-00000.safetensors"


def edit_manifest(**changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "features" / "train" / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def bare(**tensors: Any) -> Change:
    return lambda folder: write_bare(folder / "bare.safetensors", **tensors)


def cut(path: str, size: int = 100) -> Change:
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:size])


def write(path: str, text: str) -> Change:
    return lambda folder: (folder / path).write_text(text)


def feature(value: float) -> np.ndarray:
    features = np.ones((6, 1, 4), np.float32)
    features[4, 0, 2] = value
    return features


def foreign_checkpoint(folder: Path) -> None:
    files.write_safetensors(folder / "other.safetensors", {"layers.0.w": np.ones((2, 2), np.float32)})


EVALUATE = "evaluate heads/good.safetensors --cache features/train"
BARE = "evaluate heads/good.safetensors --cache bare.safetensors"
EXTRACT = "extract --data photos --backbone cifar_resnet32 --no-pretrained --device cpu"
ROWS = [
    # the command line and its file
    Row("unknown command", "evalute", 2, r"no such command: evalute: did you mean evaluate\?"),
    Row("unknown option", "evaluate --raport x", 2, r"no such option: --raport \(ltfix evaluate\): did you mean --report"),
    Row("wrong type", "evaluate --many lots", 2, r"'--many'.*\(ltfix evaluate\)"),
    Row("unknown config key", "methods", 2, r"unknown key 'formt' \(ltfix\.toml, \[methods\]\): did you mean format\?",
        write("ltfix.toml", "[methods]\nformt = 'json'\n")),
    Row("unknown config table", "methods", 2, r"unknown table 'method' \(ltfix\.toml\): did you mean methods",
        write("ltfix.toml", "[method]\nformat = 'json'\n")),
    Row("config value of a wrong type", "evaluate", 2, r'expected a whole number, found "all" \(ltfix\.toml, \[evaluate\] many\)',
        write("ltfix.toml", "[evaluate]\nmany = 'all'\n")),
    Row("config file missing", "--config no.toml methods", 3, r"no such configuration file \(no\.toml\)"),
    Row("config file broken", "methods", 3, r"not a TOML file: .* \(ltfix\.toml\)", write("ltfix.toml", "[methods")),
    Row("output exists: init", "init", 2, r"already there \(ltfix\.toml\): --overwrite replaces it", write("ltfix.toml", "")),
    Row("output exists: report", f"{EVALUATE} --output out.json", 2, r"out\.json.*--overwrite", write("out.json", "{}")),
    # methods and values
    Row("unknown method", "methods sanm", 2, r"unknown method 'sanm'.*did you mean samn"),
    Row("unknown method to fit", "fit --method sanm", 2, r"unknown method 'sanm'.*did you mean samn"),
    Row("unknown --set key", "fit --set variat=paper", 2, r"variat.*did you mean variant", real=False),
    Row("--set without a value", "fit --set variant", 2, r"--set takes KEY=VALUE"),
    Row("--set of a wrong word", "fit --set variant=codex", 2, r"codex.*code", real=False),
    Row("option the method does not use", "fit --method tau-norm --lr 0.1", 2, r"method tau-norm does not use --lr"),
    Row("a rate that diverges", "fit --method ce --lr 1e30 --epochs 3", 3, r"epoch", real=False),
    Row("no such device", "fit --device cuda:99", 4, r"cuda:99", real=False),
    Row("output exists: head", "fit --method ce --out heads/good.safetensors", 2, r"good\.safetensors.*--overwrite"),
    # caches
    Row("no training features", "fit", 3, r"no training features \(features/train\): run `ltfix extract`",
        lambda folder: shutil.rmtree(folder / "features" / "train"), real=False),
    Row("no test features", "evaluate", 3, r"no test features \(features/test\)",
        lambda folder: shutil.rmtree(folder / "features" / "test")),
    Row("no such cache", "evaluate --cache nowhere", 3, r"nowhere"),
    Row("manifest missing", EVALUATE, 3, r"no manifest\.json \(features/train\)",
        lambda folder: (folder / "features" / "train" / "manifest.json").unlink()),
    Row("manifest is no JSON", EVALUATE, 3, r"manifest\.json", write("features/train/manifest.json", "{")),
    Row("manifest disagrees with a shard", EVALUATE, 3, r"shard-00000", edit_manifest(dim=5)),
    Row("manifest of a newer format", EVALUATE, 3, r"ltfix-features/2", edit_manifest(format="ltfix-features/2")),
    Row("shard truncated", EVALUATE, 3, r"shard-00000", cut("features/train/shard-00000.safetensors", 300)),
    Row("shard missing", EVALUATE, 3, r"shard-00000", lambda folder: shard(folder).unlink()),
    Row("NaN feature", BARE, 3, r"row 4", bare(features=feature(np.nan))),
    Row("infinite feature", BARE, 3, r"row 4", bare(features=feature(np.inf))),
    Row("NaN feature to fit", "fit bare.safetensors", 3, r"row 4", bare(features=feature(np.nan)), real=False),
    Row("negative label", BARE, 3, r"-1", bare(labels=np.array([0, 1, 2, 0, -1, 2]))),
    Row("label not below K", BARE, 3, r"3",
        bare(labels=np.array([0, 1, 2, 0, 3, 2]), head__weight=np.ones((3, 4), np.float32), head__bias=np.zeros(3, np.float32))),
    Row("one class only", "fit bare.safetensors", 3, r"one class|class", bare(labels=np.zeros(6, np.int64)), real=False),
    Row("features and labels of different length", BARE, 3, r"bare\.safetensors", bare(labels=np.arange(5) % 3)),
    Row("no labels", BARE, 3, r"labels", bare(labels=None)),
    Row("not a cache at all", "evaluate --cache ltfix.txt", 3, r"ltfix\.txt", write("ltfix.txt", "hello")),
    # heads and gates
    Row("no such head", "evaluate heads/none.safetensors", 3, r"heads/none\.safetensors"),
    Row("head truncated", EVALUATE, 3, r"heads/good\.safetensors", cut("heads/good.safetensors", 60)),
    Row("head of another D", EVALUATE, 3, r"good\.safetensors",
        lambda folder: make_head(dim=5, method="ce").save(folder / "heads" / "good.safetensors")),
    Row("head of fewer classes than the cache", EVALUATE, 3, r"good\.safetensors",
        lambda folder: make_head(n_classes=2, method="ce").save(folder / "heads" / "good.safetensors")),
    Row("unknown report", f"{EVALUATE} --report per-clas", 2, r"per-clas.*did you mean per-class"),
    Row("gate with an unknown shot", f"{EVALUATE} --fail-under fwe=20", 2, r"fwe.*did you mean few"),
    Row("gate as a fraction", f"{EVALUATE} --fail-under all=0.4", 2, r"percent"),
    Row("gate on an empty shot", f"{EVALUATE} --fail-under many=20", 2, r"many"),
    Row("gate missed", "evaluate heads/good.safetensors --fail-under all=99.9", 1, r"all"),
]  # fmt: skip


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
    before = {p: p.read_bytes() for p in project.rglob("*") if p.is_file()}
    code = cli.run(row.argv.split())
    check(row, code, capsys.readouterr().err)
    after = {p: p.read_bytes() for p in project.rglob("*") if p.is_file()}
    assert after == before, "a refused command leaves the project as it was"


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.real] + [row for row in ROWS if not row.real][::6],
    ids=lambda row: row.name,
)
def test_as_a_process(row: Row, project: Path, ltfix):
    row.change(project)
    done = ltfix(*row.argv.split(), cwd=project)
    check(row, done.returncode, done.stderr)


@pytest.mark.parametrize("argv", [EVALUATE, "evaluate", "methods samn", "inspect features/train"])
def test_the_good_project_is_good(argv: str, project: Path, monkeypatch):
    monkeypatch.chdir(project)
    assert cli.run(argv.split()) == 0


def test_every_promised_kind_of_bad_input_has_a_row():
    promised = ["unknown method", "label not below K", "NaN feature", "shard truncated", "manifest missing",
                "head of another D", "unknown --set key", "unknown config key", "gate missed", "one class only"]  # fmt: skip
    assert set(promised) <= {row.name for row in ROWS}
    assert len({row.name for row in ROWS}) == len(ROWS)
