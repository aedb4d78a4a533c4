"""Every score against scikit-learn's or its plain formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import COUNTS, cache_of, head_of, noisy
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score, top_k_accuracy_score

from ltfix.evaluation.gate import GATED, demand
from ltfix.evaluation.measure import evaluate
from ltfix.evaluation.metrics import SCORES, Verdicts, g_mean, harmonic_mean
from ltfix.features.read import open_cache

SHOTS_OF = np.array([0, 0, 1, 1, 1, 2, 2])


def verdicts(predicted: object, labels: object) -> Verdicts:
    return Verdicts(np.asarray(predicted), np.asarray(labels), SHOTS_OF)


def test_scores_agree_with_sklearn():
    cache, head = noisy(counts=COUNTS)
    (row,) = evaluate(head, cache).heads
    logits = head.logits(cache.features[:, 0])
    labels, predicted = cache.labels, logits.argmax(1)
    recall = recall_score(labels, predicted, average=None)
    assert row["class_mean"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert row["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert row["g_mean"] == pytest.approx(np.prod(recall) ** (1 / 7))
    assert row["top5"] == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    assert row["top5"] != row["all"]


def test_classes_that_are_only_predicted_count_in_f1_as_they_do_for_sklearn():
    labels, predicted = [0, 0, 1, 2], [0, 5, 1, 0]
    expected = f1_score(labels, predicted, average="macro", zero_division=0)
    assert verdicts(predicted, labels).scores(["macro_f1"]) == {"macro_f1": pytest.approx(expected)}


def test_of_equal_logits_the_lower_class_comes_first_in_the_rank():
    cache = cache_of(np.zeros((7, 2)), np.arange(7))
    (row,) = evaluate(head_of(np.ones((7, 2)), counts=COUNTS), cache).heads
    assert (row["all"], row["top5"]) == (1 / 7, 5 / 7)


def test_harmonic_mean_floors_a_class_never_hit():
    assert harmonic_mean(np.array([0.5, 0.25])) == pytest.approx(1 / 3)
    assert harmonic_mean(np.array([0.5, np.nan])) == pytest.approx(0.5)
    assert harmonic_mean(np.array([1.0, 0.0])) == pytest.approx(2 / (1 + 1e5))
    assert harmonic_mean(np.array([np.nan])) is None


def test_g_mean_leaves_out_untested_classes_and_is_zero_where_one_is_never_hit():
    assert g_mean(np.array([0.5, np.nan, 0.125])) == pytest.approx(0.25)
    assert g_mean(np.array([0.5, 0.0])) == 0


def test_every_score_is_in_every_format_and_gate():
    cache, head = noisy(counts=COUNTS)
    report = evaluate(head, cache, fail_under=",".join(f"{name}=2" for name in SCORES))
    demand(report.gates)
    assert [gate["name"] for gate in report.gates] == list(SCORES)
    assert set(GATED) == {*SCORES, "ece"}
    header = report.render("csv").splitlines()[0].split(",")
    assert set(SCORES) <= set(header)
    for form in ("markdown", "latex", "github"):
        assert all(score.title in report.render(form) for score in SCORES.values())
    assert all(f'name="fail_under {name}"' in report.render("junit") for name in SCORES)


def test_the_packed_features_against_sklearn(shared_data: Path):
    train = open_cache(shared_data / "c100_if100_train.safetensors")
    test = open_cache(shared_data / "c100_if100_test.safetensors")
    (row,) = evaluate([train], test).heads
    assert train.head is not None
    logits = train.head.mean_logits(test.features)
    assert row["top5"] == pytest.approx(top_k_accuracy_score(test.labels, logits, k=5))
    assert row["macro_f1"] == pytest.approx(f1_score(test.labels, logits.argmax(1), average="macro"))
    assert row["class_mean"] == pytest.approx(row["all"])
    assert row["g_mean"] == 0  # some class is never hit
