"""Caches joined: what one extraction of all would have given; what does not belong together is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caches import make_features, make_head, make_plan, write_bare, write_cache
from pictures import write_photos

import ltfix
from ltfix import cli
from ltfix.errors import InputError, LtfixError, UsageError
from ltfix.features.store import CacheWriter

BODY = {"backbone": "cifar_resnet32", "pretrained": False, "device": "cpu"}
LIST = {"kind": "list", "digest": "2" * 64}  # whose labels may be numbers that stand for no name


def notes_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.run(["import", *argv]) == 0
    return capsys.readouterr().err


def later(folder: Path, n: int = 7, n_classes: int = 3, head: Any = None, **changes: Any) -> Path:
    """A cache of other pictures, whose features differ from those of :func:`write_cache`."""
    plan = make_plan(n, n_classes, samples=[f"later/{i}.png" for i in range(n)], **changes)
    writer = CacheWriter(folder, plan)
    for shard in writer.pending():
        writer.write_shard(shard, 5 + make_features(plan)[shard.start : shard.stop])
    return writer.publish(head).path


def test_they_follow_each_other(tmp_path: Path):
    train = write_cache(tmp_path / "train", make_head(counts=np.array([9, 8, 8])))
    new = ltfix.open_cache(later(tmp_path / "new"))
    both = ltfix.import_features([train.path, new.path], tmp_path / "all", shard_rows=6)
    np.testing.assert_array_equal(both.features, np.concatenate([train.features, new.features]))
    np.testing.assert_array_equal(both.labels, np.concatenate([train.labels, new.labels]))
    assert both.samples == (*train.samples, *new.samples)
    assert (both.classes, both.verify(), both.manifest.dtype) == (train.classes, 6, "float16")
    assert (both.manifest.backbone, both.manifest.preprocess) == (
        train.manifest.backbone,
        train.manifest.preprocess,
    )
    said = [(one["name"], one["n"], one["fingerprint"]) for one in both.manifest.source["joined"]]
    assert said == [("train", 25, train.fingerprint), ("new", 7, new.fingerprint)]
    assert both.head.counts.tolist() == both.counts.tolist() == [12, 10, 10]
    np.testing.assert_array_equal(both.head.weight, train.head.weight)


def test_one_packed_file_keeps_what_made_it(tmp_path: Path):
    cache = write_cache(tmp_path / "whole")
    said = cache.manifest.to_dict() | {"shards": []}
    packed = write_bare(tmp_path / "p.safetensors", said, features=cache.features, labels=cache.labels)
    found = ltfix.import_features(packed, tmp_path / "out")
    assert found.manifest.backbone == cache.manifest.backbone


def test_new_classes_follow_and_numbers_of_the_first_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train = write_cache(tmp_path / "train", make_head())
    classes = ["class-9", "class-1", "class-0"]
    new = later(tmp_path / "new", classes=classes)
    argv = [str(train.path), str(new), "--out", str(tmp_path / "all")]
    assert "stage-1 classifier" in notes_of(capsys, *argv)
    both = ltfix.open_cache(tmp_path / "all")
    assert (both.classes, both.head) == (("class-0", "class-1", "class-2", "class-9"), None)
    assert both.labels[25:].tolist() == [3, 1, 0, 3, 1, 0, 3]
    other = ltfix.import_features(new, tmp_path / "numbered", classes=both.classes)  # one alone
    assert other.labels.tolist() == both.labels[25:].tolist()
    assert cli.run(["inspect", str(tmp_path / "all")]) == 0
    assert train.fingerprint in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("trained", "classes", "source", "joined", "labels"),
    [
        ("01", "23", {}, "0123", [2, 3, 2, 3]),
        ("23", "01", {}, "2301", [2, 3, 2, 3]),
        ("23", "01", {"source": LIST}, "2301", [2, 3, 2, 3]),
        ("01", "0123", {"source": LIST}, "0123", [0, 1, 2, 3]),
        ("201", "012", {"source": LIST}, "201", [1, 2, 0, 1]),
        ("ab", "01", {}, "ab01", [2, 3, 2, 3]),
        ("ab", "01", {"source": LIST}, "ab", [0, 1, 0, 1]),  # numbers beside names are places among them
    ],
)
def test_classes_that_are_called_by_numbers(
    tmp_path: Path, trained: str, classes: str, source: dict, joined: str, labels: list[int], capsys
):
    k = len(trained)
    train = write_cache(tmp_path / "train", make_head(k), n_classes=k, classes=list(trained))
    new = later(tmp_path / "new", 4, len(classes), classes=list(classes), **source)
    said = notes_of(capsys, str(train.path), str(new), "--out", str(tmp_path / "all"))
    both = ltfix.open_cache(tmp_path / "all")
    assert (both.classes, both.labels[25:].tolist()) == (tuple(joined), labels)
    np.testing.assert_array_equal(both.labels[:25], train.labels)
    assert (both.head is not None) == (joined == trained) == ("left out" not in said)
    assert ("new are numbers" in said) == (bool(source) and labels != [0, 1, 2, 3])


def test_bare_numbers_beside_names_that_are_other_numbers(tmp_path: Path):
    train = write_cache(tmp_path / "train", classes=["0", "10", "2"])
    np.savez(tmp_path / "new.npz", features=np.ones((3, 2, 4), np.float16), labels=[1, 0, 2])
    with pytest.raises(InputError, match="other numbers are names: 0, 10, 2"):
        ltfix.import_features([train.path, tmp_path / "new.npz"], tmp_path / "all")


def test_files_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train = write_cache(tmp_path / "train", make_head())
    x = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    np.savez(tmp_path / "new.npz", features=x, labels=[1, 0, 1])  # numbers, of which the last class has none
    argv = [str(train.path), str(tmp_path / "new.npz"), "--out", str(tmp_path / "all")]
    assert "does not say what made its features" in notes_of(capsys, *argv)
    both = ltfix.open_cache(tmp_path / "all")
    assert both.samples[25:] == ("new.npz:0", "new.npz:1", "new.npz:2")
    assert (both.labels[25:].tolist(), both.head is None) == ([1, 0, 1], False)
    assert both.manifest.dtype == "float32"  # no value of the file is rounded
    np.testing.assert_array_equal(both.features[25:], x)
    np.savez(tmp_path / "names.npz", X=x, y=["class-2", "class-0", "class-2"])
    other = ltfix.import_features([train.path, tmp_path / "names.npz"], tmp_path / "b", dtype="float16")
    assert (other.labels[25:].tolist(), other.manifest.dtype) == ([2, 0, 2], "float16")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dim": 5}, InputError, r"train and .*new are of different features; dim was 4, is 5"),
        ({"views": 1}, InputError, "views was 2, is 1"),
        ({"backbone": {"name": "resnet50"}}, InputError, "backbone.name was .resnet18., is .resnet50."),
        ({"preprocess": {"size": 64}}, InputError, "preprocess.size was 32, is 64"),
        (
            {"n_classes": 2, "classes": list("01"), "source": LIST},
            InputError,
            "are numbers, 2 of them.*has 3 classes.*extract it with classes=FILE",
        ),
        ({"source": {"unlabelled": True}}, InputError, "no labels"),
        ({"backbone": {"name": "resnet18", "weights_sha256": "0" * 64, "torch": "9"}}, None, ""),
    ],
)
def test_what_does_not_belong_together(tmp_path: Path, changes: dict, error: type[LtfixError], message: str):
    train, new = write_cache(tmp_path / "train").path, later(tmp_path / "new", **changes)
    if error is None:
        assert ltfix.import_features([train, new], tmp_path / "all").n == 32
        return
    with pytest.raises(error, match=message):
        ltfix.import_features([train, new], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def overlapping(folder: Path, rows: list[int], fresh: int = 3, **changes: Any) -> Path:
    """A cache of these pictures of :func:`write_cache`, rounded otherwise, and of fresh ones behind them."""
    train = make_plan()
    names = [*(train.samples[row] for row in rows), *(f"{folder.name}/{i}.png" for i in range(fresh))]
    labels = np.array([*(train.labels[rows] if rows else ()), *(0,) * fresh])
    plan = make_plan(len(names), **{"samples": names, "labels": labels, "shard_rows": 3} | changes)
    features = np.concatenate([1.001 * make_features(train)[rows], np.full((fresh, 2, 4), 5 + len(rows))])
    writer = CacheWriter(folder, plan)
    for shard in writer.pending():
        writer.write_shard(shard, features[shard.start : shard.stop].astype(np.float32))
    return writer.publish(None).path


def test_a_picture_of_two_caches_is_taken_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train = write_cache(tmp_path / "train", make_head(counts=np.array([9, 8, 8])))
    new = overlapping(tmp_path / "new", [3, 24, 0, 7], kept=[f'{{"at": {i}}}' for i in range(7)])
    more = overlapping(tmp_path / "more", [8, 7], fresh=1)
    said = notes_of(capsys, *map(str, [train.path, new, more]), "--out", str(tmp_path / "all"))
    assert f"4 pictures of {new} are in {train.path} too and are taken once: class-0/003.png, …" in said
    assert f"2 pictures of {more} are in {train.path} too" in said
    assert f"in {new} too" not in said  # those of the first are told by then
    both = ltfix.open_cache(tmp_path / "all")
    assert both.samples == (*train.samples, "new/0.png", "new/1.png", "new/2.png", "more/0.png")
    np.testing.assert_array_equal(both.features[:25], train.features)
    assert both.features[25:, 0, 0].tolist() == [9, 9, 9, 7]
    assert both.columns == (*("{}",) * 25, *(f'{{"at": {i}}}' for i in (4, 5, 6)), "{}")
    assert both.head.counts.tolist() == both.counts.tolist() == [13, 8, 8]
    parts = both.manifest.source["joined"]
    assert [(one["n"], one.get("left_out")) for one in parts] == [(25, None), (3, 4), (1, 2)]
    assert "names in both" not in said and both.verify() == 2


def test_what_later_caches_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One picture, and a third cache of which nothing is left."""
    train = write_cache(tmp_path / "train")
    one, two = overlapping(tmp_path / "one", [], fresh=2), overlapping(tmp_path / "two", [5], fresh=0)
    argv = [str(train.path), str(one), str(two), str(one), "--out", str(tmp_path / "all")]
    said = notes_of(capsys, *argv)
    assert f"1 picture of {two} is in {train.path} too and is taken once: class-2/005.png\n" in said
    assert f"{one} is named more than once and is taken once" in said
    both = ltfix.open_cache(tmp_path / "all")
    assert both.samples == (*train.samples, "one/0.png", "one/1.png")
    assert [part["n"] for part in both.manifest.source["joined"]] == [25, 2, 0]
    unlabelled = {"source": {"unlabelled": True}, "n_classes": 1, "classes": []}
    sources = [overlapping(tmp_path / f"u{i}", [], fresh=2, labels=[0, 0], **unlabelled) for i in range(2)]
    assert ltfix.import_features([*sources, sources[0]], tmp_path / "u").n == 4


