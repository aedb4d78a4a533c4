"""A wrong argument of a public function is an error of ltfix that says which."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ltfix
from ltfix import LongTailClassifier
from ltfix.progress import _Silent
from ltfix.seeds import list_seeds

LABELS = np.repeat([0, 1, 2], [40, 12, 4])
XY = np.eye(3, 8)[LABELS], LABELS
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no cache": (ltfix.fit, "fit: missing a required argument: 'cache'"),
    "a cache that is none": (lambda: ltfix.fit(3), r"cache must be FeatureCache or Path or str or tuple"),
    "a method that is none": (lambda: ltfix.fit(XY, 3), "method must be Method or str, found 3"),
    "a seed that is none": (lambda: ltfix.fit(XY, seed="a"), "seed must be int, found 'a'"),
    "a value's name": (lambda: ltfix.fit(XY, epocs=3), "no value 'epocs' .*did you mean epochs"),
    "an option's name": (lambda: ltfix.compare(XY, XY, ["ce"], sedes=3), r"takes sedes .*mean seeds\?"),
    "an option's name of a fit": (lambda: ltfix.fit(XY, cahce=3), "'cahce' .*did you mean cache"),
    "an option's name in a record": (lambda: ltfix.sweep(XY, "los", {"delta": [0.5, 0.9]}, tun=1), "tune"),
    "an argument beside a record": (lambda: ltfix.predict("h", "x", cahce=3), r"mean cache\?"),
    "a loss that is none": (lambda: ltfix.fit(XY, loss=3), "loss must be str or Part or Callable"),
    "options": (lambda: ltfix.fit(XY, options={}), "options must be Options"),
    "a progress that is none": (lambda: ltfix.fit(XY, progress=3), "progress is 3"),
    "an unknown name": (lambda: ltfix.evaluate([], XY, repot="x"), "'repot': did you mean report"),
    "a head that is none": (lambda: ltfix.evaluate([3], XY), "must be FeatureCache or .*, found 3"),
    "heads that are none": (lambda: ltfix.evaluate(3, XY), "heads must be Head or"),
    "a bound": (lambda: ltfix.evaluate([], XY, many="x"), "many must be int"),
    "a path": (lambda: ltfix.load_head(3), "path must be Path or str"),
    "nothing to sweep": (lambda: ltfix.sweep(XY, "los", 3), "over must be Mapping"),
    "arrays apart": (lambda: ltfix.fit(*XY), r"cache must be .*are one argument: \(X, y\)"),
    "arrays apart, and a method": (lambda: ltfix.fit(*XY, "ce"), r"fit\(cache, method, …\); .*\(X, y\)"),
    "arrays apart, of two caches": (lambda: ltfix.compare(XY, *XY), r"test must be .*: \(X, y\)"),
    "a module for a head": (
        lambda: ltfix.Method("x", "s", "me", head=ltfix.SAMNLinear),
        r"a head is a name or a Part, no .* \(docs/design\.md\)",
    ),
    "seeds of one fit": (lambda: ltfix.fit(XY, seeds=3), "no value 'seeds' .*: in Python seed=3"),
    "a seed of several": (
        lambda: ltfix.compare(XY, XY, ["ce"], seed=3),
        r"takes seed .*: in Python seeds=\[3\]",
    ),
    "a folder by its option": (lambda: ltfix.compare(XY, XY, ["ce"], save_heads="x"), "folder=DIR"),
    "threads": (lambda: ltfix.sweep(XY, "los", {"delta": [0.5, 0.9]}, threads=2), r"torch\.set_num_threads"),
    "a call in a hint": (
        lambda: ltfix.evaluate([ltfix.Head(np.eye(3, 8), np.zeros(3))], XY),
        r"`ltfix\.evaluate\(\[TRAIN, HEAD\], cache=TEST\)`",
    ),
    "a value nobody takes": (lambda: ltfix.compare(XY, XY, ["ce"], epocs=3), "no method here takes epocs"),
    "unequal lengths": (lambda: ltfix.open_cache((XY[0], LABELS[:4])), r"labels must be \[56\], found \[4\]"),
    "no numbers": (lambda: ltfix.open_cache(([["a"]], [0])), "no arrays of numbers"),
    "an option of extract": (lambda: ltfix.extract("x", backbone="b", vews=1), "'vews': did you mean views"),
    "no folder to train into": (lambda: ltfix.train_backbone("x"), "missing a required argument: 'out'"),
    "a cache to calibrate on": (lambda: ltfix.calibrate("h", 4), "val must be FeatureCache or"),
    "a head to export": (lambda: ltfix.export(3, "x"), "head must be Head or Path or str"),
    "an option of export": (lambda: ltfix.export("h", "x", featurs=True), "'featurs': did you mean features"),
    "an export": (lambda: ltfix.open_export(3), "path must be Path or str"),
    "an option of predict": (lambda: ltfix.predict("h", "x", tpo=3), "'tpo': did you mean top"),
    "seeds that are none": (lambda: ltfix.compare(XY, XY, ["ce"], seeds="12"), "whole numbers, found '12'"),
    "a key of arrays": (lambda: ltfix.open_cache("x", feature_key="f"), "did you mean features_key"),
    "a long value": (lambda: ltfix.fit(XY, np.zeros((99, 9))), r"found array\(\[\[0\., 0\..{30,50}…"),
    "weight and bias as a start": (
        lambda: ltfix.fit(XY, "ce", init=XY),
        r"init is \(array.*ltfix\.Head\(weight",
    ),
    "a start that does not fit": (
        lambda: ltfix.fit(XY, "ce", init=ltfix.Head(*XY)),
        r"K, D = 56, 8, where",
    ),
    "a start that is none": (lambda: ltfix.fit(XY, "ce", init=3), "init is 3"),
    "nothing to predict": (lambda: ltfix.predict(ltfix.Head(np.eye(3), np.zeros(3)), 3), "features must be"),
    "a loss as a method": (lambda: ltfix.fit(XY, rare), r"is a loss: loss=rare, or ltfix\.Method\("),
    "a loss among methods": (
        lambda: ltfix.compare(XY, XY, ["ce", rare]),
        r"no method.*a loss: ltfix\.Method\(.*loss=rare",
    ),
    "a loss as the methods": (lambda: ltfix.compare(XY, XY, rare), r"a loss: ltfix\.Method\(.*loss=rare"),
    "a pair as a row": (lambda: ltfix.compare(XY, XY, [("los", {"delta": 0.9})]), "as 'los:delta=0.9'"),
    "a dict as a row": (lambda: ltfix.compare(XY, XY, [{"method": "los"}]), "as 'los:delta=0.9'"),
    "methods of auto that are none": (lambda: ltfix.fit(XY, "auto", methods=["ce", 3]), "no method: 3"),
    "a sweep of one number": (
        lambda: ltfix.sweep(XY, "los", {"delta": 0.5}),
        r"delta is 0\.5 \(over\): give a list",
    ),
    "a sweep of nothing": (
        lambda: ltfix.sweep(XY, "los", {"delta": []}),
        r"delta is \[\] \(over\): give a list",
    ),
    "a grid of one number": (lambda: ltfix.fit(XY, mine(grid={"lr": 0.5})), r"lr is 0\.5 .*: give a list"),
    "a grid of one word": (
        lambda: ltfix.fit(XY, mine(grid={"sampler": "all"})),
        "sampler is 'all' .*: give a list",
    ),
    "defaults that are a list": (
        lambda: ltfix.fit(XY, mine(defaults=["lr"])),
        r"defaults is \['lr'\]: a dict",
    ),
    "a method of a taken name": (
        lambda: ltfix.fit(XY, mine(name="samn")),
        "'samn' is the name of a built-in method .*give yours another",
    ),
    "a gate": (lambda: ltfix.evaluate([], XY, fail_under={"few": 20}), "must be str, .*: as text: 'few=20"),
    "a figure": (lambda: ltfix.evaluate([], XY, plot="x.json"), "'plot': in Python nothing draws: "),
    "a figure of several": (
        lambda: ltfix.compare(XY, XY, ["ce"], plot="x"),
        "takes plot .*: in Python nothing",
    ),
    "a format": (lambda: ltfix.evaluate([], XY, format="csv"), r"'format': in Python render\(FORMAT\)"),
    "three arrays": (lambda: ltfix.open_cache((1, 2, 3)), "of type tuple"),
}


def rare(logits, labels):
    return logits.mean()


def mine(**changes) -> ltfix.Method:
    return ltfix.Method(**{"name": "mine", "summary": "mine", "source": "us", "loss": rare, **changes})


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str):
    call, told = WRONG[name]
    with pytest.raises(ltfix.LtfixError, match=told):
        call()


def test_numbers_of_numpy_are_numbers():
    head = ltfix.fit(XY, "ce", seed=np.int64(3), epochs=np.int32(1))
    assert head.meta["seed"] == 3


def test_seeds_may_be_numpys():
    assert [list_seeds(np.int64(2)), list_seeds(np.arange(3, 5))] == [[0, 1], [3, 4]]
    assert len(ltfix.compare(XY, XY, np.array(["ncm", "tau-norm"]), seeds=np.arange(2)).rows) == 3
    same = [LongTailClassifier("los", epochs=1, random_state=seed).fit(*XY) for seed in (5, np.int64(5))]
    assert np.array_equal(same[0].head_.weight, same[1].head_.weight)


class _Bar(_Silent):
    finished = 0

    def finish(self) -> None:
        self.finished += 1


def test_a_bar_ends_with_the_call_whatever_happens(monkeypatch: pytest.MonkeyPatch):
    bar = _Bar()
    monkeypatch.setattr("ltfix.bars.bar_here", lambda: bar)
    with pytest.raises(ltfix.LtfixError):
        ltfix.fit(XY, "no-method", progress=True)
    assert bar.finished


def test_public_functions_keep_their_names_and_pickle():
    assert ltfix.fit.__name__ == "fit"
    assert pickle.loads(pickle.dumps(ltfix.fit)) is ltfix.fit
