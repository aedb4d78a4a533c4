"""`LongTailClassifier` keeps scikit-learn's own contract."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.nn.functional import cross_entropy

import ltfix
from ltfix import LongTailClassifier


@parametrize_with_checks([LongTailClassifier()])
def test_scikit_learns_own_checks(estimator: Any, check: Any):
    check(estimator)


def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(np.array(["cat", "dog", "owl"]), [60, 20, 8])
    centre = {"cat": 0, "dog": 1, "owl": 2}
    return np.eye(3, 8)[[centre[name] for name in y]] * 4 + rng.normal(size=(88, 8)), y


def test_it_is_the_head_that_fit_gives():
    X, y = samples()
    model = LongTailClassifier("los", epochs=3, values={"delta": 0.9}, random_state=7).fit(X, y)
    head = ltfix.fit((X, y), "los", epochs=3, delta=0.9, seed=7)
    assert np.array_equal(model.head_.weight, head.weight)
    assert model.head_.classes == ("cat", "dog", "owl")
    assert model.predict(X).tolist() == head.predict(X, names=True).tolist()
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    assert np.allclose(model.predict_proba(X).sum(1), 1)


def test_pipelines_searches_and_pickles():
    X, y = samples()
    pipeline = make_pipeline(StandardScaler(), LongTailClassifier(epochs=2))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.8
    search = GridSearchCV(LongTailClassifier(epochs=2), {"method": ["samn", "ce"], "lr": [1e-3, 1e-2]}, cv=2)
    best = search.fit(X, y).best_estimator_
    again = pickle.loads(pickle.dumps(best))
    assert np.array_equal(again.predict_proba(X), best.predict_proba(X))


def test_own_errors_stay_errors_of_ltfix():
    X, y = samples()
    with pytest.raises(ltfix.UsageError, match="did you mean samn"):
        LongTailClassifier("sam").fit(X, y)
    with pytest.raises(ValueError, match="one class"):
        LongTailClassifier().fit(X[:5], y[:5])


def test_scikit_learn_is_imported_only_with_the_class_and_may_be_absent():
    code = """
import sys
import ltfix
ltfix.fit, ltfix.evaluate
assert not [name for name in sys.modules if name.startswith(("sklearn", "torch"))]
sys.modules["sklearn"] = None
try:
    ltfix.LongTailClassifier()
except ltfix.EnvironmentFault as err:
    print(err)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'scikit-learn 1.6 or newer is not installed: pip install "ltfix[sklearn]"\n'


def test_a_loss_of_ones_own_is_an_argument_and_no_value():
    X, y = samples()

    def loss(logits: Any, labels: Any) -> Any:
        return cross_entropy(logits, labels)

    model = LongTailClassifier("ce", loss=loss, epochs=2).fit(X, y)
    assert np.array_equal(model.head_.weight, ltfix.fit((X, y), "ce", loss=loss, epochs=2).weight)
    with pytest.raises(ltfix.UsageError, match=r"loss is no value \(values\): LongTailClassifier\(loss=…\)"):
        LongTailClassifier("ce", values={"loss": loss}).fit(X, y)
    with pytest.raises(ltfix.UsageError, match=r"LongTailClassifier\(random_state=…\)"):
        LongTailClassifier("ce", values={"seed": 1}).fit(X, y)


@pytest.mark.parametrize("called", [["cat", "dog", "owl"], [5, 7, 12], [-1.0, 3.0, 20.0], [0, 1, 2]])
def test_it_starts_from_a_head_that_knows_the_same_classes(called: list[Any], tmp_path: Path, monkeypatch):
    X, y = samples()
    y = np.array(called)[np.unique(y, return_inverse=True)[1]]
    first = LongTailClassifier("ce", epochs=2).fit(X, y)
    first.head_.save(tmp_path / "first.safetensors")
    back = first.head_.classes[::-1]
    turned = ltfix.Head(first.head_.weight[::-1].copy(), first.head_.bias[::-1].copy(), classes=back)
    for init in (first.head_, str(tmp_path / "first.safetensors"), turned):
        again = LongTailClassifier("ce", epochs=1, lr=1e-12, values={"init": init}).fit(X, y)
        assert again.head_.classes == first.head_.classes == tuple(map(str, called))
        assert again.head_.meta["init"]["from"] == "head"
        assert np.allclose(again.head_.weight, first.head_.weight, atol=1e-5)
    monkeypatch.chdir(tmp_path)
    Path("probe").write_bytes(b"no head")
    LongTailClassifier("ce", epochs=1, values={"init": "probe"}).fit(X, y)
    others = np.where(y == y[0], "ant", y.astype(str))
    with pytest.raises(ltfix.InputError, match=r"its classes are not .* training features: 0 is .*\(ce\)$"):
        LongTailClassifier("ce", epochs=1, values={"init": first.head_}).fit(X, others)
