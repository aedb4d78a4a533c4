"""The tables of benchmarks/reproduce.py: each cell can be asked for, and stands beside the published one."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from caches import write_bare
from pictures import write_photos

from ltfix.errors import InputError
from ltfix.stage1.recipes import find_recipe, resolve
from ltfix.stage2.tables.entries import entries

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def reproduce() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "benchmarks" / "reproduce.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reproduce"] = module
    spec.loader.exec_module(module)
    return module


def test_every_run_and_method_of_every_table_is_known(reproduce: ModuleType):
    for table in reproduce.TABLES.values():
        assert {row.run for row in table.rows} == set(table.runs)
        for factor in table.factors:
            for run, texts in table.runs.items():
                specs = [spec for spec in reproduce._methods(table, run, factor) if spec is not None]
                assert len(entries(specs, {}, tune=False)) == len(specs)
                text = reproduce.at(texts, factor).replace("--set ", "--").replace("=", " ")
                words = [word for word in shlex.split(text) if word != "--no-pretrained"]
                given = {k[2:].replace("-", "_"): v for k, v in zip(words[::2], words[1::2], strict=True)}
                recipe, preset = find_recipe(given.pop("recipe")), given.pop("preset", "cifar")
                assert given.pop("model")
                assert set(given) <= set(resolve(recipe, preset, given))


def test_every_table_is_in_the_docs(reproduce: ModuleType):
    page = (ROOT / "docs" / "reproducing.md").read_text(encoding="utf-8")
    assert [name for name in reproduce.TABLES if f"reproduce.py {name}" not in page] == []


def test_cells_stand_beside_the_published_with_what_each_has_above_stage_1(reproduce: ModuleType):
    table = reproduce.TABLES["los"]
    score = lambda mean, std=None: {"mean": mean, "std": std}  # noqa: E731
    shots = {"all": score(0.4), "many": score(0.7), "medium": None, "few": score(0.01)}
    rows = {"": shots, "cosine": {**shots, "all": score(0.45, 0.002)}}
    first, second = list(reproduce._lines(table, 100, {"ce-r34": rows}))[2:4]
    assert first == "| Vanilla FC | 40.0 | 48.4 | 70.0 | 78.7 | – | 47.4 | 1.0 | 14.3 | – | – |"
    assert second == "| cosine | 45.0 ± 0.2 | 52.2 | 70.0 | 77.2 | – | 50.5 | 1.0 | 25.0 | +5.0 | +3.8 |"


def test_runs_that_are_missing_or_unfinished_are_named_with_their_command(
    reproduce: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(reproduce, "_cut", lambda data, factor: ())
    run = tmp_path / "runs" / "ldam-drw"
    run.mkdir(parents=True)
    (run / "run.json").write_text(
        json.dumps({"format": "ltfix-run/1", "finished": False, "values": {"epochs": 9}})
    )
    (run / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    argv = [
        "reproduce.py",
        "cpu",
        "--no-train",
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr(sys, "argv", [*argv, "--precision", "bf16"])
    assert reproduce.main() == 1
    out = capsys.readouterr().out
    assert "ldam-drw is unfinished, after epoch 2 of 9: `ltfix train-backbone --data cifar100_lt" in out
    assert "mixup is missing" in out
    assert "--precision bf16" in out
    assert "| LDAM-DRW (Cao et al. 2019) | – | 42.0 |" in out


def test_balanced_data_are_cut_and_others_must_have_the_factor(reproduce: ModuleType, tmp_path: Path):
    even = str(write_photos(tmp_path / "even", {"train": {"a": 4, "b": 4}}))
    tail = str(write_photos(tmp_path / "tail", {"train": {"a": 10, "b": 1}}))
    assert reproduce._cut(even, 50) == ("--imbalance-factor", "50")
    assert reproduce._cut(tail, 10) == ()
    assert reproduce._cut(tail, 0) == ()
    with pytest.raises(InputError, match="imbalance factor of 10, not 100"):
        reproduce._cut(tail, 100)


def test_quick_fits_on_given_features_and_goes_on(
    reproduce: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    head = {"head__weight": np.eye(3, 4, dtype=np.float32), "head__bias": np.zeros(3, np.float32)}
    paths = [str(write_bare(tmp_path / f"{name}.safetensors", **head)) for name in ("train", "test")]
    argv = ["reproduce.py", "ewb", "--quick", "--features", *paths, "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", argv)
    assert reproduce.main() == 0
    first = capsys.readouterr().out
    assert "| EWB-FDR | " in first
    assert "another backbone than the paper's" in first
    kept = json.loads((tmp_path / "out" / "ewb-quick.json").read_text())["rows"]["etf-fr"]
    assert kept["mult-la:tau=0.65"]["all"]["mean"] <= 1
    assert reproduce.main() == 0
    assert "1 finished head is taken from" in capsys.readouterr().err


def test_without_features_it_says_how_to_name_others(
    reproduce: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    absent = [str(tmp_path / name) for name in ("train.npz", "test.npz")]
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "samn", "--quick", "--features", *absent])
    with pytest.raises(SystemExit, match=r"no such features \(.*train\.npz\): .*--features TRAIN TEST"):
        reproduce.main()
