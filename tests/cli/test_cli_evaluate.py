from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caches import make_head, write_bare, write_cache
from safetensors.numpy import save_file

from ltfix.cli import run
from ltfix.cli.caches import chosen_heads, fitted_on
from ltfix.features.manifest import is_cache
from ltfix.features.read import open_cache
from ltfix.heads.head import Head, load_head

COUNTS = np.array([300, 101, 50, 20, 19, 3])
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with features/test, a training cache and two heads; the working folder."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 8)) * 1.2

    def draw(counts: np.ndarray) -> dict[str, np.ndarray]:
        labels = np.repeat(np.arange(6), counts)
        features = centres[labels][:, None] + rng.normal(size=(len(labels), 2, 8))
        return {"features": features.astype(np.float32), "labels": labels}

    weight = (centres * np.linspace(1.4, 0.4, 6)[:, None]).astype(np.float32)
    stage1 = {"head.weight": weight, "head.bias": np.zeros(6, np.float32)}
    np.savez(tmp_path / "train.npz", **draw(COUNTS), **stage1)
    np.savez(tmp_path / "test.npz", **draw(np.full(6, 50)))
    (tmp_path / "heads").mkdir()
    for name, w in (("ce", weight * 1.1), ("tau-norm", weight / np.linalg.norm(weight, axis=1)[:, None])):
        head = Head(weight=w, bias=np.zeros(6, np.float32), method=name, counts=COUNTS)
        head.save(tmp_path / "heads" / f"{name}.safetensors")
    monkeypatch.chdir(tmp_path)
    for name in [v for v in os.environ if v.startswith("LTFIX_")]:
        monkeypatch.delenv(name)
    return tmp_path


