from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import COUNTS, cache_of, head_of, noisy, write_cache

import ltfix
from ltfix.errors import InputError
from ltfix.evaluation.given import class_names, collect, each_once, is_same, open_together, told_apart
from ltfix.evaluation.measure import Evaluation
from ltfix.features.read import open_cache
from ltfix.heads.head import load_head


def names(rows):
    return [(row.name, row.path, row.head.method) for row in rows]


def test_stage_1_of_the_cache_comes_first(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    stage1 = dataclasses.replace(head, method="stage-1")
    head.save(tmp_path / "samn-freq.safetensors")
    cache = cache_of(cache.features, cache.labels, head=stage1)
    rows, counts = collect([tmp_path / "samn-freq.safetensors", head], cache)
    path = str(tmp_path / "samn-freq.safetensors")
    assert names(rows) == [("stage-1", None, "stage-1"), ("samn-freq", path, "ce"), ("ce", None, "ce")]
    assert counts.tolist() == COUNTS.tolist()


def test_a_cache_in_place_of_a_head_stands_for_its_classifier_and_counts(tmp_path: Path):
    cache, head = noisy()
    train, _ = noisy(n=900, seed=1)
    write_cache(tmp_path / "train.npz", train, head)
    rows, counts = collect(str(tmp_path / "train.npz"), cache)
    assert names(rows) == [("stage-1", None, "stage-1")]
    assert counts.tolist() == np.bincount(train.labels).tolist()


def test_heads_in_memory_have_names_of_their_own(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    cache = cache_of(cache.features, cache.labels)
    head.save(tmp_path / "ce.safetensors")
    unnamed = dataclasses.replace(head, method="")
    mine, file = head.named("mine"), tmp_path / "ce.safetensors"
    rows, _ = collect([head, unnamed, file, head, unnamed, mine, load_head(file).named("theirs")], cache)
    assert [row.name for row in rows] == ["ce-2", "head", "ce", "ce-3", "head-2", "mine", "theirs"]


def test_heads_of_other_training_features_than_the_rest_are_told():
    cache, head = noisy(counts=COUNTS)
    made = [
        dataclasses.replace(head, label=n, meta={"cache": its}) for n, its in zip("abc", "xyx", strict=True)
    ]
    told = "Fitted on other training features than a, so perhaps from another start: b."
    assert told in ltfix.evaluate(made, cache).notes
    assert not [note for note in ltfix.evaluate(made[::2], cache).notes if "training features" in note]
    train = cache_of(cache.features[::-1], cache.labels[::-1], "train.npz")
    theirs = [dataclasses.replace(made[1], meta={"cache": train.identity}), *made[::2]]
    told = "Fitted on other training features than train.npz, so perhaps from another start: a, c."
    assert told in ltfix.evaluate([train, *theirs], cache).notes


def test_the_start_keeps_its_name_whatever_files_are_called(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    start = dataclasses.replace(head, method="stage-1")
    cache = cache_of(cache.features, cache.labels, head=start)
    head.save(tmp_path / "stage-1.safetensors")
    rows, _ = collect([tmp_path / "stage-1.safetensors"], cache)
    assert [(row.name, row.is_start) for row in rows] == [("stage-1", True), ("stage-1", False)]


def test_given_counts_decide_over_the_heads_own():
    cache, head = noisy(counts=COUNTS)
    train, _ = noisy(n=900, seed=1)
    _, counts = collect([train, head], cache)
    assert counts.tolist() == train.counts.tolist()


def test_a_given_training_cache_displaces_the_evaluated_caches_classifier():
    cache, head = noisy()
    own, given = (dataclasses.replace(head, method="stage-1", bias=head.bias + i) for i in range(2))
    cache = cache_of(cache.features, cache.labels, head=own)
    train = cache_of(cache.features, cache.labels, "train.npz", head=given)
    rows, _ = collect(train, cache)
    assert [row.head for row in rows] == [given]


def test_a_training_cache_without_a_classifier_gives_its_counts_alone():
    cache, head = noisy()
    rows, counts = collect([head, cache], cache)
    assert names(rows) == [("ce", None, "ce")]
    assert counts.tolist() == cache.counts.tolist()


def test_a_stage_1_head_file_is_the_stage_1_row(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    dataclasses.replace(head, method="stage-1").save(tmp_path / "head.safetensors")
    rows, _ = collect([head, tmp_path / "head.safetensors"], cache)
    assert [(row.name, row.path) for row in rows] == [
        ("stage-1", str(tmp_path / "head.safetensors")),
        ("ce", None),
    ]


def test_a_given_stage_1_head_displaces_the_evaluated_caches_classifier():
    cache, head = noisy(counts=COUNTS)
    own, given = (dataclasses.replace(head, method="stage-1", bias=head.bias + i) for i in range(2))
    rows, _ = collect([head, given], cache_of(cache.features, cache.labels, head=own))
    assert [row.head for row in rows] == [given, head]


def test_counts_that_no_row_knows_are_those_of_the_evaluated_caches_classifier():
    cache, head = noisy()
    given = dataclasses.replace(head, method="stage-1")
    cache = cache_of(cache.features, cache.labels, head=dataclasses.replace(given, counts=COUNTS))
    rows, counts = collect([head, given], cache)
    assert [row.head for row in rows] == [given, head]
    assert counts.tolist() == COUNTS.tolist()


def test_numbers_and_names_do_not_go_together_among_what_is_given(tmp_path: Path):
    order, index = ("owl", "cat", "dog"), [0, 0, 0, 1, 1, 2]
    features, names = np.eye(3, dtype=np.float32)[index], [("cat", "dog", "owl")[i] for i in index]
    stage1 = {"head.weight": np.eye(3, dtype=np.float32), "head.bias": np.zeros(3, np.float32)}
    np.savez(tmp_path / "numbers.npz", features=features, labels=index)
    np.savez(tmp_path / "train.npz", features=features, labels=names, **stage1)
    head = ltfix.Head(np.eye(3)[[2, 0, 1]], np.zeros(3), "mine", classes=order)
    for given in ([tmp_path / "numbers.npz", head], [head, tmp_path / "numbers.npz"]):
        with pytest.raises(InputError, match=r"its labels are numbers, .* as 'owl' \(.*numbers.npz\)"):
            ltfix.evaluate(given, (features, names))
    train = tmp_path / "train.npz"
    for given in ([train, head], [open_cache(train), head], [head, train]):  # numbered as the head has them
        assert collect(given, open_together(given, (features, names))[1])[1].tolist() == [1, 3, 2]
        assert [row["all"] for row in ltfix.evaluate(given, (features, names)).heads] == [1, 1]
    knows = dataclasses.replace(head, counts=np.array([1, 3, 2]))
    for cache in (train, open_cache(train)):  # its own classifier has its rows in the order of text
        assert [row["all"] for row in ltfix.evaluate(knows, cache).heads] == [1, 1]
    with pytest.raises(InputError, match="label 'ant' of row 5 is none of the 3 classes"):
        ltfix.evaluate(
            [open_cache((features, ["ant" if name == "owl" else name for name in names])), knows],
            (features, names),
        )


def test_last_classes_without_a_training_sample_count_zero():
    _, head = noisy()
    cache = cache_of(np.ones((3, 5)), [0, 1, 2])
    _, counts = collect([cache, head], cache)
    assert counts.tolist() == [1, 1, 1, 0, 0, 0, 0]


def test_a_test_cache_may_hold_fewer_classes():
    _, head = noisy(counts=COUNTS, classes=tuple("abcdefg"))
    cache = cache_of(np.ones((2, 5)), [0, 1], classes=("a", "b"))
    rows, _ = collect(head, cache)
    assert class_names(rows, cache) == tuple("abcdefg")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            head_of(np.ones((7, 4)), counts=COUNTS),
            r"the head ce has D = 4, the cache test\.npz has D = 5",
        ),
        (
            head_of(np.ones((3, 5)), counts=COUNTS[:3]),
            r"the head ce has K = 3 classes, the cache test\.npz has K = 7",
        ),
        (head_of(np.ones((7, 5))), "training counts are unknown"),
        ([], r"no head to evaluate.*ltfix\.fit\(\.\.\., method=\"ce\"\)` makes the first"),
    ],
    ids=["D", "K", "counts", "nothing"],
)
def test_what_does_not_fit_is_an_input_error(head, message: str):
    cache, _ = noisy()
    with pytest.raises(InputError, match=message):
        Evaluation.of(head, cache)


def test_contradicting_counts_are_named():
    cache, head = noisy(counts=COUNTS)
    other = dataclasses.replace(head, method="los", counts=COUNTS[::-1])
    with pytest.raises(InputError, match="ce and los come from different training counts"):
        collect([head, other], cache)
    train, _ = noisy(n=900, seed=1)
    collect([train, head, other], cache)


def test_different_class_names_are_named():
    cache, head = noisy(counts=COUNTS, classes=tuple("abcdefg"))
    cache = cache_of(cache.features, cache.labels, classes=tuple("abxdefg"))
    with pytest.raises(InputError, match=r"class 2 is 'c' in ce and 'x' in test\.npz"):
        collect(head, cache)


def test_classes_in_another_order_are_no_other_counts():
    cache, head = noisy(counts=COUNTS, classes=tuple("abcdefg"))
    cache = cache_of(cache.features, cache.labels, classes=tuple("abcdefg"))
    other = dataclasses.replace(head, method="los", counts=COUNTS[::-1], classes=tuple("gfedcba"))
    message = r"class 0 is 'a' in ce and 'g' in los: .* classes=FILE of `ltfix import` numbers them"
    with pytest.raises(InputError, match=message):
        collect([head, other], cache)


def test_neither_head_nor_cache(tmp_path: Path):
    cache, _ = noisy()
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    for path in ("x.safetensors", "absent.safetensors"):
        with pytest.raises(InputError, match=path):
            collect(tmp_path / path, cache)


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    cache, head = noisy(counts=COUNTS)
    head.save("ce.safetensors")
    assert [row["name"] for row in ltfix.evaluate(".", cache).heads] == ["ce"]
    for heads, test in (("", cache), (["", head], cache), (head, "")):
        with pytest.raises(InputError, match="the path is empty"):
            ltfix.evaluate(heads, test)


def test_what_is_scored_is_no_training_cache(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    with pytest.raises(InputError, match="it is what is scored, and its class counts are not those"):
        collect([head, cache], cache)
    own = dataclasses.replace(head, counts=cache.counts)
    assert collect([own, cache], cache)[1].tolist() == cache.counts.tolist()


def test_a_copy_is_the_same_samples_and_others_of_these_labels_are_not(tmp_path: Path):
    (cache, _), (other, _) = noisy(counts=COUNTS), noisy(counts=COUNTS, seed=1)
    write_cache(tmp_path / "copy.npz", cache)
    assert is_same(cache, open_cache(tmp_path / "copy.npz"))
    assert not is_same(cache, cache_of(other.features, cache.labels))
    assert not is_same(cache, None)


def test_files_of_one_name_have_their_folder_before_it(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    places = [
        tmp_path / folder / f"{stem}.safetensors" for folder in "ab" for stem in ("ce", f"los-{folder}")
    ]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        head.save(place)
    found = ltfix.evaluate(places, cache)
    assert [row["name"] for row in found.tables()[0].rows] == ["a/ce", "los-a", "b/ce", "los-b"]
    assert [row["name"] for row in found.heads] == ["a/ce", "los-a", "b/ce", "los-b"]


def test_a_head_has_no_name_to_be_set():
    _, head = noisy()
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        head.name = "mine"


def test_names_that_files_share_are_behind_the_folder_that_is_named():
    files = [("ci", "ci.safetensors"), ("ci", "other/ci.safetensors"), ("one", "heads/one.safetensors")]
    assert told_apart(files) == ["ci", "other/ci", "one"]


def test_what_is_named_again_is_taken_once_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("heads").mkdir()
    cache, head = noisy(counts=COUNTS)
    head.save("heads/ci.safetensors")
    write_cache(tmp_path / "train.npz", noisy(n=900, seed=1)[0], head)
    ci, other = load_head("heads/ci.safetensors"), head.named("mine")
    again = ["heads/../heads/ci.safetensors", "heads", ci, "train.npz", other]
    report = ltfix.evaluate([ci, "train.npz", other, *again], cache, fail_under="all=0")
    assert [row["name"] for row in report.heads] == ["stage-1", "ci", "mine"]
    assert [gate["head"] for gate in report.gates] == ["ci", "mine"]
    dropped = "heads/../heads/ci.safetensors, heads/ci.safetensors, train.npz, mine"
    assert report.notes[0] == f"Named more than once, taken once: {dropped}."
    changed = dataclasses.replace(ci, bias=ci.bias + 1)
    Path("heads/best.safetensors").symlink_to("ci.safetensors")  # a name of its own
    several = [ci, ci.named("as it was"), changed, "heads/best.safetensors"]
    report = ltfix.evaluate(several, cache)
    assert len(report.heads) == 4 and not [note for note in report.notes if "once" in note]


def test_two_views_of_one_file_are_two(tmp_path: Path):
    rng, labels = np.random.default_rng(0), np.arange(40) % 4
    both = {key: rng.normal(size=(40, 3)).astype(np.float32) for key in "ab"}
    np.savez(tmp_path / "x.npz", **both, labels=labels)
    views = [open_cache(tmp_path / "x.npz", features_key=key) for key in "aab"]
    kept, told = each_once(views)
    assert kept == [views[0], views[2]]
    assert told == (f"Named more than once, taken once: {tmp_path / 'x.npz'}.",)
