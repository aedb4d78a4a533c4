"""``ltfix report``, and the pictures of the other commands."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from caches import fill, make_head, make_plan, write_bare, write_cache
from pictures import TREE, make_image, write_photos

import ltfix
from ltfix.cli import report, run
from ltfix.errors import InputError
from ltfix.evaluation.measure import Evaluation
from ltfix.evaluation.reports import BUILT_IN
from ltfix.features.store import CacheWriter
from ltfix.images.source import open_source

CLASSES = list(TREE["train"])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of photos with features and two heads; the working folder."""
    write_photos(tmp_path / "photos")
    for split, counts in TREE.items():
        labels = np.repeat(np.arange(3), list(counts.values()))
        samples = [f"{c}/{i:02}.png" for c, n in counts.items() for i in range(n)]
        digest = open_source(tmp_path / "photos").split(split).digest
        source = {"kind": "folder", "root": "photos", "split": split, "digest": digest}
        plan = make_plan(samples=samples, labels=labels, classes=CLASSES, source=source)
        writer = CacheWriter(tmp_path / "features" / split, plan)
        fill(writer)
        training = np.array(list(TREE["train"].values()))
        writer.publish(make_head(classes=tuple(CLASSES), counts=training))
    monkeypatch.chdir(tmp_path)
    for argv in (["--epochs", "2"], ["--method", "tau-norm", "--set", "tau=1"]):
        assert run(["fit", "-q", *argv]) == 0
    return tmp_path


def page(project: Path, *argv: object, code: int = 0) -> str:
    assert run(["report", "--overwrite", *map(str, argv)]) == code
    return (project / "report.html").read_text(encoding="utf-8") if code == 0 else ""


def test_a_project(project: Path, capsys: pytest.CaptureFixture[str]):
    sweep = "sweep --method los --over delta=0.1,0.9 --set epochs=1 --format json --output los.json"
    assert run(sweep.split()) == 0
    capsys.readouterr()
    text = page(project)
    out, err = capsys.readouterr()
    assert out == ""
    assert "wrote report.html" in err
    assert all(name in text for name in ("stage-1", "samn", "tau-norm", "los (validation)"))
    assert "ltfix fit --method tau-norm --set tau=1.0 " in text
    assert "ltfix extract --data photos --backbone resnet18 --mean 0.5,0.5,0.5 --shard-rows 10<" in text
    assert re.search(r"<code>ltfix report --overwrite</code>", text)
    assert "<dd><bdi>0000000000" not in text


def test_pictures_come_from_the_source_that_is_at_hand(project: Path):
    assert "data:image/jpeg" in page(project)
    (project / "photos").rename(project / "elsewhere")
    assert "data:image/jpeg" not in page(project)
    assert "data:image/jpeg" in page(project, "--data", "elsewhere")
    (project / "ltfix.toml").write_text('[extract]\ndata = "elsewhere"\n')
    assert "data:image/jpeg" in page(project)
    page(project, "--data", "nowhere", code=3)


@pytest.mark.parametrize("data", ["hf:someone/something", "list:https://nowhere.invalid/list.txt"])
def test_nothing_is_downloaded_unasked(data: str, project: Path, monkeypatch: pytest.MonkeyPatch):
    (project / "photos").rename(project / "elsewhere")
    (project / "ltfix.toml").write_text(f'[extract]\ndata = "{data}"\n')

    def refuse(spec: str, **more: object) -> None:
        raise InputError(spec) if spec != data else AssertionError

    monkeypatch.setattr("ltfix.report.thumbnails.open_source", refuse)
    page(project)


