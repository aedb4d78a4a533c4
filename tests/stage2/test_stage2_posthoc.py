"""Post-hoc steps: against values that the published implementations gave."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ltfix
from ltfix.errors import UsageError
from ltfix.heads.head import Head
from ltfix.progress import SILENT
from ltfix.stage2.fitting import posthoc
from ltfix.stage2.losses.weights import prior_shift
from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import CHOSEN, resolve

Golden = Callable[[str], dict[str, np.ndarray]]
rows = hnp.arrays(np.float32, (4, 3), elements=st.floats(-9, 9, width=32))


def corrected(step: str, weight: np.ndarray, bias: np.ndarray, counts=None, /, **values: object):
    """Weight and bias after a step of the method table."""
    data = SimpleNamespace(counts=counts)
    found = getattr(posthoc, step)(Head(weight, bias), values, data, None)
    return found.weight, found.bias


@pytest.fixture
def heads(golden: Golden) -> dict[str, np.ndarray]:
    return golden("heads_official")


@pytest.mark.parametrize("tau", ["0", "0.5", "0.7", "1", "1.9"])
def test_tau_norm_drops_the_bias(heads: dict[str, np.ndarray], tau: str) -> None:
    weight, bias = corrected("tau_norm", heads["W"], heads["b"], tau=float(tau), bias="drop")
    np.testing.assert_allclose(weight, heads[f"tau{tau}.weight"], rtol=0, atol=1e-5)
    logits = heads["test_X"] @ weight.T + bias
    np.testing.assert_allclose(logits, heads[f"tau{tau}.logits_nobias"], rtol=0, atol=2e-5)
    assert not bias.any()


def test_tau_norm_keeps_the_bias(heads: dict[str, np.ndarray]) -> None:
    weight, bias = corrected("tau_norm", heads["W"], heads["b"], tau=1.9, bias="keep")
    np.testing.assert_allclose(weight, heads["ltwb_tau1.9.weight"], rtol=0, atol=1e-5)
    logits = heads["test_X"] @ weight.T + bias
    np.testing.assert_allclose(logits, heads["ltwb_tau1.9.logits_withbias"], rtol=0, atol=2e-5)


@given(rows, st.floats(0, 20))
def test_tau_norm_of_any_rows(weight: np.ndarray, tau: float) -> None:
    """Directions stay, norms become ‖w‖^(1−τ), a zero row stays zero, and nothing overflows quietly."""
    weight[np.linalg.norm(weight, axis=1) < 1e-2] = 0
    scaled, _ = corrected("tau_norm", weight, np.zeros(4, np.float32), tau=tau, bias="drop")
    assert scaled.dtype == np.float32
    norm = np.linalg.norm(weight.astype(np.float64), axis=1)
    expected = np.where(norm > 0, np.maximum(norm, 1e-12) ** (1 - tau), 0)
    np.testing.assert_allclose(
        np.linalg.norm(scaled.astype(np.float64), axis=1), expected, rtol=1e-5, atol=1e-30
    )


def test_additive_adjustment(heads: dict[str, np.ndarray]) -> None:
    weight, bias = corrected("logit_adjust", heads["W"], heads["b"], heads["counts"], tau=1.0)
    logits = heads["test_X"] @ weight.T + bias
    np.testing.assert_allclose(logits, heads["ewb_add_tau1.logits"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", ["code", "ewb", "kim"])
def test_multiplicative_adjustment_is_the_literal_one(heads: dict[str, np.ndarray], form: str) -> None:
    """As sources write it; ``code`` and ``kim`` but for one factor, which no prediction sees."""
    w, b, counts = (heads[name].astype(np.float64) for name in ("W", "b", "counts"))
    factor, x = (counts / counts.sum()) ** -0.65, heads["test_X"].astype(np.float64)
    unit = x @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    expected = {"code": (x @ w.T + b) * factor, "ewb": unit * factor + b, "kim": unit * factor}[form]
    weight, bias = corrected("multiply_prior", w, b, counts, tau=0.65, form=form)
    logits = x @ weight.T + bias
    common = 1.0 if form == "ewb" else (counts.sum() / counts.max()) ** 0.65
    np.testing.assert_allclose(logits * common, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("tau", ["0.5", "1", "1.5"])
def test_posthoc_logit_adjustment(golden: Golden, k: int, tau: str) -> None:
    """The published code takes log(π^τ + 1e-12); the floor moves nothing at these counts."""
    values = golden("losses_official")
    counts, logits = values[f"k{k}.counts"], values[f"k{k}.logits"]
    _, bias = corrected("logit_adjust", np.zeros((k, 1)), np.zeros(k), counts, tau=float(tau))
    adjust = values[f"k{k}.la_tau{tau}.adjust"]
    assert np.abs(-bias - adjust).max() / np.abs(adjust).max() < 2e-5
    expected = values[f"k{k}.la_posthoc_tau{tau}.logits"]
    assert np.abs(logits + bias - expected).max() / np.abs(expected).max() < 2e-5


def test_an_empty_class_counts_as_one_sample() -> None:
    prior = prior_shift(np.array([0, 1, 6]))
    assert prior.dtype == np.float64
    np.testing.assert_allclose(np.exp(prior), [1 / 8, 1 / 8, 6 / 8])


@given(hnp.arrays(np.int64, st.integers(1, 9), elements=st.integers(0, 10**6)), st.floats(-3, 3))
def test_adjustment_moves_only_the_bias(counts: np.ndarray, tau: float) -> None:
    k = len(counts)
    weight, bias = np.ones((k, 2)), np.arange(k, dtype=float)
    same, moved = corrected("logit_adjust", weight, bias, counts, tau=tau)
    assert same is weight
    assert np.isfinite(moved).all()
    order = np.argsort(-counts, kind="stable")
    assert (np.diff((moved - bias)[order]) * np.sign(tau) >= -1e-12).all()


class Told(type(SILENT)):
    """Keeps the notes."""

    def __init__(self, notes: list[str]) -> None:
        self.note = notes.append


COUNTS = np.array([40, 12, 6])
X = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)


@pytest.mark.parametrize("method", ["los", "samn", "crt", "cosine", "ldam", "causal", "mislas", "maxnorm"])
def test_a_step_follows_the_training_of_any_method(draw_cache, method: str) -> None:
    cache = draw_cache(COUNTS)
    plain = ltfix.fit(cache, method, epochs=2)
    head = ltfix.fit(cache, method, epochs=2, posthoc="logit-adjust", tau=0.5)
    assert head.meta["parts"]["posthoc"] == "logit-adjust"
    assert head.meta["values"]["posthoc"] == {"value": "logit-adjust", "from": "option"}
    assert head.meta["values"]["tau"]["value"] == 0.5
    expected = plain.logits(X) - 0.5 * np.log(COUNTS / COUNTS.sum())
    np.testing.assert_allclose(head.logits(X), expected, atol=1e-4)


def test_a_step_takes_its_own_values_after_a_loss_with_one_of_that_name(draw_cache) -> None:
    cache = draw_cache(COUNTS)
    plain = ltfix.fit(cache, "vs", epochs=2, tau=1.5, feature_scale="none")
    head = ltfix.fit(
        cache, "vs", epochs=2, tau=1.5, posthoc="tau-norm", posthoc_tau=0.7, bias="keep", feature_scale="none"
    )
    norm = np.linalg.norm(plain.weight, axis=1, keepdims=True)
    np.testing.assert_allclose(head.weight, plain.weight / norm**0.7, rtol=1e-5)
    np.testing.assert_array_equal(head.bias, plain.bias)
    assert head_name(resolve(find_method("cb"), {"posthoc": "mult-la", "posthoc_form": "kim"})) == (
        "cb-mult-la-kim"
    )


def test_an_entry_may_have_a_step_after_its_training_which_a_value_replaces(draw_cache) -> None:
    cache = draw_cache(COUNTS)
    mine = ltfix.Method(
        "mine", "does", "us", loss="los", posthoc="tau-norm", defaults={"epochs": 2, "tau": 0.5}
    )
    also = ltfix.Method(
        "mine", "does", "us", loss="los", defaults={"epochs": 2, "posthoc": "tau-norm", "tau": 0.5}
    )
    head, same = ltfix.fit(cache, mine), ltfix.fit(cache, also)
    np.testing.assert_array_equal(
        head.weight, ltfix.fit(cache, "los", epochs=2, posthoc="tau-norm", tau=0.5).weight
    )
    np.testing.assert_array_equal(head.weight, same.weight)
    bare = ltfix.fit(cache, mine, posthoc="none")
    np.testing.assert_array_equal(bare.weight, ltfix.fit(cache, "los", epochs=2).weight)
    assert bare.meta["parts"]["posthoc"] is None


def test_an_open_exponent_is_chosen_and_the_rows_train_once(draw_cache) -> None:
    cache, told = draw_cache(COUNTS), []
    head = ltfix.fit(cache, "los", epochs=2, posthoc="tau-norm", progress=Told(told))
    tau = head.meta["values"]["tau"]
    assert tau["from"] == CHOSEN
    same = ltfix.fit(cache, "los", epochs=2, posthoc="tau-norm", tau=tau["value"])
    np.testing.assert_allclose(head.weight, same.weight, rtol=1e-6)
    values = resolve(find_method("los"), {"posthoc": "tau-norm"})
    assert values.open == ["tau"]
    assert values.choose(tau=0.1).before_step == values.choose(tau=0.2).before_step
    assert told == []
    ltfix.fit(cache, "crt", epochs=1, posthoc="tau-norm", tau=0.5, progress=Told(told))
    assert told == ["the sampler class-aware and the step tau-norm both correct the prior"]


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("disalign", {"posthoc": "tau-norm"}, "tau-norm needs logits that are linear"),
        (
            "ce",
            {"posthoc": "ncm"},
            "posthoc is 'ncm' (posthoc): it may be none, tau-norm, logit-adjust, mult-la",
        ),
        ("ce", {"tau": 1}, "method ce has no value 'tau'"),
        ("tau-norm", {"posthoc": "mult-la"}, "method tau-norm has no value 'posthoc'"),
        ("vs", {"posthoc": "tau-norm", "posthoc_tau": 5}, "posthoc_tau = 5 is out of range"),
    ],
    ids=str,
)
def test_a_step_that_cannot_be(method: str, given: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(find_method(method), given)
    assert message in str(caught.value)
