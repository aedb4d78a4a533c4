"""``ltfix calibrate``: a file beside the head's, and one line for what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caches import make_head

from ltfix import cli
from ltfix.heads.head import load_head
from ltfix.stage2.tuning import budget

Error = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A head that is far too sure, and samples of three classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = (np.eye(3, 4)[labels] + rng.normal(size=(60, 4))).astype("f4")
    np.savez("val.npz", features=features, labels=labels)
    make_head(weight=9 * np.eye(3, 4), bias=np.zeros(3), method="samn").save("samn.safetensors")
    return tmp_path


def test_a_calibrated_head_beside_the_other(project: Path, capsys):
    assert cli.run(["calibrate", "samn.safetensors", "--val", "val.npz"]) == 0
    found = load_head(project / "samn-calibrated.safetensors")
    assert found.temperature is not None
    assert found.temperature[0] > 3
    assert "written to samn-calibrated.safetensors" in capsys.readouterr().out
    assert cli.run(["calibrate", "samn.safetensors", "--val", "val.npz"]) == 2
    argv = ["calibrate", "samn.safetensors", "--val", "val.npz", "--overwrite", "--format", "json"]
    capsys.readouterr()
    assert cli.run(argv) == 0
    assert json.loads(capsys.readouterr().out)["written"][0]["temperature"]["least"] > 3


def test_what_samples_do_not_tell_from_no_temperature_has_a_note(project: Path, capsys):
    told = "the NLL falls by no more than chance lets it on 60 samples"
    assert cli.run(["calibrate", "samn.safetensors", "--val", "val.npz"]) == 0
    assert told not in capsys.readouterr().err
    temperature = float(load_head("samn-calibrated.safetensors").temperature[0])
    plain = load_head("samn.safetensors")
    make_head(weight=plain.weight / (1.05 * temperature), bias=plain.bias).save("fine.safetensors")
    assert cli.run(["calibrate", "fine.safetensors", "--val", "val.npz"]) == 0
    assert told in capsys.readouterr().err


def test_a_long_tail_says_less_than_its_samples(project: Path, capsys):
    arrays = np.load("val.npz")
    kept = np.flatnonzero((arrays["labels"] == 0) | (np.arange(60) < 6))
    many = np.concatenate([kept, np.repeat(kept[arrays["labels"][kept] == 0], 9)])
    np.savez("tail.npz", features=arrays["features"][many], labels=arrays["labels"][many])
    make_head(weight=2 * np.eye(3, 4), bias=np.zeros(3), method="samn").save("near.safetensors")
    assert cli.run(["calibrate", "near.safetensors", "--val", "tail.npz"]) == 0
    told = "than chance lets it on 204 samples (which count as 9, every class alike): they do not tell"
    assert told in capsys.readouterr().err


def test_of_the_test_split_a_note_is_made(project: Path, capsys):
    (project / "features").mkdir()
    (project / "val.npz").rename(project / "test.npz")
    (project / "features/test").symlink_to(project / "test.npz")
    assert cli.run(["calibrate", "samn.safetensors", "--val", "test.npz"]) == 0
    assert "test.npz is the test split: what is chosen on it looks better" in capsys.readouterr().err


def test_without_validation_features_the_command_of_the_heads_own_method_is_named(
    project: Path, error: Error, capsys: pytest.CaptureFixture[str]
):
    (project / "features").mkdir()
    (project / "val.npz").rename(project / "features/train.npz")
    argv = ["fit", "--method", "auto", "--methods", "ce,ncm", "--seed", "3"]
    assert cli.run(argv) == 0
    capsys.readouterr()
    code, line = error("calibrate", "heads/auto")
    command = line.split("`")[3]
    assert code == 3
    assert command.startswith("ltfix fit --method auto --methods ce,ncm ")
    assert command.endswith("--seed 3 --calibrate one --out heads/auto-calibrated.safetensors")
    line = error("calibrate", "heads/auto", "--by", "shots", "--many", "9", "--few", "3")[1]
    assert line.endswith("` holds parts of these out, by the shots of 100 and 20: it takes no others")
    assert cli.run([*command.split()[1:], "--quiet"]) == 0
    capsys.readouterr()
    assert load_head(project / "heads/auto-calibrated.safetensors").temperature is not None
    line = error("calibrate", "heads/auto-calibrated")[1]
    assert line.endswith("--val CACHE; the head has a temperature already, which another would replace")
    (project / "heads/auto-calibrated.safetensors").unlink()
    stage1 = {"head.weight": np.eye(3, 4), "head.bias": np.zeros(3)}
    np.savez("features/train.npz", **np.load("features/train.npz"), **stage1)
    code, line = error("calibrate", "heads/auto.safetensors")
    assert (code, "fit" in line) == (3, False)
    assert "features/train.npz cannot serve, as the backbone was trained on them" in line


@pytest.mark.parametrize(
    "more", ["--budget 45s", "--budget 80p --val-fraction 0.3 --save-heads {}/kept", "--seeds 2"]
)
def test_the_command_that_is_named_takes_what_was_tuned(
    more: str, project: Path, error: Error, capsys: pytest.CaptureFixture[str], monkeypatch
):
    (project / "features").mkdir()
    (project / "val.npz").rename(project / "features/train.npz")
    monkeypatch.setattr(budget, "_seconds_a_pass", lambda fits: 0.001)
    argv = ["fit", "--method", "auto", "--methods", "tau-norm,ncm,ce", "--init", "probe"]
    argv += more.format(project).split()
    assert cli.run(argv) == 0
    kept = {path: path.read_bytes() for path in project.glob("*/[!a]*-s0.*")}
    assert len(kept) == 6
    monkeypatch.setattr(budget, "_seconds_a_pass", lambda fits: 10.0)  # the machine is busy now
    monkeypatch.chdir("/")
    capsys.readouterr()
    last = "-s1" if "seeds" in more else ""
    command = error("calibrate", str(project / f"heads/auto{last}"))[1].split("`")[3]
    if "kept" in more:
        monkeypatch.chdir(project)
    assert cli.run(command.split()[1:]) == 0, command
    assert "3 tuned methods are taken from" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in project.glob("*/[!a]*-s0.*")} == kept
    found, plain = (
        load_head(project / f"heads/{name}{last}.safetensors") for name in ("auto-calibrated", "auto")
    )
    assert plain.meta["selection"]["auto"]["averaged"]
    assert np.array_equal(found.weight, plain.weight) and found.temperature is not None


@pytest.mark.parametrize(
    ("argv", "code", "fragment"),
    [
        ([], 2, "no HEAD given (ltfix calibrate): as in `ltfix calibrate heads/samn-freq.safetensors`"),
        (
            ["samn.safetensors"],
            3,
            "name a cache: --val CACHE",
        ),
        (["samn.safetensors", "--val", "val.npz", "--by", "shots"], 3, "its training counts are unknown"),
        (["samn.safetensors", "--val", "val.npz", "--out", "-"], 2, "a head goes to a file"),
        (["absent", "--val", "val.npz"], 3, "no such file or folder (absent)"),
    ],
)
def test_refusals(error: Error, argv: list[str], code: int, fragment: str, project: Path):
    found, line = error("calibrate", *argv)
    assert (found, fragment in line) == (code, True), line
    assert sorted(p.name for p in project.iterdir()) == ["samn.safetensors", "val.npz"]
