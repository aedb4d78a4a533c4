"""Features of any kind: a real table of measurements through fit, compare, sweep and evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

import ltfix
from ltfix import cli, compute
from ltfix.heads.head import load_head


@pytest.fixture
def wine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wines of scikit-learn, 40, 20 and 6 to train on and 18 of each to test, as two ``.npz``."""
    x, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    train, test = [], []
    for k, n in enumerate((40, 20, 6)):
        index = rng.permutation(np.flatnonzero(y == k))
        test.append(index[:18])
        train.append(index[18 : 18 + n])
    for name, rows in (("train", np.concatenate(train)), ("test", np.concatenate(test))):
        np.savez(tmp_path / f"{name}.npz", features=x[rows], labels=y[rows])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fit_and_evaluate(wine: Path, capsys: pytest.CaptureFixture[str]):
    for method in ("ce", "balanced-softmax"):
        assert cli.run(["fit", "train.npz", "--method", method, "--normalize", "standardize", "--quiet"]) == 0
    capsys.readouterr()
    argv = ["evaluate", *map(str, sorted(Path("heads").iterdir()))]
    assert cli.run([*argv, "--cache", "test.npz", "--many", "30", "--few", "10", "--format", "json"]) == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)["heads"]}
    assert rows["balanced-softmax"]["all"] > 0.8
    assert rows["balanced-softmax"]["few"] >= rows["ce"]["few"]


def test_columns_of_different_units_need_no_option(wine: Path):
    test = ltfix.open_cache("test.npz")
    x, right = test.features[:, 0], {}
    for method in ("logit-adjust", "samn", "cosine", "ncm", "tau-norm", "disalign"):
        head = ltfix.fit("train.npz", method)
        assert head.meta["coordinates"]["normalize"] == "standardize"
        right[method] = (head.logits(x).argmax(1) == test.labels).mean()
    assert min(right.values()) > 0.85, right
    plain = ltfix.fit("train.npz", "samn", normalize="none")
    assert (plain.logits(x).argmax(1) == test.labels).mean() < 0.6


def test_compare(wine: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["compare", "--train", "train.npz", "--test", "test.npz", "--methods", "ce,samn,logit-adjust"]
    argv += ["--seeds", "2", "--format", "json", "--quiet"]
    assert cli.run(argv) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["format"] == "ltfix-compare/1"
    assert {row["method"] for row in first["rows"]} >= {"ce", "samn", "logit-adjust"}
    assert all(set(row["all"]) == {"mean", "std"} for row in first["rows"])
    assert cli.run(argv) == 0  # finished heads are taken from the folder
    again = json.loads(capsys.readouterr().out)

    def fitted(report: dict) -> list[dict]:
        return [row for row in report["rows"] if row["method"] != "probe"]  # fitted each time, and timed

    assert fitted(again) == fitted(first)


def test_sweep(wine: Path, capsys: pytest.CaptureFixture[str]):
    argv = [
        "sweep",
        "--train",
        "train.npz",
        "--method",
        "los",
        "--over",
        "delta=0.1,0.9",
        "--over",
        "lr=1e-3,1e-2",
    ]
    assert cli.run([*argv, "--format", "json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["format"] == "ltfix-sweep/1"
    assert len(report["points"]) == 4
    assert set(report["points"][0]["values"]) == {"delta", "lr"}


@pytest.mark.parametrize("where", [["--format", "csv"], ["--output", "rows.tex"], []], ids=str)
def test_a_method_that_is_left_out_is_told_where_no_table_shows_it(
    wine: Path, capsys: pytest.CaptureFixture[str], where: list[str]
):
    argv = ["compare", "--train", "train.npz", "--test", "test.npz", "--methods", "ncm,samn:lr=1e38"]
    assert cli.run([*argv, "--seeds", "1", *where]) == 0
    out, err = capsys.readouterr()
    assert ("lr1e+38 is left out: the loss became NaN" in err) == bool(where)
    assert ("lr1e+38: the loss became NaN" in out) == (not where)


def test_compare_and_sweep_take_a_normalisation(wine: Path, capsys: pytest.CaptureFixture[str]):
    both = [
        "--train",
        "train.npz",
        "--test",
        "test.npz",
        "--format",
        "json",
        "--quiet",
        "--normalize",
        "none",
    ]
    assert cli.run(["compare", "--methods", "samn", *both]) == 0
    rows = {row["method"]: row["all"]["mean"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert cli.run(["sweep", "--method", "samn", "--over", "lr=5e-4,1e-3", *both]) == 0
    swept = [point["all"]["mean"] for point in json.loads(capsys.readouterr().out)["points"]]
    assert max(rows["samn"], *swept) < 0.6  # and over 0.85 where it is left to the features


@pytest.mark.parametrize(
    "argv", [["compare", "--methods", "ce"], ["sweep", "--method", "ce", "--over", "lr=1,2"]]
)
def test_compare_and_sweep_take_a_precision(wine: Path, capsys, monkeypatch, argv: list[str]):
    monkeypatch.setattr(compute, "rounds_products", lambda: False)
    argv = [*argv, "--train", "train.npz", "--test", "test.npz", "--seeds", "1", "--precision", "bf16"]
    assert cli.run(argv) == 4
    said = "in float32 alone on this processor (--precision bf16): use fp32, which gives the same here"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["compare", "--train", "train.npz", "--test", "test.npz", "--methods", "smn"], "did you mean"),
        (
            ["compare", "--train", "train.npz", "--test", "test.npz", "--methods", "auto"],
            "fit TRAIN --method auto",
        ),
        (["sweep", "--train", "train.npz", "--method", "los", "--over", "detla=0.1,0.9"], "delta"),
        (["fit", "train.npz", "--method", "auto", "--lr", "0.1"], "--lr"),
    ],
)
def test_usage_errors(wine: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str):
    assert cli.run(argv) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("methods", ["ncm,logit-adjust", "logit-adjust"])
def test_auto_chooses_on_validation_samples(wine: Path, capsys: pytest.CaptureFixture[str], methods: str):
    argv = ["fit", "train.npz", "--method", "auto", "--methods", methods, "--normalize", "standardize"]
    assert cli.run(argv) == 0
    shown = capsys.readouterr()
    assert "taken: " in shown.out + shown.err
    head = load_head("heads/auto.safetensors")
    told = head.meta["selection"]["auto"]
    assert {row["method"] for row in told["tried"]} == {"unchanged", *methods.split(",")}
    assert head.method in {row["method"] for row in told["tried"]} | {"auto"}
    assert head.method != "auto" or told["averaged"]
    assert {path.stem for path in Path("auto").glob("*.json")} == {
        f"{name}-s0" for name in methods.split(",")
    }