def test_a_file_that_is_named_twice_is_taken_once(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    """However it is called, and of one alone it is what the file is."""
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", features=np.eye(3, 4, dtype=np.float32), labels=[0, 1, 1])
    np.savez("b.npz", features=np.ones((2, 4), np.float32), labels=[0, 1])
    Path("link.npz").symlink_to("a.npz")
    said = notes_of(capsys, "a.npz", "b.npz", "./a.npz", "link.npz", str(tmp_path / "b.npz"), "--out", "all")
    assert "link.npz is named more than once and is taken once" in said
    assert (said.count("taken once"), ltfix.open_cache("all").n) == (3, 5)
    assert "taken once" in notes_of(capsys, "a.npz", "a.npz", "--out", "two")
    assert ltfix.open_cache("two").samples == ltfix.import_features("a.npz", "one").samples
    assert "taken once" not in notes_of(capsys, "a.npz", "b.npz", "--out", "both")


def test_names_that_several_pictures_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train = write_cache(tmp_path / "train")
    alike = later(tmp_path / "alike", n=4)
    text = (alike / "samples.txt").read_text().replace("later/0.png", "class-0/000.png")
    (alike / "samples.txt").write_text(text)  # another picture of the same name
    argv = [str(train.path), str(alike), "--out", str(tmp_path / "all")]
    assert "of other pictures or another precision: 1 (class-0/000.png, …)" in notes_of(capsys, *argv)
    both = ltfix.open_cache(tmp_path / "all")
    assert (both.n, both.samples.count("class-0/000.png")) == (29, 2)
    again = [both.path, train.path, alike]  # each of the two is found again
    assert ltfix.import_features(again, tmp_path / "again").samples == both.samples


def test_names_that_an_import_made_up_say_nothing_of_a_picture(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    """Two deliveries in files of one name, a large column of which hides that their rows differ."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for day, labels in (("mon", [0, 1, 1]), ("tue", [0, 1, 0])):
        Path(day).mkdir()
        x = rng.normal(size=(3, 5)).astype(np.float32)
        x[:, 0] = 5000
        np.savez(f"{day}/features.npz", features=x, labels=labels)
    said = notes_of(capsys, "mon/features.npz", "tue/features.npz", "--out", "all")
    assert "all of mon/features.npz, tue/features.npz are taken" in said
    both = ltfix.open_cache("all")
    assert both.labels.tolist() == [0, 1, 1, 0, 1, 0]
    apart = [ltfix.import_features(f"{day}/features.npz", f"its/{day}").path for day in ("mon", "tue")]
    assert "all of all, its/mon, its/tue are taken" in notes_of(capsys, "all", *map(str, apart), "--out", "b")
    assert ltfix.open_cache("b").n == 12
    assert ltfix.import_features("all", "c").samples == both.samples  # one alone has nothing to be told


def test_a_large_column_alone_makes_no_picture_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sources = []
    for name, shift, scale in (("one", 0, 1), ("two", 1, 1), ("same", 1, 1), ("near", 1, 1.15)):
        plan = make_plan(3, dim=8)
        features = scale * np.random.default_rng(shift).normal(size=(3, 2, 8))
        features[..., 0] = 5000
        writer = CacheWriter(tmp_path / name, plan)
        for shard in writer.pending():
            writer.write_shard(shard, features[shard.start : shard.stop].astype(np.float16))
        sources.append(str(writer.publish(None).path))
    said = notes_of(capsys, *sources, "--out", str(tmp_path / "all"))
    assert f"names in both {sources[0]} and {sources[1]}, of other pictures or another precision: 3" in said
    assert f"3 pictures of {sources[2]} are in {sources[1]} too" in said
    assert ltfix.open_cache(tmp_path / "all").n == 9  # those that are near, as similar photos are, too


def test_random_views_say_nothing_of_a_picture(tmp_path: Path):
    drawn = {"preprocess": {"size": 32, "random_views": 1}}
    one = write_cache(tmp_path / "one", **drawn).path
    plan = make_plan(6, **drawn)
    features, writer = make_features(make_plan())[:6], CacheWriter(tmp_path / "two", plan)
    features[:, 1] += 1
    writer.write_shard(writer.pending()[0], features)
    assert ltfix.import_features([one, writer.publish(None).path], tmp_path / "all").n == 25


def test_a_picture_with_two_labels(tmp_path: Path):
    train = write_cache(tmp_path / "train").path
    classes = ["class-2", "class-0", "class-1"]  # the numbers differ, what they stand for does not
    fits = overlapping(tmp_path / "fits", [0, 1, 2], fresh=0, classes=classes, labels=[1, 2, 0])
    assert ltfix.import_features([train, fits], tmp_path / "all").n == 25
    odd = overlapping(tmp_path / "odd", [0, 1, 2], fresh=1, labels=[0, 0, 1, 2])
    told = (
        r"2 pictures of .*odd have another label in .*train: class-1/001\.png is 'class-0', there 'class-1'"
    )
    with pytest.raises(InputError, match=told):
        ltfix.import_features([train, odd], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_pictures_of_the_test_split_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train, features = later(tmp_path / "train"), tmp_path / "features"
    test = write_cache(features / "test").path
    new = overlapping(tmp_path / "new", [3, 7])
    said = notes_of(capsys, str(train), str(new), "--out", str(features / "all"))
    told = (
        "2 pictures of {} are among these (class-0/003.png, …): what is fitted on these does too well there"
    )
    assert told.format(test) in said
    said = notes_of(capsys, str(test), str(new), "--out", str(features / "test-grown"))
    assert "too well there" not in said  # which is to be tested on
    more = [str(features / "test-grown"), str(overlapping(tmp_path / "newer", [])), "--out"]
    assert "too well there" not in notes_of(capsys, *more, str(features / "test-3"))
    assert "too well there" not in notes_of(capsys, str(new), str(train), "--out", str(test), "--overwrite")
    assert "too well there" not in notes_of(capsys, str(new), str(train), "--out", str(test), "--overwrite")
    shutil.rmtree(test)
    write_cache(test)
    shutil.rmtree(test)
    later(test, head=None)
    assert "too well there" in notes_of(capsys, str(train), str(new), "--out", str(features / "more"))
    shutil.rmtree(test)
    test.mkdir()
    assert "too well there" not in notes_of(capsys, str(train), str(new), "--out", str(features / "none"))


def test_a_picture_that_was_moved_to_another_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Taken under both labels, and told; not where the label is the same or the picture another."""
    train = write_cache(tmp_path / "train").path
    names = ["class-1/003.png", "other/005.png", "class-1/007.png", "class-2/006.png"]
    new = overlapping(tmp_path / "new", [3, 5, 7], fresh=1, samples=names, labels=np.array([1, 2, 1, 2]))
    more = overlapping(
        tmp_path / "more", [3, 8], samples=["class-1/003.png", "x/008.png"], fresh=0, labels=[1, 0]
    )
    again = overlapping(
        tmp_path / "again", [0, 2], samples=["b/000.png", "a/002.png"], fresh=0, labels=[2, 1]
    )
    said = notes_of(capsys, *map(str, [train, new, more, again]), "--out", str(tmp_path / "all"))
    one = "class-1/003.png, there class-0/003.png; both are taken: remove the one whose label is wrong"
    assert f"1 picture of {new} is in {train} under another label: {one}, and make that cache anew" in said
    assert (
        f"1 picture of {more} is in {train} under another label: x/008.png, there class-2/008.png; both"
        in said
    )
    many = "b/000.png, there class-0/000.png, …; all are taken: remove those whose labels are wrong"
    assert f"2 pictures of {again} are in {train} under another label: {many}" in said
    assert said.count("under another label") == 3
    assert ltfix.open_cache(tmp_path / "all").samples[25:] == (
        names[0],
        names[1],
        names[3],
        "x/008.png",
        "b/000.png",
        "a/002.png",
    )


@pytest.mark.parametrize("noise", [0.0, 1e-5], ids=["to the bit", "of another batch"])
def test_a_picture_under_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], noise: float):
    """Known by its features alone: told where it is taken twice, or a test picture."""
    rng, paths = np.random.default_rng(1), {}
    features = np.maximum(rng.normal(size=(40, 1, 256)), 0).astype(np.float32)
    for name, rows in (("train", range(30)), ("new", range(28, 35)), ("features/test", range(34, 40))):
        samples = [f"{name}/{row}.png" for row in rows]
        options = {"samples": samples, "labels": np.array(rows) % 3, "dim": 256, "views": 1}
        writer = CacheWriter(tmp_path / name, make_plan(len(samples), **options, shard_rows=50))
        own = features[rows.start : rows.stop] * (1 + noise * rng.normal(size=(len(samples), 1, 256)))
        writer.write_shard(writer.pending()[0], own.astype(np.float32))
        paths[name] = str(writer.publish(None).path)
    said = notes_of(capsys, paths["train"], paths["new"], "--out", str(tmp_path / "features/all"))
    told = f"2 pictures of {paths['new']} are in {paths['train']} under another name: new/28.png, there"
    assert f"{told} train/28.png, …; all are taken" in said
    assert f"1 picture of {paths['features/test']} is among these (features/test/34.png)" in said
    assert ltfix.open_cache(tmp_path / "features/all").n == 37


