"""ltfix.cli.extract: options in, caches and one table out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pictures import write_photos

import ltfix
from ltfix import cli
from ltfix.errors import UsageError

RANDOM = ["extract", "--backbone", "cifar_resnet32", "--no-pretrained", "--device", "cpu", "--threads", "1"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if line.startswith(("train", "test", "val"))]


def test_all_splits_in_one_command(project: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run([*RANDOM, "--data", "photos", "--views", "center,hflip"]) == 0
    assert rows(capsys.readouterr().out) == [
        ["train", "9", "3", "0/0/3", "2", "64", "no", "features/train"],
        ["test", "6", "3", "0/0/3", "2", "64", "no", "features/test"],
    ]
    assert ltfix.open_cache("features/train").features.shape == (9, 2, 64)
    before = {p: p.read_bytes() for p in Path("features").rglob("*") if p.is_file()}
    assert cli.run([*RANDOM, "--data", "photos", "--views", "center,hflip"]) == 0
    out, err = capsys.readouterr()
    assert [row[0] for row in rows(out)] == ["train", "test"]
    assert err.splitlines() == [
        f"ltfix: features/{split} is finished already and kept" for split in ("train", "test")
    ]
    assert {p: p.read_bytes() for p in Path("features").rglob("*") if p.is_file()} == before


def test_what_was_written_as_json(project: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run([*RANDOM, "--data", "photos", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = [(one["path"], one["n"], one["dim"], one["classes"]) for one in found["written"]]
    assert told == [("features/train", 9, 64, 3), ("features/test", 6, 64, 3)]
    assert found["seconds"] > 0
    assert ([one["state"] for one in found["written"]], found["notes"]) == (["made", "made"], [])
    shutil.rmtree("features/test")
    assert cli.run([*RANDOM, "--data", "photos", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in found["written"]] == ["kept", "made"]
    assert found["notes"] == ["features/train is finished already and kept"]
    shutil.rmtree("photos/test")
    shutil.rmtree("features/train")
    assert cli.run([*RANDOM, "--data", "photos", "--dry-run", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    told = "left as before, of a source called photos with a split that this one lacks: features/test"
    assert (json.loads(out)["notes"], err) == ([told], "")
    (planned,) = json.loads(out)["planned"]
    assert (planned["path"], planned["n"], planned["state"]) == ("features/train", 9, "todo")
    assert not Path("features/train").exists()
    assert cli.run([*RANDOM, "--data", "photos", "--split", "train"]) == 0
    assert told not in capsys.readouterr().err


def test_a_dry_run_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run([*RANDOM, "--data", "photos", "--dry-run", "--image-size", "40"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cifar_resnet32 (random): D = 64, 40 × 40 pixels, fp32 on cpu\n")
    assert [row[:5] for row in rows(out)] == [
        ["train", "9", "3", "0/0/3", "1"],
        ["test", "6", "3", "0/0/3", "1"],
    ]
    assert rows(out)[0][5:] == ["1.2", "KiB", "features/train"]
    assert not Path("features").exists()


def test_a_dry_run_says_what_the_run_does(project: Path, capsys: pytest.CaptureFixture[str], error):
    argv = [*RANDOM, "--data", "photos", "--split", "test"]
    assert cli.run([*argv, "--quiet"]) == 0
    capsys.readouterr()
    assert cli.run([*argv, "--dry-run"]) == 0
    assert rows(capsys.readouterr().out)[0][5:] == ["finished", "already", "features/test"]
    for more in ([], ["--dry-run"]):
        code, line = error(*argv, "--views", "center,hflip", *more)
        assert (code, "a feature cache of another extraction is there" in line) == (2, True)
    ways = "--overwrite replaces it, --out DIR or, of a source without splits, --split NAME writes elsewhere"
    assert error(*argv, "--limit", "2")[1].endswith(f"source.limit was null, is 2 (features/test): {ways}")
    shutil.copytree("photos", "later")
    joined = error(*RANDOM, "--data", "later", "--split", "test")[1]
    assert joined.endswith(f"{ways}, and `ltfix import …` joins both"), joined
    moved = Path("photos/test/ant/00.png").rename("photos/test/ant/09.png")
    arrived = error(*argv)[1]
    alone = (
        "new pictures alone go into a folder of their own, with --split NAME, and `ltfix import …` joins both"
    )
    assert arrived.endswith(f"its pictures differ (names or sizes) (features/test): {ways}; {alone}"), arrived
    moved.rename("photos/test/ant/00.png").write_text("no image")
    argv += ["--out", "stopped"]
    assert cli.run(argv) == 3
    assert cli.run([*argv, "--dry-run"]) == 0
    assert rows(capsys.readouterr().out)[0][5:] == ["the", "rest", "of", "816", "bytes", "stopped/test"]
    for more in ([], ["--dry-run"]):
        code, line = error(*argv, "--views", "center,hflip", *more)
        assert (code, "the command that began it goes on with it; --overwrite" in line) == (3, True)


def test_a_damaged_cache_names_what_makes_it_anew(project: Path, capsys: pytest.CaptureFixture[str], error):
    argv = [*RANDOM, "--data", "photos", "--split", "test", "--quiet", "--views", "center,hflip"]
    assert cli.run(argv) == 0
    capsys.readouterr()
    shard = Path("features/test/shard-00000.safetensors")
    whole, own = shard.read_bytes(), "your own command for it, `ltfix extract … --split test --overwrite`"
    for damaged in (None, whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1])):
        shard.unlink(missing_ok=True)
        if damaged is not None:
            shard.write_bytes(damaged)
        code, line = error("inspect", "features/test", "--verify")
        assert (code, line.endswith(f": {own}, makes it anew")) == (3, True), line
        for more in ([], ["--dry-run"]) if damaged is None or len(damaged) < len(whole) else ():
            assert error(*argv, *more) == (code, line)
    assert cli.run([*argv, "--overwrite"]) == 0
    assert shard.read_bytes() == whole
    assert cli.run(["inspect", "features/test", "--verify"]) == 0


def test_bare_from_a_configuration_file(project: Path):
    (project / "ltfix.toml").write_text(
        'work = "w"\n[extract]\nbackbone = "cifar_resnet32"\npretrained = false\ndata = "photos"\n'
        'split = "test"\nbatch-size = 2\nworkers = 0\ndevice = "cpu"\nmean = "0.5"\n'
        "[extract.model-arg]\ndrop_rate = 0.5\n"
    )
    assert cli.run(["extract", "--quiet"]) == 0
    manifest = json.loads(Path("w/features/test/manifest.json").read_text())
    assert manifest["preprocess"]["mean"] == [0.5] * 3
    assert manifest["backbone"]["args"] == {"drop_rate": 0.5}
    assert str(project) not in json.dumps(manifest)


def test_left_out_images_are_counted(project: Path, capsys: pytest.CaptureFixture[str]):
    Path("photos/test/ant/00.png").write_text("no image")
    assert cli.run([*RANDOM, "--data", "photos", "--on-error", "skip", "--out", "there"]) == 0
    out, err = capsys.readouterr()
    assert "left out" in out.splitlines()[0]
    assert rows(out)[1][:4] == ["test", "5", "1", "3"]
    assert "left out: not an image file (photos/test/ant/00.png)" in err


def test_a_torchvision_model(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = [
        "extract",
        "--backbone",
        "torchvision:resnet18",
        "--no-pretrained",
        "--device",
        "cpu",
        "--data",
        "photos",
    ]
    assert cli.run([*argv, "--image-size", "64", "--split", "test"]) == 0
    assert rows(capsys.readouterr().out) == [["test", "6", "3", "0/0/3", "1", "512", "no", "features/test"]]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--batch-size", "many"], "expected a whole number or auto, found 'many' (--batch-size)"),
        (["--workers", "-1"], "expected a whole number or auto, found '-1' (--workers)"),
        (["--mean", "0.5;0.5"], "expected numbers like 0.5,0.5,0.5, found '0.5;0.5' (--mean)"),
        (["--model-arg", "depth"], "--model-arg takes KEY=VALUE, found 'depth'"),
        (["--split", "train", "--split", "dusk"], "there is no split 'dusk'"),
    ],
)
def test_usage(project: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str):
    code = cli.run([*RANDOM, "--data", "photos", *argv])
    assert message in capsys.readouterr().err
    assert code == (3 if "dusk" in message else UsageError.exit_code)
    assert not Path("features").exists()


def test_pictures_without_labels(project: Path, capsys: pytest.CaptureFixture[str]):
    """Extracted and said so; what needs labels refuses them in one line."""
    assert cli.run([*RANDOM, "--data", "photos/test", "--unlabelled"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:4] == ["unlabelled", "6", "–", "–"]
    cache = ltfix.open_cache("features/unlabelled")
    assert (cache.unlabelled, cache.classes, cache.head, cache.n) == (True, None, None, 6)
    assert cli.run(["inspect", "features/unlabelled"]) == 0
    assert "labels       none: for ltfix predict" in capsys.readouterr().out
    assert cli.run([*RANDOM, "--data", "photos"]) == 0
    ltfix.fit("features/train", "ce", epochs=1).save("ce.safetensors")
    ltfix.Head(np.eye(3), np.zeros(3), "of another D").save("heads/other.safetensors")
    capsys.readouterr()
    for argv in (
        ["evaluate", "--cache", "features/unlabelled"],
        ["fit", "features/unlabelled"],
        ["fit", "features/train", "--val", "features/unlabelled"],
        ["evaluate", "ce.safetensors", "--cache", "features/unlabelled"],
        ["calibrate", "ce.safetensors", "--val", "features/unlabelled"],
        ["compare", "--train", "features/unlabelled"],
        ["import", "features/train", "features/unlabelled", "--out", "features/mixed"],
        ["import", "features/unlabelled", "features/train", "--out", "features/mixed"],
    ):
        assert cli.run(argv) == 3
        told = capsys.readouterr().err
        assert "its samples have no labels: extracted so (features/unlabelled)" in told
        assert "left out" not in told


def test_pictures_without_labels_that_arrive_later_are_joined(project: Path, capsys, error):
    argv = [*RANDOM, "--unlabelled", "--split"]
    for split, data in (("one", "photos/test"), ("two", "photos/train")):
        assert cli.run([*argv, split, "--data", data]) == 0
    capsys.readouterr()
    code, line = error(*argv, "one", "--data", "photos/train")
    assert (code, "`ltfix import …` joins both" in line) == (2, True)
    joined = ["import", "features/one", "features/two", "--out", "features/all"]
    assert error(*joined, "--classes", "a,b") == (2, "the samples have no labels (--classes): leave it out")
    assert cli.run(joined) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == ["15", "–"]
    cache = ltfix.open_cache("features/all")
    assert (cache.unlabelled, cache.classes, cache.n, set(cache.labels)) == (True, None, 15, {0})
    head = ltfix.Head(np.ones((3, 64), np.float32), np.zeros(3, np.float32), "mine")
    assert [one.sample for one in ltfix.predict(head, cache)] == list(cache.samples)


@pytest.mark.parametrize("option", [["--classes", "names.txt"], ["--imbalance-factor", "10"]])
def test_pictures_without_labels_have_no_classes(project: Path, option: list[str], error):
    code, line = error(*RANDOM, "--data", "photos", "--unlabelled", *option)
    assert (code, line) == (2, f"pictures without labels have no classes ({option[0]}): leave it out")


def test_a_split_in_another_folder_has_the_projects_classes(project: Path):
    """The last place they are looked for, also where the cache goes elsewhere."""
    assert cli.run([*RANDOM, "--data", "photos", "--split", "train"]) == 0
    (project / "new.txt").write_text("photos/test/bee/00.png bee\nphotos/test/ant/00.png ant\n")
    new = [*RANDOM, "--data", "list:new.txt", "--split", "new", "--out"]
    assert cli.run([*new, "scored"]) == 0
    assert ltfix.open_cache("scored/new").classes == ("Zebra", "ant", "bee")
    assert cli.run([*new, "elsewhere", "--work", "nowhere"]) == 2


def test_urls_keep_both_slashes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ltfix.images.remote.WAIT", 0.0)
    argv = ["extract", "--backbone", "cifar_resnet32", "--no-pretrained", "--device", "cpu"]
    assert cli.run([*argv, "--data", "csv:http://127.0.0.1:9/a.csv"]) == 3
    assert "(http://127.0.0.1:9/a.csv)" in capsys.readouterr().err


def test_random_weights_and_a_checkpoint_are_not_both_taken(tmp_path: Path, error, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"weights")
    argv = [
        "extract",
        "--backbone",
        "resnet18",
        "--data",
        "photos",
        "--checkpoint",
        "w.pth",
        "--no-pretrained",
    ]
    told = "the checkpoint, which brings the weights, has no use for it (--no-pretrained): leave it out"
    assert error(*argv) == (2, told)
