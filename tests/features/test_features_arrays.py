"""Features and labels in memory, under other names, and labels that are names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import ltfix

NAMES = np.array(["dog", "cat", "owl"])
LABELS = np.repeat([0, 1, 2], [40, 12, 4])
FEATURES = np.eye(3, 8, dtype=np.float32)[LABELS]


@pytest.mark.parametrize(
    "arrays",
    [
        (FEATURES, LABELS),
        (FEATURES.astype(int), LABELS.tolist()),
        (torch.tensor(FEATURES, requires_grad=True), torch.tensor(LABELS)),
        (torch.tensor(FEATURES, dtype=torch.bfloat16), LABELS),
        (pd.DataFrame(FEATURES), pd.Series(LABELS)),
    ],
    ids=["numpy", "lists", "tensors", "bfloat16", "pandas"],
)
def test_arrays_of_all_kinds_are_the_same_cache(arrays: tuple[Any, Any]):
    cache = ltfix.open_cache(arrays)
    assert np.array_equal(cache.features[:, 0], FEATURES)
    assert cache.labels.tolist() == LABELS.tolist()
    assert cache.classes is None
    assert np.array_equal(ltfix.fit(arrays, "ncm").weight, ltfix.fit((FEATURES, LABELS), "ncm").weight)


def test_names_are_classes_in_order():
    cache = ltfix.open_cache((FEATURES, pd.Series(NAMES[LABELS])))
    assert cache.classes == ("cat", "dog", "owl")
    assert cache.counts.tolist() == [12, 40, 4]


def test_a_test_set_is_numbered_as_its_head_is():
    head = ltfix.fit((FEATURES, NAMES[LABELS]), "ncm")
    few = LABELS != 1  # without cat, dog would be number 0
    for test in [(FEATURES[few], NAMES[LABELS[few]]), ltfix.open_cache((FEATURES[few], NAMES[LABELS[few]]))]:
        report = ltfix.evaluate([head], test)
        assert report.heads[0]["all"] == 1.0
        assert report.cache["classes"] == 3
    compared = ltfix.compare((FEATURES, NAMES[LABELS]), (FEATURES[few], NAMES[LABELS[few]]), "ncm")
    assert {row["all"]["mean"] for row in compared.rows} == {1.0}
    assert ltfix.fit((FEATURES, NAMES[LABELS]), "ce", val=(FEATURES[few], NAMES[LABELS[few]]), epochs=1)
    with pytest.raises(ltfix.InputError, match="label 'fox' of row 1 is none of the 3 classes"):
        ltfix.evaluate([head], (FEATURES[:2], ["cat", "fox"]))


@pytest.mark.parametrize("opened", [False, True])
def test_names_are_refused_where_classes_are_known_by_numbers_alone(opened: bool):
    head = ltfix.fit((FEATURES, LABELS), "ncm")
    few = LABELS != 1  # numbered by itself, owl would be 1
    test = FEATURES[few], NAMES[LABELS[few]]
    test = ltfix.open_cache(test) if opened else test
    for refused in (
        lambda: ltfix.evaluate([head], test),
        lambda: ltfix.compare((FEATURES, LABELS), test, "ncm"),
        lambda: ltfix.fit((FEATURES, LABELS), "ce", val=test, epochs=1),
        lambda: ltfix.calibrate(head, test),
    ):
        with pytest.raises(ltfix.InputError, match="where the classes are known by their numbers alone"):
            refused()


@pytest.mark.parametrize("opened", [False, True])
def test_names_are_refused_beside_a_start_or_a_head_of_numbers_alone(opened: bool, tmp_path: Path):
    head = ltfix.fit((FEATURES, LABELS), "ce", epochs=3, lr=0.5)
    head.save(tmp_path / "head.safetensors")
    np.savez(tmp_path / "named.npz", X=FEATURES, y=NAMES[LABELS])  # dog is row 0 of the head, cat class 0
    named = (FEATURES, NAMES[LABELS])
    train: Any = ltfix.open_cache(named) if opened else named
    bare = ltfix.Head(np.eye(3, 8), np.zeros(3))
    for init in (head, str(tmp_path / "head.safetensors"), bare):
        for refused in (
            lambda init=init: ltfix.fit(train, "ce", init=init, epochs=1),
            lambda init=init: ltfix.fit(tmp_path / "named.npz", "auto", init=init),
            lambda init=init: ltfix.compare(train, train, "tau-norm", init=init),
            lambda init=init: ltfix.sweep(train, "los", {"delta": [0.5, 0.9]}, init=init),
        ):
            with pytest.raises(ltfix.InputError, match=r"known by their numbers alone .*classes=NAMES"):
                refused()
    beside = dataclasses.replace(bare, classes=tuple(NAMES))  # which says nothing of the rows of others
    for refused in (
        lambda: ltfix.evaluate([train, bare], train),
        lambda: ltfix.evaluate([beside, bare], train),
        lambda: ltfix.predict(head, tmp_path / "named.npz"),
        lambda: ltfix.export(
            bare, tmp_path / "m.onnx", to="onnx", features=True, cache=tmp_path / "named.npz"
        ),
    ):
        with pytest.raises(ltfix.InputError, match="where the classes are known by their numbers alone"):
            refused()
    said = ltfix.predict(head, tmp_path / "named.npz", classes=NAMES.tolist())
    assert [one.label for one in said] == NAMES[LABELS].tolist()


@pytest.mark.parametrize("opened", [False, True])
def test_names_are_numbered_as_the_start_has_them(opened: bool):
    mine = ltfix.Head(np.eye(3, 8) * 9, np.zeros(3), classes=NAMES.tolist())
    named = (FEATURES, NAMES[LABELS])
    train: Any = ltfix.open_cache(named) if opened else named
    head = ltfix.fit(train, "ce", init=mine, epochs=1, lr=1e-9)
    assert (head.classes, head.counts.tolist()) == (tuple(NAMES), [40, 12, 4])
    assert head.predict(np.eye(3, 8), names=True).tolist() == NAMES.tolist()
    test, val = ((FEATURES[k != LABELS], NAMES[LABELS][k != LABELS]) for k in (1, 0))
    compared = ltfix.compare(train, test, "ce", init=mine, val=val, epochs=1, lr=1e-9)
    assert {row["all"]["mean"] for row in compared.rows} == {1.0}
    told = ltfix.open_cache(named, sorted(NAMES))  # an order that was said stays
    with pytest.raises(ltfix.InputError, match="its classes are not those of the training features: 0 is"):
        ltfix.fit(told, "ce", init=mine, epochs=1)


def test_a_head_to_compare_with_numbers_the_classes_alike():
    mine = ltfix.Head(np.eye(3, 8), np.zeros(3), classes=NAMES.tolist(), counts=np.array([40, 12, 4]))
    other = dataclasses.replace(mine, classes=tuple(sorted(NAMES.tolist())))
    named = (FEATURES, NAMES[LABELS])
    with pytest.raises(ltfix.InputError, match=r"class 0 is 'cat' in .* and 'dog' in"):
        ltfix.evaluate([mine], named, against=other)
    assert ltfix.evaluate([mine], named, against=dataclasses.replace(mine, label="twin"))


@pytest.mark.parametrize("label", ["{}", "{:02}", "{}.0"])
def test_numbers_as_text_start_from_a_head_of_numbers(label: str):
    texts = np.array([label.format(n) for n in MANY])
    start = ltfix.Head(np.eye(K, 16) * 9, np.zeros(K))
    head = ltfix.fit((ONE_HOT, texts), "ce", init=start, epochs=1, lr=1e-9)
    assert head.predict(ONE_HOT).tolist() == MANY.tolist()
    assert head.classes == tuple(map(str, range(K)))
    assert ltfix.evaluate([(ONE_HOT, MANY), start], (ONE_HOT, texts)).heads[-1]["all"] == 1.0


def test_a_head_predicts_numbers_or_names():
    head = ltfix.fit((FEATURES, NAMES[LABELS]), "ncm")
    assert head.predict(np.eye(3, 8)).tolist() == [1, 0, 2]
    assert head.predict(torch.eye(3, 8), names=True).tolist() == ["dog", "cat", "owl"]
    assert head.predict(np.eye(3, 8)[:, None].repeat(2, 1)).tolist() == [1, 0, 2]
    with pytest.raises(ltfix.InputError, match="knows no class names"):
        ltfix.fit((FEATURES, LABELS), "ncm").predict(FEATURES, names=True)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_other_names_for_the_two_arrays(tmp_path: Path, suffix: str):
    from safetensors.numpy import save_file

    def write(name: str, **arrays: np.ndarray) -> Path:
        path = tmp_path / f"{name}.{suffix}"
        np.savez(path, **arrays) if suffix == "npz" else save_file(arrays, path)  # type: ignore[func-returns-value]
        return path

    usual = write("usual", X=FEATURES, y=LABELS)
    assert ltfix.open_cache(usual).counts.tolist() == [40, 12, 4]
    odd = write("odd", mine=FEATURES, coarse=LABELS // 2, fine=LABELS)
    assert ltfix.open_cache(odd, features_key="mine", labels_key="fine").counts.tolist() == [40, 12, 4]
    with pytest.raises(ltfix.InputError, match="no tensor features and no tensor labels; it holds coarse"):
        ltfix.open_cache(odd)
    with pytest.raises(ltfix.InputError, match="no tensor gone"):
        ltfix.open_cache(odd, features_key="mine", labels_key="gone")


def test_names_in_an_npz_number_the_classes(tmp_path: Path):
    np.savez(tmp_path / "train.npz", X=FEATURES, y=NAMES[LABELS])
    assert ltfix.open_cache(tmp_path / "train.npz").classes == ("cat", "dog", "owl")
    assert ltfix.open_cache(tmp_path / "train.npz", NAMES).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("opened", [False, True])
def test_numbers_are_refused_where_classes_are_known_by_names(opened: bool):
    names = np.array(["owl", "cat", "dog"])[LABELS]  # by number owl is 0, among names it is 2
    head = ltfix.fit((FEATURES, names), "ncm")
    test = ltfix.open_cache((FEATURES, LABELS)) if opened else (FEATURES, LABELS)
    for refused in (
        lambda: ltfix.evaluate([head], test),
        lambda: ltfix.compare((FEATURES, names), test, "ncm"),
        lambda: ltfix.fit((FEATURES, names), "ce", val=test, epochs=1),
        lambda: ltfix.calibrate(head, test),
        lambda: ltfix.fit(test, "ce", init=ltfix.Head(np.eye(3, 8), np.zeros(3), classes=head.classes)),
    ):
        with pytest.raises(ltfix.InputError, match="its labels are numbers, where the classes are known by"):
            refused()


K = 12  # more than ten: in the order of text 10 comes before 2
MANY = np.repeat(np.arange(K), 4)
DIGITS = MANY.astype(str)
ONE_HOT = np.eye(K, 16, dtype=np.float32)[MANY]


@pytest.mark.parametrize(
    ("train", "test"), [(DIGITS, MANY), (MANY, DIGITS), (DIGITS, DIGITS), (DIGITS, np.char.zfill(DIGITS, 3))]
)
@pytest.mark.parametrize("opened", [False, True])
def test_digits_as_text_are_numbers(train: np.ndarray, test: np.ndarray, opened: bool):
    head, few = ltfix.fit((ONE_HOT, train), "ncm"), MANY < 11
    arrays = ONE_HOT[few], test[few]
    report = ltfix.evaluate([head], ltfix.open_cache(arrays) if opened else arrays)
    assert report.heads[0]["all"] == 1.0
    assert ltfix.open_cache((ONE_HOT, DIGITS)).classes == tuple(map(str, range(K)))


@pytest.mark.parametrize("opened", [False, True])
def test_digits_name_the_classes_of_a_folder_in_the_order_of_text(opened: bool):
    names = tuple(sorted(DIGITS[::4]))
    head = ltfix.fit((ONE_HOT, MANY), "ncm")
    head = dataclasses.replace(head, classes=names, weight=head.weight[list(map(int, names))])
    arrays = ONE_HOT, DIGITS
    assert ltfix.evaluate([head], ltfix.open_cache(arrays) if opened else arrays).heads[0]["all"] == 1.0
    with pytest.raises(ltfix.InputError, match="its labels are numbers"):
        ltfix.evaluate([head], (ONE_HOT, MANY))


@pytest.mark.parametrize(("label", "told"), [("99999999999999999999", "is not below"), ("-1", "is negative")])
def test_digits_that_are_no_class(label: str, told: str):
    with pytest.raises(ltfix.InputError, match=f"of row 1 {told}"):
        ltfix.open_cache((FEATURES[:2], ["0", label]))