@pytest.mark.parametrize("dim", [1, 4, 7])
def test_of_few_values_none_says_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str], dim: int):
    rng, paths = np.random.default_rng(0), []
    for name in ("one", "two"):
        samples = [f"{name}/{row}.png" for row in range(300)]
        plan = make_plan(300, samples=samples, labels=np.zeros(300, int), dim=dim, views=1, shard_rows=300)
        writer = CacheWriter(tmp_path / name, plan)
        writer.write_shard(writer.pending()[0], rng.normal(size=(300, 1, dim)).astype(np.float32))
        paths.append(str(writer.publish(None).path))
    assert "under another" not in notes_of(capsys, *paths, "--out", str(tmp_path / "all"))


def test_a_part_whose_classifier_is_left_out_is_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    train = write_cache(tmp_path / "train", make_head()).path
    names, labels = [f"new/{i}.png" for i in range(4)], np.array([0, 1, 2, 3])
    classes = [f"class-{k}" for k in range(4)]
    new = overlapping(tmp_path / "new", [], fresh=4, samples=names, labels=labels, classes=classes)
    same = overlapping(tmp_path / "same", [], fresh=2)
    for number, (sources, seen) in enumerate((([train, new], True), ([train, same], False))):
        out = tmp_path / f"all-{number}"
        notes_of(capsys, *map(str, sources), "--out", str(out))
        manifest = ltfix.open_cache(out).manifest
        assert manifest is not None and manifest.source.get("seen", False) is seen
    again = tmp_path / "again"
    notes_of(capsys, str(tmp_path / "all-0"), str(same), "--out", str(again))
    assert ltfix.open_cache(again).manifest.source["seen"]


