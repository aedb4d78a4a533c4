"""``ltfix fit``: default places, precedence, refusals with their exit codes, and no torn head."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rights import without_rights

from ltfix import cli
from ltfix.files import sha256_file, write_safetensors
from ltfix.heads.head import load_head
from ltfix.stage2.fit import FitPlan
from ltfix.stage2.loop import engine

forking = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from 3.12 on
Error = Callable[..., tuple[int, str]]
COUNTS = [60, 20, 6, 2]


def draw(seed: int, counts: list[int] = COUNTS, dim: int = 8, views: int = 2, stage1: bool = True) -> dict:
    """Gaussian clouds around fixed centers, as the tensors of a cache file."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(len(counts), dim)) * 2
    labels = np.repeat(np.arange(len(counts)), counts)
    features = np.maximum(centers[labels][:, None] + rng.normal(size=(len(labels), views, dim)), 0)
    tensors = {"features": features.astype(np.float16), "labels": labels}
    if stage1:
        tensors["head.weight"] = (centers / 4).astype(np.float32)
        tensors["head.bias"] = np.zeros(len(counts), np.float32)
    return tensors


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with a training cache ``train.safetensors`` and a clean environment."""
    for name in [n for n in os.environ if n.startswith("LTFIX_") and n != "LTFIX_EXTENSION"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    write_safetensors(tmp_path / "train.safetensors", draw(0))
    return tmp_path


def fit(*argv: object, code: int = 0) -> None:
    assert cli.run(["fit", "train.safetensors", *map(str, argv)]) == code


def nothing_written(project: Path) -> bool:
    return not (project / "heads").exists() and [p.name for p in project.iterdir()] == ["train.safetensors"]


def test_what_was_written_as_json(project: Path, capsys: pytest.CaptureFixture[str]):
    write_safetensors(project / "val.safetensors", draw(1))
    fit("--method", "tau-norm", "--val", "val.safetensors", "--seeds", 2, "--format", "json")
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "ltfix-written/1"
    assert found["seconds"] > 0
    assert set(found["accuracy"]) == {"train", "val"}
    assert found["accuracy"]["val"]["all"] == {"mean": pytest.approx(0.9, abs=0.2), "std": 0.0}
    first, second = found["written"]
    assert [first["path"], second["path"]] == [f"heads/tau-norm-s{seed}.safetensors" for seed in (0, 1)]
    assert (first["method"], second["meta"]["seed"]) == ("tau-norm", 1)
    assert first["meta"]["values"]["tau"]["from"] == "chosen on validation"
    assert 0 < first["meta"]["selection"]["score"] <= 1
    assert first["sha256"] == sha256_file(project / first["path"])


def test_what_was_said_on_the_way_is_in_the_json(project: Path, capsys: pytest.CaptureFixture[str]):
    fit("--method", "ce", "--epochs", 2, "--lr", 0.1, "--weight-decay", 9.0, "--format", "json")
    out, err = capsys.readouterr()
    (note,) = json.loads(out)["notes"]
    assert note.startswith("ce: the fit unlearned much of what ")
    assert "--tune searches" in note
    assert f"ltfix: {note}" in err


def test_the_summary_goes_to_stdout_and_the_head_to_its_default_place(project: Path, capsys):
    fit("--metric", "norm")
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "samn: K = 4, D = 8, start stage1" in captured.out
    assert "metric norm" in captured.out
    assert "accuracy on" in captured.out
    assert "written to heads/samn-norm.safetensors" in captured.out
    head = load_head(project / "heads/samn-norm.safetensors")
    assert head.method == "samn"
    assert head.meta["values"]["metric"] == {"value": "norm", "from": "option"}
    assert head.meta["values"]["lr"] == {"value": 5e-4, "from": "default"}
    assert [p.name for p in (project / "heads").iterdir()] == ["samn-norm.safetensors"]


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_features_may_be_single_files(project: Path, ending: str, capsys):
    """Where there is no folder of the name, fit, evaluate and inspect find them."""
    (project / "features").mkdir()
    for seed, split in enumerate(("train", "test")):
        place, tensors = project / f"features/{split}{ending}", draw(seed)
        np.savez(place, **tensors) if ending == ".npz" else write_safetensors(place, tensors)
    assert cli.run(["fit", "--method", "ncm"]) == 0
    assert load_head(project / "heads/ncm.safetensors").counts.tolist() == COUNTS
    assert cli.run(["evaluate"]) == 0
    assert "ncm" in capsys.readouterr().out
    assert cli.run(["inspect"]) == 0
    assert f"features/train{ending}" in capsys.readouterr().out


def test_bare_it_reads_features_train_and_features_val(project: Path, capsys):
    (project / "features").mkdir()
    assert cli.run(["fit"]) == 3
    assert "no training features (features/train): `ltfix extract` writes them" in capsys.readouterr().err
    for split, seed in (("train", 0), ("val", 1)):
        folder = project / "features" / split
        folder.mkdir()
        make_cache(folder, draw(seed))
    assert cli.run(["fit"]) == 0
    out = capsys.readouterr().out
    assert "train" in out
    assert "\nval" in out
    head = load_head(project / "heads/samn-freq.safetensors")
    assert head.classes == ("a", "b", "c", "d")
    assert "validation cache" in head.meta["selection"]["on"]
    assert head.meta["cache"] == "f" * 8


def make_cache(folder: Path, tensors: dict) -> None:
    """A finished cache folder with one shard."""
    from ltfix import files

    shard = {name: tensors[name] for name in ("features", "labels")}
    write_safetensors(folder / "shard-00000.safetensors", shard)
    n, views, dim = shard["features"].shape
    counts = np.bincount(shard["labels"])
    (folder / "samples.txt").write_text("".join(f"{i}.png\n" for i in range(n)))
    manifest = {
        "format": "ltfix-features/1",
        "n": n,
        "dim": dim,
        "views": views,
        "dtype": "float16",
        "classes": ["a", "b", "c", "d"],
        "counts": counts.tolist(),
        "shards": [
            {
                "file": "shard-00000.safetensors",
                "n": n,
                "sha256": files.sha256_file(folder / "shard-00000.safetensors"),
            }
        ],
        "backbone": {},
        "preprocess": {},
        "source": {},
        "fingerprint": "f" * 8,
        "created_by": "a test",
    }
    files.write_json(folder / "manifest.json", manifest)


def test_work_moves_the_default_places(project: Path, capsys):
    (project / "w/features/train").mkdir(parents=True)
    make_cache(project / "w/features/train", draw(0))
    assert cli.run(["fit", "--work", "w", "--method", "tau-norm", "--set", "tau=1"]) == 0
    assert (project / "w/heads/tau-norm-tau1.safetensors").is_file()


def test_out_names_the_head(project: Path, capsys):
    fit("--out", "deep/er/mine.safetensors")
    assert load_head(project / "deep/er/mine.safetensors").name == "mine"
    assert not (project / "heads").exists()


def test_an_existing_head_is_replaced_only_with_overwrite(project: Path, capsys, error: Error):
    fit("--method", "ce")
    place = project / "heads/ce.safetensors"
    before = place.read_bytes()
    capsys.readouterr()
    code, line = error("fit", "train.safetensors", "--method", "ce", "--lr", "0.0005")
    assert (code, line) == (2, "already there (heads/ce.safetensors): --overwrite replaces it")
    assert error("fit", "train.safetensors", "--method", "ce", "--out", str(place))[0] == 2
    assert place.read_bytes() == before
    fit("--method", "ce", "--overwrite", "--seed", 1)
    assert place.read_bytes() != before
    assert load_head(place).meta["seed"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a second process that has torch already")
@forking
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--seeds", "2"]])
def test_of_two_fits_of_one_head_one_wins(
    project: Path, capsys, monkeypatch: pytest.MonkeyPatch, more: list[str]
):
    """A second process begins and ends while the first one trains."""
    argv = ["fit", "train.safetensors", "--method", "ce", "--epochs", "2", "--out", "mine.safetensors"]
    real = FitPlan.train

    def overtaken(*args: Any, **options: Any) -> Any:
        if (process := os.fork()) == 0:
            FitPlan.train = real
            os._exit(cli.run([*argv, *more, "--lr", "0.01", "--quiet"]))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        return real(*args, **options)

    monkeypatch.setattr(FitPlan, "train", overtaken)
    code = cli.run([*argv, *more, "--quiet"])
    rates = {p.name: load_head(p).meta["values"]["lr"]["value"] for p in sorted(project.glob("mine*"))}
    if "--overwrite" in more:
        assert (code, set(rates.values())) == (0, {0.0005})
        return
    place = next(iter(rates))
    assert code == 2
    assert capsys.readouterr().err == f"ltfix: error: already there ({place}): --overwrite replaces it\n"
    assert set(rates.values()) == {0.01}
    assert len(rates) == (2 if more else 1)
    assert len(list(project.iterdir())) == 1 + len(rates)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9")
@pytest.mark.parametrize("head", [1, 2, 3])
def test_fits_killed_while_they_name_their_heads_are_not_in_the_way(project: Path, capsys, head: int):
    argv = ["fit", "train.safetensors", "--method", "ce", "--epochs", "2", "--seeds", "3", "--quiet"]
    assert cli.run([*argv, "--out", "whole/h.safetensors"]) == 0
    if (process := os.fork()) == 0:
        real, calls = os.link, []

        def dying(*args: Any) -> None:
            real(*args)
            calls.append(args)
            if len(calls) == head:
                os.kill(os.getpid(), signal.SIGKILL)

        os.link = dying
        os._exit(cli.run([*argv, "--out", "killed/h.safetensors"]))
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    assert len(list((project / "killed").glob("h-s*"))) == head
    assert cli.run([*argv, "--out", "killed/h.safetensors"]) == 0
    whole, again = (
        {p.name: p.read_bytes() for p in (project / name).iterdir()} for name in ("whole", "killed")
    )
    assert again == whole


def test_a_head_into_a_device_or_to_stdout(project: Path, capsys, error: Error):
    if not Path("/dev/null").is_char_device():
        pytest.skip("no /dev/null here")
    fit("--method", "tau-norm", "--out", "/dev/null")
    assert Path("/dev/null").is_char_device()
    capsys.readouterr()
    for name in ("-", "/dev/stdout"):
        code, line = error("fit", "train.safetensors", "--method", "tau-norm", "--out", name)
        assert (code, line) == (2, f"a head goes to a file, not to stdout (--out {name})")


def test_the_same_command_writes_the_same_bytes(project: Path, capsys):
    for method in ("samn", "los", "tau-norm"):
        for name in ("one", "two"):
            argv = [
                "fit",
                "train.safetensors",
                "--method",
                method,
                "--out",
                f"{name}.safetensors",
                "--overwrite",
            ]
            assert cli.run(argv) == 0
        one, two = ((project / f"{name}.safetensors").read_bytes() for name in ("one", "two"))
        assert one == two


def test_several_seeds_one_head_each(project: Path, capsys):
    fit("--method", "ce", "--seeds", 3, "--seed", 4)
    names = sorted(p.name for p in (project / "heads").iterdir())
    assert names == ["ce-s4.safetensors", "ce-s5.safetensors", "ce-s6.safetensors"]
    assert load_head(project / "heads/ce-s5.safetensors").meta["seed"] == 5
    assert "±" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--method", "smn"], 2, "unknown method 'smn' (--method): did you mean samn"),
        (
            ["--set", "varaint=code"],
            2,
            "method samn has no value 'varaint' (--set varaint): did you mean variant",
        ),
        (["--set", "variant=book"], 2, "variant is 'book' (--set variant): it may be code, paper"),
        (["--set", "variant"], 2, "--set takes KEY=VALUE, found 'variant'"),
        (["--metric", "count"], 2, "metric is 'count'"),
        (["--method", "ce", "--metric", "norm"], 2, "method ce has no use for it (--metric): leave it out"),
        (
            ["--method", "ncm", "--init", "probe"],
            2,
            "method ncm makes its rows itself, from no start (--init)",
        ),
        (["--method", "tau-norm", "--lr", "0.1"], 2, "method tau-norm has no use for it (--lr)"),
        (["--method", "tau-norm", "--loss", "los"], 2, "method tau-norm trains nothing, so no loss applies"),
        (["--method", "tau-norm", "--no-average"], 2, "auto alone averages heads (--no-average): leave it"),
        (["--method", "ce", "--set", "tau=1"], 2, "method ce has no value 'tau'"),
        (["--loss", "lso"], 2, "unknown loss 'lso' (--loss): did you mean los"),
        (["--lr", "nan"], 2, "lr must be a number, found nan"),
        (["--lr", "-1"], 2, "lr = -1 is out of range"),
        (["--lr", "fast"], 2, "--lr"),
        (["--epochs", "0"], 2, "epochs = 0 is out of range"),
        (["--init", "stage2"], 2, "init is 'stage2' (--init)"),
        (["--views-used", "second"], 2, "--views-used"),
        (["--device", "tpu"], 2, "unknown device 'tpu'"),
        (["--device", "cuda:99"], 4, "there is no device cuda:99"),
        (["--lr", "1e38"], 3, "the loss became NaN in epoch 1 of 20 (--lr 1e+38): try --lr 0.1"),
        (["--method", "ce", "--lr", "1e38"], 3, "the loss became NaN in epoch"),
        (["--val", "none.npz"], 3, "no such feature cache (none.npz)"),
    ],
    ids=str,
)
def test_refusals_are_one_line_and_write_nothing(
    project: Path, error: Error, argv: list[str], code, message: str
):
    found, line = error("fit", "train.safetensors", *argv)
    assert found == code
    assert message in line
    assert nothing_written(project)


def test_wrong_caches(project: Path, error: Error):
    assert error("fit", "none.safetensors")[0] == 3
    np.savez("one.npz", features=np.ones((4, 3), np.float32), labels=np.zeros(4, np.int64))
    assert error("fit", "one.npz") == (3, "all samples are of one class (one.npz): a classifier needs two")
    tensors = draw(0)
    tensors["features"][7, 1, 2] = np.nan
    write_safetensors("nan.safetensors", tensors)
    code, line = error("fit", "nan.safetensors")
    assert code == 3
    assert "feature row 7" in line
    assert not (project / "heads").exists()


def test_values_of_the_file_are_notes_where_the_method_has_no_use_for_them(project: Path, capsys):
    (project / "ltfix.toml").write_text(
        '[fit]\nmethod = "samn"\nmetric = "norm"\nloss = "los"\nlr = 0.001\nepochs = 1\n'
        '[fit.set]\nvariant = "paper"\n'
    )
    assert cli.run(["fit", "train.safetensors"]) == 0
    head = load_head("heads/samn+los-norm-lr0.001-epochs1-paper.safetensors")
    assert head.meta["values"]["lr"] == {"value": 0.001, "from": "file"}
    assert head.meta["values"]["variant"] == {"value": "paper", "from": "file"}
    capsys.readouterr()
    assert cli.run(["fit", "train.safetensors", "--method", "tau-norm", "--set", "tau=1"]) == 0
    captured = capsys.readouterr()
    notes = captured.err.splitlines()
    assert all(" from ltfix.toml is not used: method tau-norm " in line for line in notes)
    assert {line.split()[1] for line in notes} == {"--metric", "--loss", "--lr", "--epochs"}
    capsys.readouterr()
    assert cli.run(["fit", "train.safetensors", "--method", "ce"]) == 0
    assert "--set from ltfix.toml is not used: method ce has no value 'variant'" in capsys.readouterr().err


def test_a_file_of_auto_serves_every_method(project: Path, capsys, error: Error):
    (project / "ltfix.toml").write_text(
        '[fit]\nmethod = "auto"\nbudget = "60s"\nmethods = ["ncm", "ce"]\naverage = false\n'
        "val-per-class = 2\n"
        '[compare]\nbudget = "60s"\nmethods = "ncm"\n[compare.set]\ntau = 0.7\n'
        "[sweep.set]\ntau = 0.5\nepochs = 1\n"
        '[extract]\naugment = "crop"\n[export]\nfeatures = true\ndata = "photos"\nto = "onnx"\n'
    )
    train = ["--train", "train.safetensors"]
    assert cli.run(["fit", "train.safetensors", "--method", "ncm"]) == 0
    assert cli.run(["compare", *train, "--test", "train.safetensors", "--seeds", "1"]) == 0
    assert cli.run(["sweep", *train, "--over", "lr=0.1,0.2"]) == 0
    assert cli.run(["init", "--check"]) == 0
    said = capsys.readouterr().err
    assert said.count("--budget from ltfix.toml is not used: nothing is tuned, so no budget is kept") == 3
    assert said.count("--set from ltfix.toml is not used: no method here takes tau") == 2
    assert "--set from ltfix.toml is not used: method samn has no value 'tau'" in said
    assert error("compare", "--budget", "5m", "--methods", "ncm")[0] == 2


def test_an_unknown_value_in_the_file_is_refused(project: Path, error: Error):
    (project / "ltfix.toml").write_text('[fit.set]\nvaraint = "paper"\n')
    code, line = error("fit", "train.safetensors")
    assert code == 2
    assert "did you mean variant" in line


def test_the_environment_stands_between_option_and_file(project: Path, capsys, monkeypatch):
    (project / "ltfix.toml").write_text("[fit]\nlr = 0.001\nepochs = 1\n")
    monkeypatch.setenv("LTFIX_FIT_METHOD", "ce")
    monkeypatch.setenv("LTFIX_FIT_LR", "0.002")
    assert cli.run(["fit", "train.safetensors"]) == 0
    values = load_head("heads/ce-lr0.002-epochs1.safetensors").meta["values"]
    assert values["lr"] == {"value": 0.002, "from": "environment"}
    assert values["epochs"] == {"value": 1, "from": "file"}


def test_a_replaced_loss_takes_its_own_values(project: Path, capsys):
    fit("--method", "ce", "--loss", "los", "--set", "delta=0.9")
    head = load_head(project / "heads/ce+los-delta0.9.safetensors")
    assert head.meta["values"]["delta"] == {"value": 0.9, "from": "option"}


def test_the_input_is_missed_before_the_output(project: Path, error: Error):
    (project / "heads").mkdir(exist_ok=True)
    (project / "heads/samn-freq.safetensors").write_bytes(b"there")
    assert error("fit", "nofile.npz")[1].startswith("no such feature cache (nofile.npz)")
    assert "is a folder (heads)" in error("fit", "train.safetensors", "--out", "heads")[1]


def test_chosen_values_are_told(project: Path, capsys):
    assert cli.run(["fit", "train.safetensors", "--method", "tau-norm"]) == 0
    told = re.search(
        r"mean class accuracy (\S+), the start's (\S+), on .*class-wise cut", capsys.readouterr().out
    )
    assert told
    assert float(told[1]) > float(told[2])
    assert cli.run(["fit", "train.safetensors", "--method", "tau-norm", "--overwrite"]) == 0
    out = capsys.readouterr().out
    assert "chosen there: tau\n" in out
    assert "only their order counts" in out


def test_a_post_hoc_step_that_loses_to_its_start_says_so(project: Path, capsys):
    argv = ["fit", "train.safetensors", "--method", "logit-adjust", "--set", "tau=4", "--val-fraction", "0.3"]
    assert cli.run(argv) == 0
    assert "logit-adjust is worse on the validation samples than the stage-1" in capsys.readouterr().err


def test_values_that_do_nothing_are_not_told(project: Path, capsys):
    assert cli.run(["fit", "train.safetensors", "--method", "maxnorm", "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "form bce" in out
    assert "gamma" not in out


def test_a_read_only_folder_is_a_fault_of_the_environment(project: Path, ltfix):
    (project / "heads").mkdir(mode=0o500)
    done = ltfix("fit", "train.safetensors", "--epochs", "1", cwd=project, preexec_fn=without_rights)
    assert done.returncode == 4
    assert "ltfix: error: no permission" in done.stderr
    assert list((project / "heads").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a second process that has torch already")
@forking
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_fit_leaves_no_head(project: Path, number: signal.Signals, code: int):
    reading, writing = os.pipe()
    if (process := os.fork()) == 0:
        real = engine.step

        def first(*args: Any) -> None:
            os.write(2, b"training\n")
            engine.step = real
            real(*args)

        engine.step = first
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
        try:
            cli.main(["fit", "train.safetensors", "--epochs", "100000000"])
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(int(end.code or 0))
    os.close(writing)
    with os.fdopen(reading) as said:
        began = said.readline()
        os.kill(process, number)
        told = said.read()
    assert began == "training\n"
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == code
    assert "Traceback" not in told
    assert [line[:7] for line in told.splitlines()] == ["ltfix: "]
    assert nothing_written(project)


def test_the_whole_thing_in_a_fresh_process(ltfix, project: Path):
    done = ltfix("fit", "train.safetensors", "--method", "los", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "written to heads/los.safetensors" in done.stdout
    done = ltfix("evaluate", "--cache", "train.safetensors")
    assert done.returncode == 0, done.stderr
    assert "los" in done.stdout


@pytest.mark.parametrize(
    ("words", "name", "kinds"),
    [
        (["--calibrate"], "samn-freq-calibrated", ["all"]),
        (["--calibrate", "--epochs", "2"], "samn-freq-epochs2-calibrated", ["all"]),
        (["--calibrate", "one"], "samn-freq-calibrated", ["all"]),
        (["--calibrate", "shots"], "samn-freq-calibrated-shots", ["many", "medium", "few"]),
    ],
)
def test_calibrate(project: Path, words: list[str], name: str, kinds: list[str], capsys):
    """The word may be left out; it is told what was chosen on what, and what it changed there."""
    write_safetensors(project / "val.safetensors", draw(1, [40] * 4, stage1=False))
    fit("--val", "val.safetensors", *words)
    head = load_head(project / "heads" / f"{name}.safetensors")
    assert head.temperature is not None
    assert set(head.meta["calibration"]["temperature"]) <= set(kinds)
    out = capsys.readouterr().out
    assert re.search(r"^temperature .*: least negative log-likelihood.*, on val.safetensors$", out, re.M)
    assert re.search(r"^with it +\d+\.\d +\d+\.\d +\d", out, re.M)


def test_the_two_scores_of_a_budget_are_told_apart(project: Path, capsys):
    write_safetensors(project / "train.safetensors", draw(0, stage1=False))
    fit("--method", "los", "--tune", "--budget", "300p", "--calibrate")
    assert "the score above is on what the budget left to choose on" in capsys.readouterr().out


def test_calibrate_before_the_cache(project: Path):
    write_safetensors(project / "train.safetensors", draw(0, stage1=False))
    assert cli.run(["fit", "--calibrate", "train.safetensors"]) == 0
    assert (project / "heads" / "samn-freq-calibrated.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--calibrate", "all"], "calibrate is 'all' (--calibrate): it may be one, shots"),
        (["--preset", "cifar"], "preset is 'cifar' (--preset): it may be auto, cifar10, cifar100"),
        (
            ["--init", "los"],
            "init is 'los' (--init): stage1, probe, random, class-mean, or a head",
        ),
        (
            ["--posthoc", "ncm"],
            "posthoc is 'ncm' (--posthoc): it may be none, tau-norm, logit-adjust, mult-la",
        ),
        (["--method", "tau-norm", "--posthoc", "mult-la"], "method tau-norm has no use for it (--posthoc)"),
        (
            ["--method", "vs", "--posthoc", "tau-norm", "--set", "posthoc-tau=9"],
            "posthoc_tau = 9 is out of range (--set posthoc_tau)",
        ),
        (["--set", "tune=True"], "tune is an option, not a value (--set): write --tune"),
        (
            ["--set", "val-fraction=0.5"],
            "val_fraction is an option, not a value (--set): write --val-f",
        ),
    ],
    ids=str,
)
def test_a_word_that_an_option_cannot_be(error: Error, words: list[str], message: str):
    code, line = error("fit", "train.safetensors", *words)
    assert code == 2
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("pair", "hint"), [("seed=3", "write --seed"), ("select=last", "this command has no")]
)
@pytest.mark.parametrize(
    "command", [["compare", "--methods", "ce"], ["sweep", "--over", "delta=0.5,0.9"]], ids=str
)
def test_options_are_no_values_in_tables_either(error: Error, command: list[str], pair: str, hint: str):
    code, line = error(*command, "--set", pair)
    name = pair.partition("=")[0]
    assert code == 2
    assert line.startswith(f"{name} is an option, not a value (--set): {hint}")


def test_a_preset_a_head_as_start_and_a_step(project: Path, capsys):
    fit("--method", "los", "--preset", "--epochs", "1")
    assert (
        "preset cifar10 of los (D = 8, K = 4, backbone of unknown recipe): delta 0.98"
        in capsys.readouterr().err
    )
    place = "heads/los-epochs1-preset-auto.safetensors"
    fit("--init", place, "--posthoc", "tau-norm", "--set", "tau=0.5", "--epochs", "1")
    assert "start los-epochs1-preset-auto.safetensors" in capsys.readouterr().out
    name = "samn-freq-epochs1-tau-norm-tau0.5-los-epochs1-preset-auto"
    assert load_head(project / "heads" / f"{name}.safetensors").meta["parts"]["posthoc"] == "tau-norm"


def test_calibrate_of_another_kind(error: Error):
    code, line = error("fit", "train.safetensors", "--calibrate=all")
    assert (code, line) == (2, "calibrate is 'all' (--calibrate): it may be one, shots")