def test_other_pictures_of_the_same_names_are_not_shown(project: Path, capsys: pytest.CaptureFixture[str]):
    make_image(5, (300, 200)).save(project / "photos/test/ant/00.png")
    assert "data:image/jpeg" not in page(project)
    capsys.readouterr()
    page(project, "--data", "photos", code=3)
    assert (
        "its pictures have the names of those of features/test and are others (photos)"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("kind", ["joined", "import"])
def test_what_was_joined_has_the_pictures_of_its_names(project: Path, kind: str):
    """Its digest is of the caches that were joined, or of a file, and of no listing."""
    place = project / "features/test/manifest.json"
    made = json.loads(place.read_text())
    made["source"] |= {"kind": kind, "root": "test + test", "digest": "0" * 64}
    place.write_text(json.dumps(made))
    assert "data:image/jpeg" in page(project, "--data", "photos")


def test_the_commands_make_the_same_heads_again(project: Path):
    asked = "fit -q --method ce --loss los --set delta=0.7 --epochs 1 --val features/test --calibrate shots"
    assert run(asked.split()) == 0
    made = project / "heads/ce+los-epochs1-delta0.7-calibrated-shots.safetensors"
    head = ltfix.load_head(made)
    elsewhere = {**head.meta, "cache": "0" * 64}
    dataclasses.replace(head, meta=elsewhere).save(project / "heads/elsewhere.safetensors")
    for name, values in (("another", {"lr": 0.1}), ("third", [1]), ("fourth", {"lr": {"value": 1}})):
        meta = {**head.meta, "values": values}
        dataclasses.replace(head, meta=meta).save(project / f"heads/{name}.safetensors")
    text = page(project)
    for name, why in (("another", "does not say how"), ("elsewhere", "was fitted on none of the caches")):
        assert f"<code># heads/{name}.safetensors {why}" in text
    told = re.findall(r"<code>ltfix (fit [^<]*)</code>", text)
    assert len(told) == 4
    assert "--normalize" not in "".join(told)
    again = next(command for command in told if "--loss los" in command)
    assert "--calibrate shots" in again
    argv = [
        word if word != str(made.relative_to(project)) else "heads/again.safetensors"
        for word in again.split()
    ]
    assert again.count(" --val features/test ") == 1
    assert run([*argv, "-q"]) == 0
    (project / "features/test").rename(project / "features/val")
    write_cache(project / "features/test", samples=["new"], labels=np.zeros(1, np.int64), classes=CLASSES)
    text = page(project)  # a usual validation cache need not be named, but where it was not used
    assert "<code>ltfix fit --method ce --loss los " in text
    assert "<code>ltfix fit features/train --method tau-norm " in text
    found = ltfix.load_head(project / "heads/again.safetensors")
    assert np.array_equal(found.weight, head.weight)
    assert np.array_equal(found.temperature, head.temperature)


def test_a_head_of_a_joined_cache_is_told_with_it(project: Path):
    samples = [f"{CLASSES[i % 3]}/new{i}.png" for i in range(6)]
    write_cache(project / "features/new", samples=samples, labels=np.arange(6) % 3, classes=CLASSES)
    (project / "far").mkdir()
    (project / "features/new").rename(project / "far/test")
    assert run(["import", "-q", "features/train", "far/test", "--out", "features/all"]) == 0
    assert run(["fit", "-q", "features/all", "--method", "ncm", "--out", "heads/of-all.safetensors"]) == 0
    text = page(project)
    assert "<code>ltfix import features/train DIR/test --out features/all</code>" in text  # no features/test
    assert text.count("<code>ltfix extract") == 1
    (project / "far/test").rename(project / "features/zoo")
    text = page(project)
    told = "<code>ltfix import features/train features/zoo --out features/all</code>"
    assert re.search(r"<code>ltfix extract --data \S+ [^<]*--split zoo</code>" + told, text)
    assert text.count("<code>ltfix extract") == 2
    assert "<code>ltfix fit features/all --method ncm --seed 0 --out heads/of-all.safetensors</code>" in text
    told = "are by the training counts of features/train, not by their own: of-all."
    named = [str(path.relative_to(project)) for path in (project / "heads").glob("*.safetensors")]
    assert told in text and told in page(project, *named)
    grown = [*CLASSES, "yak"]
    write_cache(project / "features/late", samples=samples, labels=np.arange(6) % 3, classes=grown)
    assert run(["import", "-q", "features/train", "features/late", "--out", "features/grown"]) == 0
    (project / "elsewhere").mkdir()
    assert run(["fit", "-q", "features/grown", "--method", "ncm", "--out", "elsewhere/g.safetensors"]) == 0
    test = project / "features/test-grown"
    write_cache(test, samples=samples, labels=np.arange(6) % 3, classes=grown)
    text = page(project, "elsewhere/g.safetensors", "--cache", str(test))
    assert re.search(r"<code>ltfix extract --data \S+ [^<]*--split late --classes FILE</code>", text)
    both = ltfix.open_cache("features/all")
    write_bare(project / "features/one.safetensors", features=both.features, labels=both.labels)
    assert run(["fit", "-q", "features/one", "--method", "ncm", "--out", "heads/of-one.safetensors"]) == 0
    told = (
        "<code>ltfix fit features/one.safetensors --method ncm --seed 0 --out heads/of-one.safetensors</code>"
    )
    assert told in page(project)


def test_given_heads_and_results(project: Path, capsys: pytest.CaptureFixture[str]):
    given = "features/train heads/samn-freq-epochs2.safetensors --cache features/test --many 3 --few 3"
    text = page(project, *given.split(), "--format", "json")
    (told,) = json.loads(capsys.readouterr().out)["written"]
    assert (told["path"], told["kind"]) == ("report.html", "page")
    assert "tau-norm" not in text.split("<nav")[1]
    assert "n &gt; 3" in text


@pytest.mark.parametrize(
    ("argv", "code", "line"),
    [
        (["--cache", "features/none"], 3, "features/none"),
        (["heads/none.safetensors"], 3, "none.safetensors"),
        (["--results", "ltfix.toml"], 3, "ltfix.toml"),
        (["--out", "photos"], 3, "photos"),
        (["--many", "1", "--few", "9"], 2, "overlap"),
    ],
)
def test_bad_input_is_one_line(
    argv: list[str], code: int, line: str, project: Path, capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()
    page(project, *argv, code=code)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert line in err
    assert not (project / "report.html").exists()


def test_a_page_that_is_there_stays(project: Path, capsys: pytest.CaptureFixture[str]):
    (project / "report.html").write_text("mine")
    assert run(["report"]) == 2
    assert (project / "report.html").read_text() == "mine"
    assert run(["report", "--out", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


@pytest.mark.parametrize("kind", BUILT_IN)
def test_evaluate_draws_its_reports(kind: str, project: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert run(["evaluate", "--report", kind, "--format", "json", "--plot", "a.svg"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == kind
    assert (project / "a.svg").read_text().startswith("<?xml")
    assert run(["evaluate", "--report", kind, "--plot", "a.svg"]) == 2


def test_compare_and_sweep_draw(project: Path):
    assert run(["compare", "--methods", "tau-norm,ncm", "--seeds", "1", "--plot", "compare.png"]) == 0
    assert run(["sweep", "--method", "tau-norm", "--over", "tau=0,1", "--plot", "sweep.pdf"]) == 0
    assert (project / "compare.png").stat().st_size > 1000
    assert (project / "sweep.pdf").stat().st_size > 1000
    assert run(["compare", "--methods", "ncm", "--plot", "compare.doc"]) == 2


def test_a_trace_is_drawn(project: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["fit", "--epochs", "2", "--val", "features/test", "--overwrite", "--trace"]
    assert run([*argv, "heads/samn-freq-epochs2.jsonl"]) == 0
    assert len((project / "heads/samn-freq-epochs2.jsonl").read_text().splitlines()) == 3
    text = page(project)
    assert all(
        f"samn-freq-epochs2: {part}" in text for part in ("loss", "accuracy on validation", "mean row norm")
    )
    assert "Norm of each class's weights, epoch by epoch" in html.unescape(text)
    capsys.readouterr()
    assert run(["fit", "--method", "tau-norm", "--trace", "t.jsonl"]) == 2
    assert "method tau-norm has no use for it (--trace)" in capsys.readouterr().err


def test_the_commands_tell_of_untouched_and_calibrated_heads_and_of_what_was_skipped(tmp_path: Path):
    seed = {"values": {}, "seed": 3}
    told = [
        shlex.join(report.made(make_head(method="any", meta={**seed, **more})))
        for more in (
            {"selection": {"auto": {}}},
            {"calibration": {"of": "los.safetensors", "on": "val", "temperature": {"all": 2.0}}},
            {
                "values": {"lr": {"value": 0.1, "from": "tuned"}},
                "init": {"from": "head", "file": "los.safetensors"},
                "asked": {"save_heads": "kept"},
                "selection": {
                    "auto": {"tried": [{"method": "ce"}, {"method": "unchanged"}], "averaged": True},
                    "budget": {"asked": "30s", "passes": 312},
                },
            },
        )
    ]
    assert told[2] == (
        "fit --method auto --methods ce --budget 312p --save-heads kept --init los.safetensors --seed 3"
    )
    for foreign in ({"auto": "yes"}, {"auto": {"tried": ["x"]}}, {"auto": {"left_out": [{}]}}, {"budget": 3}):
        with pytest.raises(InputError):
            list(report.made(make_head(method="any", meta={**seed, "selection": foreign})))
    asked = {"values": {}, "asked": {"normalize": "none"}}
    alone = {"selection": {"auto": {"averaged": False, "average": False}}}
    for more, line in (({}, "ce --normalize"), (alone, "auto --no-average --normalize")):
        head = make_head(method="ce", meta={**asked, **more})
        assert shlex.join(report.made(head)) == f"fit --method {line} none --seed 0"
    taken = make_head(method="ce", meta={**alone, "values": {"epochs": {"value": 2}}})
    assert shlex.join(report.made(taken)) == "fit --method ce --seed 0"  # which takes no --no-average
    assert told[0] == "fit --method auto --seed 3"
    assert told[1] == "calibrate heads/los.safetensors --val features/val --by one"
    source = {"kind": "folder", "root": "photos", "imbalance_factor": 100.0}
    writer = CacheWriter(tmp_path / "c", make_plan(n=35, source=source))
    fill(writer, skipped=frozenset({3}))
    manifest = writer.publish(None).manifest
    assert manifest is not None
    caches = {"seed": 1, "values": {}, "cache": "a", "val": "b"}  # of which the second is gone
    head = make_head(method="ce", path=Path("ce-s10-s1.safetensors"), meta=caches)
    line = report._told(head, {"a": "features/train"}, (None, None))
    assert line.startswith("ltfix fit features/train --val DIR/val ")
    line = shlex.join(report.beside(["--seeds", "2"], Path(head.path or ""), head))
    assert line.endswith("--out ce-s10.safetensors")
    line = shlex.join(report._extract(manifest))
    assert line.endswith(" --on-error skip --shard-rows 10 --imbalance-factor 100.0")


def test_heads_that_are_left_out_are_on_the_page(project: Path):
    ltfix.Head(np.eye(4, 3), np.zeros(4), "ce", counts=np.arange(4, 8)).save("heads/four.safetensors")
    assert "they are of other numbers of classes or dimensions: heads/four.safetensors." in page(project)
    write_bare(project / "heads/cache.safetensors")  # which is no head
    start = Evaluation.of(["features/train"], ltfix.open_cache("features/test"))
    left = {Path(path).stem for path in report._left_out(start, [Path("heads")])}
    assert left == {"four", "samn-freq-epochs2", "tau-norm-tau1"}


def test_the_command_of_a_tuned_normalisation_begins_where_the_search_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(4), (40, 20, 10, 6))
    features = (np.eye(4, 6)[labels] * 1.5 + rng.normal(size=(76, 6))) * (1, 1, 1, 1, 60, 60)
    np.savez(tmp_path / "train.npz", X=features.astype("f4"), y=labels)
    monkeypatch.chdir(tmp_path)
    assert run(["fit", "train.npz", "--method", "balanced-softmax", "--tune", "--out", "a.st"]) == 0
    tuned = ltfix.load_head("a.st")
    assert tuned.meta["coordinates"]["normalize"] == "standardize"
    method, *words = report.made(tuned)
    assert words[-4:] == ["--init", "probe", "--seed", "0"]
    assert run([method, "train.npz", *words, "--out", "b.st"]) == 0
    np.testing.assert_array_equal(ltfix.load_head("b.st").weight, tuned.weight)