def test_many_pictures_of_one_file_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Each is found among all, also where they are of no size at all."""
    n, sources = 2500, []
    features = np.random.default_rng(0).normal(size=(n, 2, 4)).astype(np.float32)
    features[-3:] = 0
    for name in ("one", "two"):
        samples, labels = [f"{name}/{i}/1.png" for i in range(n)], (np.arange(n) + len(sources)) % 3
        writer = CacheWriter(tmp_path / name, make_plan(n, samples=samples, labels=labels, shard_rows=n))
        writer.write_shard(writer.pending()[0], features)
        sources.append(str(writer.publish(None).path))
    said = notes_of(capsys, *sources, "--out", str(tmp_path / "all"))
    assert f"{n} pictures of {sources[1]} are in" in said and "two/0/1.png, there one/0/1.png, …" in said


@pytest.mark.parametrize(
    ("sources", "options", "error", "message"),
    [
        (["train", "new"], {"labels": "y"}, UsageError, r"has its own \(labels\)"),
        (["train", "new"], {"out": "train", "overwrite": True}, UsageError, "one of those that are joined"),
        (["train", "x.csv"], {}, InputError, "not a feature cache"),
        (["train", "absent"], {}, InputError, "no such feature cache"),
        ([], {}, UsageError, r"nothing to import \(source\)"),
        (["train", "new"], {"classes": ["class-0", "class-1"]}, InputError, "class 'class-2' is none of"),
    ],
)
def test_refusals(tmp_path: Path, monkeypatch, sources: list[str], options: dict, error, message: str):
    monkeypatch.chdir(tmp_path)
    write_cache(tmp_path / "train"), later(tmp_path / "new")
    Path("x.csv").write_text("a,label\n1,0\n")
    with pytest.raises(error, match=message):
        ltfix.import_features(sources, options.pop("out", "all"), **options)
    assert ltfix.open_cache("train").verify() == 3
    assert cli.run(["import", "train", "new"]) == 2  # it has no name


def test_columns_and_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    odd = "\u2028\x85\x0b\x1e"  # at all of which str.splitlines breaks a line
    train = write_cache(tmp_path / "train", kept=[f'{{"place": "{i}{odd}"}}' for i in range(25)])
    both = ltfix.import_features([train.path, later(tmp_path / "new")], tmp_path / "all")
    assert (both.columns[24], both.columns[25:]) == (f'{{"place": "24{odd}"}}', ("{}",) * 7)
    assert (both.verify(), ltfix.open_cache(later(tmp_path / "plain")).columns) == (2, None)
    with (train.path / "samples.jsonl").open("a") as handle:
        handle.write("{}\n")
    with pytest.raises(InputError, match=r"not those the manifest recorded.*samples\.jsonl"):
        ltfix.import_features([train.path, tmp_path / "new"], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    shard = tmp_path / "all" / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:200])
    assert cli.run(["inspect", str(tmp_path / "all")]) == 3
    assert (
        capsys.readouterr()
        .err.rstrip()
        .endswith(f"`ltfix import train new --out {tmp_path / 'all'} --overwrite` makes it anew")
    )


def test_what_was_left_out_and_how_pictures_were_scaled_is_kept(tmp_path: Path):
    for name, start, depth in (("a", 0, "16 bits: v/257"), ("b", 9, "12 bits: v*255/4095")):
        plan = make_plan(9, samples=[f"{start + i}.png" for i in range(9)], shard_rows=9)
        writer = CacheWriter(tmp_path / name, plan)
        (shard,) = writer.pending()
        writer.write_shard(shard, start + make_features(plan)[1:], [0], [depth])
        writer.publish(None)
    both = ltfix.import_features([tmp_path / "a", tmp_path / "b"], tmp_path / "all").manifest
    assert both.skipped == ["0.png", "9.png"]
    assert both.preprocess["depths"] == ["12 bits: v*255/4095", "16 bits: v/257"]


def test_an_unfinished_one_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shared = overlapping(tmp_path / "shared", [4, 20])
    sources = [write_cache(tmp_path / "train").path, later(tmp_path / "new"), shared]
    whole = ltfix.import_features(sources, tmp_path / "whole", shard_rows=5).path
    real, calls = CacheWriter.write_shard, []

    def stopping(*args: Any) -> None:
        calls.append(real(*args))
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CacheWriter, "write_shard", stopping)
        ltfix.import_features(sources, tmp_path / "half", shard_rows=5)
    ltfix.import_features(sources, tmp_path / "half", shard_rows=5)
    for path in whole.iterdir():
        assert path.read_bytes() == (tmp_path / "half" / path.name).read_bytes()


def test_pictures_that_came_later_end_to_end(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    """Extracted beside, joined, fitted on, and predicted with: the body is found as before."""
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"))
    write_photos(Path("new"), {"train": {"bee": 3, "cow": 2}})
    shutil.move("new/train", "later")
    ltfix.extract("photos", out="features", **BODY)
    ltfix.extract("later", out="new", **BODY)
    both = ltfix.import_features(["features/train", "new/train"], "features/all")
    assert (both.n, both.classes) == (14, ("Zebra", "ant", "bee", "cow"))
    ltfix.fit(both, "ce", epochs=1).save("ce.safetensors")
    found = ltfix.predict("ce.safetensors", "photos/test", cache="features/all", device="cpu")
    cached = ltfix.predict("ce.safetensors", "features/test")
    assert [one.label for one in found] == [one.label for one in cached]
    assert ltfix.evaluate("ce.safetensors", "features/test").heads[0]["all"] >= 0
    capsys.readouterr()
    assert cli.run(["predict", "ce.safetensors", "--data", "photos/test", "--device", "cpu"]) == 0
    assert "label" in capsys.readouterr().out  # features/all is found, though features/train is there