def finished(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = run([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def rows_of(text: str) -> dict[str, dict]:
    return {head["name"]: head for head in json.loads(text)["heads"]}


def test_a_packed_cache_may_lie_among_the_heads_of_a_folder(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    save_file(dict(np.load("train.npz")), "heads/a.safetensors")
    code, out, err = finished(capsys, "evaluate", "heads", "--cache", "test.npz", "--format", "json")
    assert (code, set(rows_of(out))) == (0, {"stage-1", "ce", "tau-norm"}), err


def test_a_cache_without_its_manifest_is_no_folder_of_heads(project: Path, capsys):
    write_cache(project / "gone")
    (project / "gone/manifest.json").unlink()
    code, _, err = finished(capsys, "evaluate", "gone", "--cache", "test.npz")
    assert (code, "a feature cache whose manifest.json is gone (gone): restore it, or make" in err) == (
        3,
        True,
    )
    (project / "photos").mkdir()
    (project / "photos/samples.txt").touch()
    assert not is_cache(project / "photos")


def test_the_features_that_a_head_was_fitted_on_may_be_one_file(tmp_path: Path):
    write_cache(tmp_path / "features/folder")
    write_bare(tmp_path / "features/one.safetensors")
    for name in ("folder", "one.safetensors"):
        place, head = tmp_path / "features" / name, tmp_path / "heads/head.safetensors"
        make_head(meta={"cache": open_cache(place).identity}).save(head)
        assert fitted_on(head, tmp_path / "elsewhere").samefile(place)


def test_a_table_for_people(project: Path, capsys: pytest.CaptureFixture[str]):
    code, out, err = finished(
        capsys, "evaluate", "train.npz", "heads/tau-norm.safetensors", "--cache", "test.npz"
    )
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "test.npz: 300 samples, 6 classes, logits averaged over 2 views"
    head, scores = "Head All Many Medium Few Harmonic Worst class Which", "Class mean G-mean Macro-F1 Top-5"
    assert lines[1].split() == f"{head} {scores}".split()
    assert [line.split()[0] for line in lines[3:5]] == ["stage-1", "tau-norm"]
    assert lines[5] == "Many n > 100: 2 classes, Medium 20 ≤ n ≤ 100: 2, Few n < 20: 2."
    assert lines[6] == "* best in its column"
    assert "\x1b" not in out


def test_without_a_head_every_head_is_a_row(project: Path, capsys: pytest.CaptureFixture[str]):
    code, out, _ = finished(capsys, "evaluate", "--cache", "test.npz", "--format", "json")
    assert code == 0
    assert list(rows_of(out)) == ["ce", "tau-norm"]
    assert rows_of(out)["ce"]["path"] == "heads/ce.safetensors"
    (project / "heads/ce-tuned.safetensors").write_bytes((project / "heads/ce.safetensors").read_bytes())
    kept = chosen_heads([], None, project, gate="fail_under")
    assert [head.path.stem for head in kept] == ["ce", "ce-tuned", "tau-norm"]


def test_heads_of_other_features_are_left_out_unless_named(project: Path, capsys):
    head = Head(
        weight=np.ones((3, 13), np.float32), bias=np.zeros(3, np.float32), method="ce", counts=COUNTS[:3]
    )
    head.save(project / "heads/wine.safetensors")
    code, out, err = finished(capsys, "evaluate", "--cache", "test.npz", "--format", "json")
    assert code == 0
    assert set(rows_of(out)) == {"ce", "tau-norm"}
    assert "left out, since their D is not 8: wine.safetensors" in err
    code, _, err = finished(capsys, "evaluate", "heads/wine.safetensors", "--cache", "test.npz")
    assert code == 3
    assert "D = 13" in err
    code, _, err = finished(capsys, "evaluate", "--cache", "test.npz", "--fail-under", "few=2")
    assert code == 3  # a bar is for every head, and these have no shots in common
    told = "ce.safetensors (K = 6, D = 8) and wine.safetensors (K = 3, D = 13) have no table in common"
    assert f"a gate is for all heads of the folder, and {told} (--fail-under): name those" in err


def test_heads_of_more_classes_have_a_table_of_their_own(project: Path, capsys):
    wide = Head(np.ones((7, 8), np.float32), np.zeros(7, np.float32), "wide", counts=np.append(COUNTS, 5))
    wide.save(project / "heads/wide.safetensors")
    left_out = "left out, since their K is not 6: wide.safetensors; `"
    for named in ([], ["train.npz", "heads"]):
        code, out, err = finished(capsys, "evaluate", *named, "--cache", "test.npz", "--format", "json")
        assert (code, "wide" in rows_of(out), left_out in err) == (0, False, True)
    command = err.split("`")[1].split()
    assert finished(capsys, *command[1:], "--cache", "test.npz")[0] == 0
    code, _, err = finished(capsys, "evaluate", "train.npz", "heads/wide", "--cache", "test.npz")
    assert (code, "training counts are of K = 6: evaluate heads of each number of classes" in err) == (
        3,
        True,
    )
    (project / "ltfix.toml").write_text('[evaluate]\nfail-under = "few=0"\n')
    code, _, err = finished(capsys, "evaluate", "--cache", "test.npz")
    told = "wide.safetensors (K = 7, D = 8) have no table in common (ltfix.toml, [evaluate] fail-under): name"
    assert (code, told in err) == (3, True), err
    command = err.split("`")[1].split()
    assert finished(capsys, *command[1:], "--cache", "test.npz")[0] == 0


def test_the_start_of_a_head_is_found_in_the_cache_that_it_was_fitted_on(project: Path, capsys):
    (project / "features").mkdir()
    arrays = dict(np.load(project / "train.npz"))
    (project / "train.npz").rename(project / "features/train.npz")
    features = np.concatenate([arrays["features"], arrays["features"][:2]])
    np.savez("new.npz", features=features, labels=[*arrays["labels"], 6, 6])
    assert finished(capsys, "import", "-q", "new.npz", "--out", "features/grown")[0] == 0
    fit = ["fit", "-q", "features/grown", "--method", "tau-norm", "--set", "tau=1", "--out"]
    assert finished(capsys, *fit, "heads/grown.safetensors")[0] == 0
    (project / "ltfix.toml").write_text('[evaluate]\nagainst = "probe"\n')
    argv = ["evaluate", "heads/grown", "--cache", "test.npz", "--format", "json"]
    code, out, err = finished(capsys, *argv)
    assert (code, list(rows_of(out))) == (0, ["probe", "grown"]), err
    (project / "features/train.npz").unlink()
    assert list(rows_of(finished(capsys, *argv)[1])) == ["probe", "grown"]
    shutil.rmtree(project / "features/grown")
    code, _, err = finished(capsys, *argv)
    assert (code, "name the training cache first" in err) == (2, True)
    assert "(ltfix.toml, [evaluate] against)" in err
    (project / "ltfix.toml").write_text('[evaluate]\ncache = "tset.npz"\n')
    code, _, err = finished(capsys, "evaluate", "heads/grown")
    assert (code, "(tset.npz, from ltfix.toml, [evaluate] cache)" in err) == (3, True), err


def test_against_a_stage_1_that_is_not_there(project: Path, capsys):
    code, _, err = finished(capsys, "evaluate", "--cache", "test.npz", "--against", "stage-1")
    assert code == 2
    assert "name the training cache first" in err


def test_against_a_name_that_no_row_has_is_told_which_there_are(project: Path, capsys):
    argv = ["evaluate", "train.npz", "heads/ce.safetensors", "--cache", "test.npz", "--against"]
    hints = {
        "probe": "the heads began with stage-1: --against stage-1",
        "cee": "name a row (did you mean ce?) or the file of a head, as heads/NAME.safetensors",
    }
    for name, hint in hints.items():
        code, _, err = finished(capsys, *argv, name)
        told = f"ltfix: error: no row and no file is {name!r} (--against): {hint}"
        assert (code, err.startswith(told)) == (3, True), err


def test_the_ending_of_a_typed_output_goes_before_a_format_that_was_not_typed(
    project: Path, capsys, monkeypatch
):
    argv = ["evaluate", "train.npz", "--cache", "test.npz", "--overwrite"]
    (project / "ltfix.toml").write_text('[evaluate]\nformat = "csv"\n')
    for way in ("file", "environment"):
        assert finished(capsys, *argv, "--output", "a.json")[0] == 0
        assert json.loads((project / "a.json").read_text())["report"] == "many-medium-few"
        assert finished(capsys, *argv, "--output", "a")[0] == 0
        assert (project / "a").read_text().startswith("name,"), way
        monkeypatch.setenv("LTFIX_EVALUATE_FORMAT", "csv")
    assert finished(capsys, *argv, "--output", "a.json", "--format", "csv")[0] == 0
    assert (project / "a.json").read_text().startswith("name,")


@pytest.mark.parametrize("command", ["evaluate", "compare", "predict"])
def test_a_format_goes_before_an_output_that_is_set_further_off(
    project: Path, capsys, monkeypatch, command: str
):
    more = {
        "evaluate": ["train.npz", "--cache", "test.npz", "--fail-under", "all=0"],
        "compare": ["--train", "train.npz", "--test", "test.npz", "--methods", "tau-norm", "--seeds", "1"],
        "predict": ["heads/ce.safetensors", "--data", "test.npz"],
    }[command]
    Path("ltfix.toml").write_text(f'[{command}]\noutput = "a.json"\noverwrite = true\n')
    assert finished(capsys, command, *more)[0] == 0
    before = Path("a.json").read_text()
    assert before.startswith("{")
    code, out, err = finished(capsys, command, *more, "--format", "csv")
    assert (code, out[0] != "{", len(out.splitlines()) > 1) == (0, True, True), err
    assert "ltfix: --output from ltfix.toml is not used: --format csv goes to stdout\n" in err
    monkeypatch.setenv(f"LTFIX_{command.upper()}_FORMAT", "csv")
    assert finished(capsys, command, *more)[1] == out, "a variable goes before the file"
    assert Path("a.json").read_text() == before
    monkeypatch.setenv(f"LTFIX_{command.upper()}_OUTPUT", "a.json")
    assert finished(capsys, command, *more)[1] == ""
    assert Path("a.json").read_text() == out, "of two variables --format says how the file is written"


def test_the_classifier_of_a_lone_training_file_is_the_first_row(project: Path, capsys):
    (project / "features").mkdir()
    (project / "train.npz").rename(project / "features/train.npz")
    argv = ["evaluate", "heads/ce.safetensors", "--cache", "test.npz", "--format", "json"]
    code, out, err = finished(capsys, *argv)
    assert (code, list(rows_of(out)), err) == (0, ["stage-1", "ce"], "")
    counts = {"counts": COUNTS[::-1]}  # of other training samples
    of_others = Head(np.eye(6, 8, dtype=np.float32), np.zeros(6, np.float32), "mine", **counts)
    of_others.save(project / "heads/mine.safetensors")
    code, out, err = finished(capsys, "evaluate", "heads/mine.safetensors", *argv[2:])
    assert (code, list(rows_of(out))) == (0, ["mine"])
    assert "name the training cache first" in err
    told = "Many, Medium and Few are by the training counts of features/train.npz, not by their own: mine."
    for named in ([], ["heads/ce", "heads/mine", "heads/tau-norm"], ["features/train", "heads"]):
        code, out, err = finished(capsys, "evaluate", *named, *argv[2:])
        assert (code, list(rows_of(out))) == (0, ["stage-1", "ce", "mine", "tau-norm"])
        assert (json.loads(out)["notes"], told in err) == ([told], True)
    argv += ["--quiet", "--format", "csv", "--fail-under", "all=1"]
    assert finished(capsys, "evaluate", *argv[2:])[2] == f"ltfix: {told}\n"
    argv = argv[:6]
    (project / "heads/config.json").write_text("{}")  # of another tool
    assert finished(capsys, "evaluate", "heads", *argv[2:])[0] == 0
    of_others.save(project / "mine.safetensors")
    code, _, err = finished(capsys, "evaluate", "heads/ce", "mine.safetensors", *argv[2:])
    assert (code, "before the heads: `ltfix evaluate TRAIN HEAD --cache TEST`" in err) == (3, True)
    arrays = dict(np.load(project / "features/train.npz"))
    np.savez(project / "features/train.npz", features=arrays["features"], labels=arrays["labels"])
    code, out, err = finished(capsys, *argv)
    assert (code, list(rows_of(out))) == (0, ["ce"])
    assert "features/train.npz has no classifier; `ltfix import` makes a cache of it" in err


def test_a_training_file_that_nobody_named_ends_nothing(project: Path, capsys):
    arrays = dict(np.load("test.npz"))
    np.savez("other.npz", feats=arrays["features"], targs=arrays["labels"])
    own = ("--features-key", "feats", "--labels-key", "targs")
    (project / "features").mkdir()
    train = (project / "train.npz").rename(project / "features/train.npz")
    code, out, err = finished(capsys, "evaluate", "heads/ce.safetensors", "--cache", "other.npz", *own)
    assert (code, err, "stage-1" in out) == (0, "", True)
    train.write_bytes(b"no archive")
    code, out, err = finished(capsys, "evaluate", "heads/ce.safetensors", "--cache", "other.npz", *own)
    assert (code, "stage-1" in out) == (0, False)
    assert err.startswith("ltfix: features/train.npz is left out, which nobody named: ")
    head = Head(weight=np.eye(6, 8), bias=np.zeros(6), method="ce", counts=COUNTS, meta={"cache": "another"})
    head.save("of-another.safetensors")
    assert finished(capsys, "evaluate", "of-another.safetensors", "--cache", "test.npz")[0] == 0


def test_the_default_cache_is_test_never_val(project: Path, capsys: pytest.CaptureFixture[str]):
    (project / "features" / "val").mkdir(parents=True)
    code, _, err = finished(capsys, "evaluate")
    assert code == 3
    assert err == (
        "ltfix: error: no test features (features/test): `ltfix extract` writes them (import others), "
        "--work DIR names their project, or name a cache: --cache CACHE\n"
    )


@pytest.mark.parametrize("form", ["table", "latex"])
def test_digits(project: Path, capsys: pytest.CaptureFixture[str], form: str):
    _, out, _ = finished(capsys, "evaluate", "--cache", "test.npz", "--format", form, "--digits", "3")
    assert len(re.findall(r"\d\.\d{3}\b", out)) > 5
    assert not re.search(r"\d\.\d\b", out)


def test_csv_and_markdown(project: Path, capsys: pytest.CaptureFixture[str]):
    _, out, _ = finished(
        capsys, "evaluate", "--cache", "test.npz", "--report", "per-class", "--format", "csv"
    )
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 12
    assert {row["head"] for row in rows} == {"ce", "tau-norm"}
    assert 0 <= float(rows[0]["recall"]) <= 1
    _, out, _ = finished(capsys, "evaluate", "--cache", "test.npz", "--format", "markdown")
    assert "| Head | All | Many | Medium | Few | Harmonic | Worst class | Which | Class mean |" in out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_output_into_a_pipe_or_a_device_leaves_it_one(project: Path, capsys, more: list[str]):
    os.mkfifo("pipe")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(Path("pipe").read_text()))
    reader.start()
    argv = ["evaluate", "-q", "--cache", "test.npz", "--format", "json", *more, "--output"]
    assert finished(capsys, *argv, "pipe") == (0, "", "")
    reader.join(10)
    assert json.loads(heard[0])["heads"]
    assert Path("pipe").is_fifo()
    for _ in range(2):
        assert finished(capsys, *argv, "/dev/null") == (0, "", "")
    assert Path("/dev/null").is_char_device()
    _, whole, _ = finished(capsys, *argv, "-")
    assert finished(capsys, *argv, "/dev/stdout") == (0, whole, "")
    if Path("/dev/full").exists():
        code, out, err = finished(capsys, *argv, "/dev/full")
        assert (code, out) == (4, "")
        assert err.startswith("ltfix: error: the disk is full (/dev/full)")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        code, _, err = finished(capsys, *argv, "socket")
        assert (code, err) == (3, "ltfix: error: is a device, a pipe or a socket, not a file (socket)\n")


def test_the_files_ending_is_its_format_unless_one_is_asked_for(project: Path, capsys):
    beginnings = {"a.json": "{", "b.CSV": "name,", "c.md": "**", "d.tex": "%", "e.txt": "test.npz: "}
    for name, beginning in {**beginnings, "gates.xml": "<?xml", "g": "test.npz: "}.items():
        gates = ["--fail-under", "few=0"] if name == "gates.xml" else []
        assert finished(capsys, "evaluate", "--cache", "test.npz", "--output", name, *gates)[0] == 0
        assert (project / name).read_text().startswith(beginning), name
    argv = ["evaluate", "--cache", "test.npz", "--format", "table", "--output"]
    for name in ("f.json", "f.yaml"):
        assert finished(capsys, *argv, name)[0] == 0
        assert (project / name).read_text().startswith("test.npz: ")


@pytest.mark.parametrize(
    "argv", [["evaluate"], ["compare"], ["sweep", "--over", "lr=1"], ["predict", "h", "x"]]
)
def test_an_ending_of_no_format_is_refused_before_the_work(project: Path, capsys, argv: list[str]):
    more = ["--data", argv.pop()] if argv[0] == "predict" else []
    code, out, err = finished(capsys, *argv, *more, "--output", "f.yaml")
    assert (code, out) == (2, "")
    assert "ltfix: error: .yaml is the ending of no format (--output f.yaml): known: .csv, .json, " in err
    assert not Path("f.yaml").exists()
    err = finished(capsys, *argv, *more, "--output", "f.pdf")[2]
    assert ("(--output f.pdf): --plot f.pdf draws it" in err) == (argv[0] != "predict")
    if argv[0] != "predict":
        code, out, err = finished(capsys, *argv, "--output", "gates.xml")
        assert (code, out) == (2, "")
        none = (
            ".xml is the ending of no format"
            if argv[0] == "sweep"
            else "junit shows gates, and there is none"
        )
        assert none in err


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="a name for stdout")
def test_stdout_by_its_name_into_a_file_pipe_and_descriptor(project: Path):
    line = f'"{sys.executable}" -m ltfix evaluate -q --cache test.npz --format csv --output'
    script = f"{line} - > a; {line} /dev/stdout > b; {line} /dev/stdout | cat > c; {line} /dev/fd/3 3> d"
    done = subprocess.run(["sh", "-c", script], cwd=project, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    texts = [(project / name).read_text() for name in "abcd"]
    assert texts == [texts[0]] * 4
    assert "tau-norm" in texts[0]


def test_output_goes_to_a_file_once(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = [
        "evaluate",
        "train.npz",
        "heads/tau-norm.safetensors",
        "--cache",
        "test.npz",
        "--output",
        "out.txt",
    ]
    assert finished(capsys, *argv) == (0, "", "")
    assert "tau-norm" in (project / "out.txt").read_text()
    code, _, err = finished(capsys, *argv)
    assert code == 2
    assert "already there (out.txt): --overwrite replaces it" in err
    assert finished(capsys, *argv, "--overwrite", "--format", "json")[0] == 0
    json.loads((project / "out.txt").read_text())
    assert finished(capsys, *argv[:-1], "-")[1].startswith("test.npz:")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--fail-under", "few=2"], 0, "ltfix: gate held (ce: few "),
        (["--fail-under", "all=99.9"], 1, r"gate missed (ce: all "),
        (
            ["--fail-under", "all=99.9", "--report", "per-class"],
            1,
            "ltfix: error: gate missed (tau-norm: all ",
        ),
        (["--fail-under", "fewest=20"], 2, "no score 'fewest' (--fail-under): did you mean few?"),
        (["--fail-under", ""], 2, "not a gate: ''"),
        (["--fail-under", "few=0.2"], 2, "was 20 meant?"),
        (["--fail-under", "few=20", "--few", "2"], 3, "no tested class is few"),
        (["--fail-under", "few=20", "--few", "0"], 2, "no class can be few with many = 100 and few = 0"),
        (["--report", "per-clas"], 2, "did you mean per-class?"),
        (["--many", "10"], 2, "the shot boundaries many = 10 and few = 20 overlap"),
        (["--tta", "max"], 2, "max"),
        (
            ["--seed", "3"],
            2,
            "evaluate without --against, --baseline or --random-layers has no use for it (--seed)",
        ),
        (["--random-layers", "2"], 2, "the report many-medium-few has no use for it (--random-layers)"),
        (["--against", "heads/absent.safetensors"], 3, "absent.safetensors"),
        (["absent.safetensors"], 3, "no such file or folder (absent.safetensors): in heads, known: ce"),
        (["heads/tau-nrm"], 3, "(heads/tau-nrm): in heads, did you mean tau-norm?"),
        (["tau"], 3, "no such file or folder (tau): in heads, did you mean tau-norm?"),
        (["nowhere/ce"], 3, "no such file or folder (nowhere/ce): `ltfix fit` writes heads"),
        (["--fail-under", "few=20,", "all=45"], 3, "(all=45): a list of gates has no blanks"),
        (["empty"], 3, "no heads in this folder, nor a feature cache (empty): `ltfix fit` writes heads"),
        (
            ["--baseline", "nope.json", "--max-drop", "few=1"],
            3,
            "no such baseline (nope.json): a first build has none",
        ),
        (["wrong-d.safetensors"], 3, "the head wrong-d.safetensors has D = 4, the cache test.npz has D = 8"),
        (["wrong-k.safetensors"], 3, "wrong-k.safetensors has K = 3 classes, the cache test.npz has K = 6"),
        (["uncounted.safetensors"], 3, "the training counts are unknown"),
        (["torn.safetensors"], 3, "torn.safetensors"),
        (["--cache", "nan.npz"], 3, "row 4"),
        (["--cache", "heads/ce.safetensors"], 3, "heads/ce.safetensors"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes(project: Path, capsys: pytest.CaptureFixture[str], argv, code: int, message: str):
    def save(name: str, k: int, d: int, counts: np.ndarray | None) -> None:
        Head(np.ones((k, d), np.float32), np.zeros(k, np.float32), "ce", counts=counts).save(name)

    Path("empty").mkdir()
    save("wrong-d.safetensors", 6, 4, COUNTS)
    save("wrong-k.safetensors", 3, 8, COUNTS[:3])
    save("uncounted.safetensors", 6, 8, None)
    Path("torn.safetensors").write_bytes(Path("heads/ce.safetensors").read_bytes()[:200])
    test = dict(np.load("test.npz"))
    test["features"][4, 1, 2] = np.nan
    np.savez("nan.npz", **test)
    cache = [] if "--cache" in argv else ["--cache", "test.npz"]
    found, out, err = finished(capsys, "evaluate", *argv, *cache)
    assert found == code, err
    assert "Traceback" not in err
    assert bool(out) == (code < 2)
    assert message in err
    assert err.count("\n") == (2 if code < 2 else 1)  # of a gate, one line a head


def test_a_lone_stage_1_row_is_gated(project: Path, capsys: pytest.CaptureFixture[str]):
    code, out, err = finished(
        capsys, "evaluate", "train.npz", "--cache", "test.npz", "--fail-under", "few=99"
    )
    assert code == 1
    assert "stage-1" in out
    assert "stage-1: few" in err
    gate = ["--cache", "test.npz", "--fail-under", "few=2"]
    Path("perfect.safetensors").write_bytes(Path("heads/tau-norm.safetensors").read_bytes())
    assert finished(capsys, "evaluate", "train.npz", "perfect.safetensors", *gate)[0] == 0


def test_against_prints_intervals(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = [
        "evaluate",
        "train.npz",
        "heads/ce.safetensors",
        "heads/tau-norm.safetensors",
        "--cache",
        "test.npz",
    ]
    code, out, _ = finished(capsys, *argv, "--against", "stage-1", "--seed", "5")
    assert code == 0
    assert "Points above stage-1, with 95 % intervals" in out
    assert "Paired bootstrap: 2000 resamples of each class's samples, seed 5." in out
    _, out, _ = finished(capsys, *argv, "--against", "heads/ce.safetensors", "--format", "json")
    few = rows_of(out)["tau-norm"]["difference"]["few"]
    assert 0 < few["low"] <= few["value"] <= few["high"]


def test_views_and_boundaries(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["evaluate", "--cache", "test.npz"]
    _, mean, _ = finished(capsys, *argv, "--format", "json")
    _, first, _ = finished(capsys, *argv, "--tta", "first", "--format", "json")
    assert rows_of(mean)["tau-norm"]["all"] > rows_of(first)["tau-norm"]["all"]
    assert "first view alone" in finished(capsys, *argv, "--tta", "first")[1]
    _, out, _ = finished(capsys, *argv, "--many", "40", "--few", "20", "--format", "json")
    assert json.loads(out)["shots"] == {
        "many": 40,
        "few": 20,
        "n_classes": {"many": 3, "medium": 1, "few": 2},
    }


def test_values_come_from_the_file(project: Path, capsys: pytest.CaptureFixture[str]):
    (project / "ltfix.toml").write_text('[evaluate]\ncache = "test.npz"\nfail-under = "all=99.9"\n')
    code, out, _ = finished(capsys, "evaluate")
    assert code == 1
    assert "tau-norm" in out


def test_piped_and_broken(project: Path, ltfix: Run):
    argv = f"{sys.executable} -m ltfix evaluate --cache test.npz"
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80"}

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=project,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    tool = shell(f"{argv} --format json | {sys.executable} -m json.tool")
    assert tool.returncode == 0, tool.stderr
    assert json.loads(tool.stdout)["format"] == "ltfix-report/1"
    closed = shell(f"{argv} -q --report per-class | true; echo ${{PIPESTATUS[0]}}")
    assert (closed.stdout, closed.stderr) == ("141\n", "")
    missed = ltfix("evaluate", "--cache", "test.npz", "--fail-under", "all=99.9", cwd=project)
    assert missed.returncode == 1
    assert missed.stdout.startswith("test.npz: 300 samples")
    assert missed.stderr.startswith("ltfix: error: gate missed")


def test_a_terminal_of_80_columns_without_colour(project: Path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LTFIX_")}
    argv = ["evaluate", "train.npz", "--cache", "test.npz", "--report", "per-class"]
    done = subprocess.run(
        [sys.executable, "-m", "ltfix", *argv],
        cwd=project,
        env={**clean, "NO_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"},
        stdout=theirs,
        timeout=60,
    )
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", text))
    assert codes <= {"", "0", "1"}  # bold at most
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 80


_BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
from ltfix.cli import run
{first}
raise SystemExit(run(sys.argv[1:]))
"""


def blocked(project: Path, first: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BLOCKED.format(first=first), *argv],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_evaluate_and_inspect_work_where_torch_cannot_be_imported(project: Path):
    for argv in (
        ["evaluate", "train.npz", "heads/ce.safetensors", "--cache", "test.npz", "--against", "stage-1"],
        ["evaluate", "--cache", "test.npz", "--report", "calibration"],
        ["evaluate", "--cache", "test.npz", "--report", "features"],
        ["inspect", "heads/ce.safetensors"],
    ):
        done = blocked(project, "", *argv)
        assert done.returncode == 0, done.stderr


def test_the_block_does_block(project: Path):
    done = blocked(project, "import torch", "evaluate", "--cache", "test.npz")
    assert "torch is blocked" in done.stderr


def test_the_probe_that_fits_began_with_is_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        write_cache(tmp_path / "features" / split)
    assert run(["fit", "--method", "ce", "--epochs", "1", "--out", "heads/ce.safetensors", "--quiet"]) == 0
    capsys.readouterr()
    for given in ([], ["heads/ce"], ["features/train", "heads/ce.safetensors"], ["features/train", "heads"]):
        code, out, err = finished(capsys, "evaluate", *given, "--format", "json", "--fail-under", "all=2")
        assert code == 0
        assert list(rows_of(out)) == ["probe", "ce"]
        assert "left out" not in err
    code, out, err = finished(capsys, "evaluate", "features/train", "--format", "json")
    assert list(rows_of(out)) == ["probe"]
    assert "those in heads are left out: `ltfix evaluate features/train heads` takes them too" in err
    (tmp_path / "features" / "train" / "probe.safetensors").unlink()
    code, out, _ = finished(capsys, "evaluate", "--format", "json")
    assert list(rows_of(out)) == ["ce"]


def test_heads_of_two_states_of_features_that_grew_by_a_class_share_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    write_cache(tmp_path / "features/train")
    for name, n in (("grown1", 28), ("grown", 32), ("test-grown", 12)):
        write_cache(tmp_path / "features" / name, n=n, n_classes=4)
    for name in ("grown1", "grown"):
        assert (
            run(["fit", f"features/{name}", "--method", "ncm", "--out", f"heads/{name}.safetensors", "-q"])
            == 0
        )
    capsys.readouterr()
    code, out, err = finished(
        capsys,
        "evaluate",
        "heads/grown1",
        "heads/grown",
        "--cache",
        "features/test-grown",
        "--format",
        "json",
    )
    assert code == 0, err
    assert (code, list(rows_of(out))) == (0, ["grown1", "grown"])
    assert (
        "Many, Medium and Few are by the training counts of features/grown, not by their own: grown1" in err
    )
    (tmp_path / "features/grown1/shard-00000.safetensors").unlink()  # which nobody named
    code, out, err = finished(capsys, "evaluate", "--cache", "features/test-grown", "--format", "json")
    assert code == 0, err
    assert (code, list(rows_of(out))) == (0, ["grown", "grown1"])


def test_a_build_is_held_to_the_one_before(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["evaluate", "heads/tau-norm.safetensors", "--cache", "test.npz"]
    assert finished(capsys, *argv, "-q", "--format", "json", "--output", "last.json")[0] == 0
    gate = ["--baseline", "last.json", "--max-drop", "few=1.0,all=0.5"]
    code, _, err = finished(capsys, *argv, *gate)
    assert (code, re.findall(r"gate held \(tau-norm: (few|all) stayed at", err)) == (0, ["few", "all"])
    Path("heads/tau-norm.safetensors").write_bytes(Path("heads/ce.safetensors").read_bytes())
    code, out, err = finished(capsys, *argv, *gate, "--format", "json")
    assert code == 1
    assert [gate["passed"] for gate in json.loads(out)["gates"]] == [False, False]
    first, second = err.splitlines()
    assert re.match(
        r"ltfix: error: gate missed \(tau-norm: few fell by [\d.]+ points to [\d.]+, more than 1 \(95", first
    )
    assert "all fell by" in second
    code, out, err = finished(capsys, *argv, "--format", "junit")
    assert (code, out) == (2, "")
    assert "junit shows gates, and there is none (--format junit): give --fail-under few=20" in err


def test_a_gate_that_is_given_again_is_held_too(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    argv = ["evaluate", "heads/tau-norm.safetensors", "--cache", "test.npz"]
    code, _, err = finished(capsys, *argv, "--fail-under", "few=99.9", "--fail-under", "all=2")
    assert (code, "few " in err) == (1, True)
    code, _, err = finished(capsys, *argv, "--fail-under", "few=2", "--fail-under", "few=3")
    assert (code, "few is given twice" in err) == (2, True)
    for text in ('fail-under = ["few=99.9", "all=2"]', "fail-under = { few = 99.9, all = 2 }"):
        Path("ltfix.toml").write_text(f"[evaluate]\n{text}\n")
        assert finished(capsys, *argv)[0] == 1
    Path("ltfix.toml").unlink()
    assert finished(capsys, *argv, "--fail-under", "")[0] == 2
    monkeypatch.setenv("LTFIX_EVALUATE_FAIL_UNDER", "few=99.9, all=2")
    assert finished(capsys, *argv)[0] == 1


def test_a_missed_build_never_takes_the_place_of_its_baseline(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    argv = ["evaluate", "heads/tau-norm.safetensors", "--cache", "test.npz", "--format", "json"]
    assert finished(capsys, *argv, "--output", "last.json")[0] == 0
    before = Path("last.json").read_bytes()
    gate = ["--baseline", "last.json", "--max-drop", "few=1"]
    code, _, err = finished(capsys, *argv, *gate, "--output", "heads/../last.json", "--overwrite")
    assert (code, "this is the baseline" in err) == (2, True)
    first = [*argv[:4], "--baseline", "first", "--max-drop", "few=1", "--output", "first"]
    code, _, err = finished(capsys, *first)
    assert (code, "a baseline is JSON" in err, Path("first").exists()) == (2, True, False)
    assert Path("last.json").read_bytes() == before
    code, _, err = finished(capsys, *argv, "--baseline", "last.json")
    assert "`ltfix evaluate … --baseline last.json --max-drop few=1.0,all=0.5`" in err


def test_gates_of_the_file_and_a_first_build(project: Path, capsys: pytest.CaptureFixture[str]):
    argv, last = ["evaluate", "heads/tau-norm.safetensors", "--cache", "test.npz"], Path("base.json")
    own = '[evaluate]\nbaseline = "base.json"\nmax-drop = { few = 1.0 }\n'
    Path("ltfix.toml").write_text(own)
    code, _, err = finished(capsys, *argv)
    assert (code, "this command with `--format json --output base.json` writes it" in err) == (3, True)
    assert finished(capsys, *argv, "--config", os.devnull)[0] == 0
    first = [*argv, "--format", "json", "--output", "base.json"]
    assert finished(capsys, *first, "--fail-under", "few=100")[0] == 1
    assert not last.exists(), "a build that misses is no baseline"
    code, _, err = finished(capsys, *first)
    assert (code, err.splitlines()[0]) == (
        0,
        "ltfix: base.json is not there yet: held to no earlier build, written where the gates hold",
    )
    assert "gates" not in json.loads(last.read_text())
    code, out, _ = finished(capsys, *argv, "--format", "json")
    assert (code, json.loads(out)["gates"][0]["max_drop"]) == (0, 0.01)
    assert finished(capsys, *first, "--overwrite")[0] == 2
    err = finished(capsys, *argv, "--baseline", "base.jsn")[2]
    assert "no such baseline (base.jsn): did you mean base.json? a first build has none: " in err
    for left, other in (("baseline", "max-drop"), ("max-drop", "baseline")):
        Path("ltfix.toml").write_text("\n".join(line for line in own.splitlines() if other not in line))
        code, out, err = finished(capsys, *argv, "--format", "json")
        assert (code, "gates" in json.loads(out)) == (0, False)
        needs = {"baseline": "a baseline", "max-drop": "--max-drop …"}[other]
        said = f"ltfix: --{left} from ltfix.toml is not used: it needs {needs} beside it"
        assert said in err
        assert finished(capsys, "init", "--check") == (0, "ltfix.toml: no mistake found\n", f"{said}\n")


def test_a_head_held_against_another_is_told(project: Path, capsys: pytest.CaptureFixture[str]):
    rest = ["--cache", "test.npz", "--format", "json"]
    assert finished(capsys, "evaluate", "heads/ce.safetensors", *rest, "--output", "last.json")[0] == 0
    gate = ["--baseline", "last.json", "--max-drop", "few=100"]
    code, out, err = finished(capsys, "evaluate", "heads/tau-norm.safetensors", *rest, *gate)
    assert (code, "tau-norm is held against ce of the baseline" in err) == (0, True)
    assert json.loads(out)["gates"][0]["baseline_head"] == "ce"
    assert "is held against" not in finished(capsys, "evaluate", "heads/ce.safetensors", *rest, *gate)[2]


def test_a_gate_that_holds_against_other_samples_says_so(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["evaluate", "heads/ce.safetensors", "--format", "json", "--cache"]
    assert finished(capsys, *argv, "test.npz", "--output", "last.json")[0] == 0
    gate = ["--baseline", "last.json", "--max-drop", "few=100"]
    line = "held to a baseline without pairs of samples: few, since the baseline is of other samples"
    for quiet in ([], ["--quiet"]):
        code, _, err = finished(capsys, *argv, "train.npz", *gate, *quiet)
        assert (code, err.count(line)) == (0, 1)


def test_what_the_table_says_of_a_gate_is_said_once(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["evaluate", "heads/ce.safetensors", "--cache"]
    assert finished(capsys, *argv, "test.npz", "--format", "json", "--output", "last.json")[0] == 0
    gate = ["train.npz", "--baseline", "last.json", "--max-drop", "few=100", "--quiet"]
    for form, printed in (
        (["table"], True),
        (["table", "--output", "-"], True),
        (["table", "--output", "it.txt"], False),
        (["csv"], False),
        (["json"], False),
    ):
        code, out, err = finished(capsys, *argv, *gate, "--format", *form)
        for line in ("cannot be missed: ", "eld to a baseline without pairs of samples: "):
            shown, said = (re.sub(r"\s+", " ", text).lower().count(line) for text in (out, err))
            assert (code, said) == (0, 0 if printed else 1), err
            assert form[0] == "json" or shown == printed


def test_a_folder_of_heads_and_a_head_without_its_ending(project: Path, capsys: pytest.CaptureFixture[str]):
    (project / "heads").rename(project / "compare")
    argv = ["--cache", "test.npz", "--format", "json"]
    assert list(rows_of(finished(capsys, "evaluate", "compare", *argv)[1])) == ["ce", "tau-norm"]
    assert list(rows_of(finished(capsys, "evaluate", "compare/ce", *argv)[1])) == ["ce"]
    code, _, err = finished(capsys, "evaluate", "compare/los", *argv)
    assert (code, "no such file or folder (compare/los)" in err) == (3, True)


def test_the_confusion_matrix_is_whole(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["evaluate", "--cache", "test.npz", "--report", "confusion", "--format", "json"]
    for head in json.loads(finished(capsys, *argv)[1])["heads"]:
        cells = np.array(head["matrix"])
        assert cells[:, 2].sum() == 300
        hit = cells[cells[:, 0] == cells[:, 1], 2].sum() / 300
        overall = rows_of(finished(capsys, "evaluate", "--cache", "test.npz", "--format", "json")[1])
        assert overall[head["name"]]["all"] == pytest.approx(hit)


def test_names_lack_their_endings_wherever_they_are_typed(project: Path, capsys):
    (project / "features").mkdir()
    for name in ("train", "test"):
        (project / f"{name}.npz").rename(project / f"features/{name}.npz")
    for argv in (
        ["evaluate", "features/train", "heads/ce", "--cache", "features/test"],
        ["fit", "features/train", "--method", "tau-norm", "--val", "features/test", "--overwrite"],
        ["inspect", "features/train"],
        ["import", "features/train", "--out", "imported"],
        ["predict", "heads/ce.safetensors", "--data", "features/test"],
    ):
        code, out, err = finished(capsys, *argv)
        assert (code, out != "") == (0, True), err


def test_a_head_that_was_chosen_on_what_is_scored_is_told(project: Path, capsys):
    np.savez("other.npz", features=np.ones((6, 8), np.float32), labels=range(6))
    np.savez("copy.npz", **np.load("test.npz"))
    for method, val in (("tau-norm", "test"), ("ncm", "test"), ("logit-adjust", "other")):
        argv = ["fit", "train.npz", "--method", method, "--val", f"{val}.npz", "--out", f"{method}-{val}"]
        assert finished(capsys, *argv)[0] == 0
    heads = ["tau-norm-test", "ncm-test", "logit-adjust-other"]
    for cache in ("test.npz", "copy.npz"):
        _, out, _ = finished(capsys, "evaluate", *heads, "--cache", cache)
        assert re.findall("Chosen on these samples, which flatters: (.*)", out) == ["tau-norm-test."]
    (project / "seen_test.npz").symlink_to("train.npz")
    fit = ("fit", "seen_test.npz", "--method", "ce", "--epochs", "1", "--out", "own")
    assert "seen_test.npz is called the test split: a head that is fitted" in finished(capsys, *fit)[2]
    code, out, err = finished(
        capsys, "evaluate", "own", "--cache", "train.npz", "--fail-under", "all=1", "--format", "json"
    )
    assert (code, json.loads(out)["gates"][0]["seen"]) == (0, "fitted")
    assert "own is held to samples that it was fitted on: what passes there may fail on others" in err
    argv = ["evaluate", "own", "--cache", "train.npz", "--fail-under", "all=1", "--quiet"]
    assert "own is held to samples" in finished(capsys, *argv)[2]


def test_paths_that_are_named_from_the_project_are_told_from_here(project: Path, error, monkeypatch):
    monkeypatch.chdir(project.parent)
    work = ["--work", project.name]
    for argv in (
        ["export", "heads/ce"],
        ["calibrate", "heads/ce"],
        ["evaluate", "--cache", "test.npz"],
        ["fit", "train.npz"],
    ):
        told = f"no such file or folder ({argv[-1]}): did you mean {project.name}/{argv[-1]}"
        code, line = error(*argv, *work)
        assert (code, line.startswith(told)) == (3, True), line


def test_a_head_of_features_that_are_gone_is_told(project: Path, capsys: pytest.CaptureFixture[str]):
    there = np.load("train.npz")
    np.savez("bare.npz", features=there["features"], labels=there["labels"])
    assert finished(capsys, "import", "bare.npz", "--out", "features/train")[0] == 0
    head = load_head(Path("heads/ce.safetensors"))
    dataclasses.replace(head, meta={"cache": "0" * 64}).save("heads/old.safetensors")
    for name, why in (
        ("old", "old was fitted on features that are not, or no longer, in features/"),
        ("ce", "no"),
    ):
        out = finished(capsys, "evaluate", f"heads/{name}", "--cache", "test.npz")[1]
        assert f"No row of stage 1: {why}" in out
    assert finished(capsys, "evaluate", "heads/old", "--cache", "test.npz", "--work", "nowhere")[0] == 0
