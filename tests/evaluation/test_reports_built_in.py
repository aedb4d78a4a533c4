from __future__ import annotations

import re

import numpy as np
import pytest
from evaluation_samples import COUNTS, cache_of, head_of, noisy, one_hot_cache
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from ltfix.evaluation.measure import evaluate
from ltfix.evaluation.scores import predictions
from ltfix.evaluation.temperature import calibrate


def test_per_class_agrees_with_sklearn():
    bare, head = noisy(counts=COUNTS, classes=tuple("abcdefg"))
    cache = cache_of(bare.features, bare.labels, classes=head.classes)
    found = evaluate(head, cache, "per-class").heads[0]["classes"]
    pred = predictions(head, cache)
    assert [row["recall"] for row in found] == pytest.approx(recall_score(cache.labels, pred, average=None))
    precision = precision_score(cache.labels, pred, average=None)
    assert [row["precision"] for row in found] == pytest.approx(precision)
    assert [row["train"] for row in found] == COUNTS.tolist()
    assert [row["test"] for row in found] == np.bincount(cache.labels).tolist()
    assert [row["predicted"] for row in found] == np.bincount(pred).tolist()
    assert [row["class"] for row in found] == list("abcdefg")
    assert [row["shot"] for row in found] == ["many"] * 2 + ["medium"] * 3 + ["few"] * 2


def test_a_class_never_seen_or_never_predicted_has_no_figure():
    cache, head = one_hot_cache([0, 2], [0, 1], 3, counts=COUNTS[:3])
    report = evaluate(head, cache, "per-class")
    assert [(row["recall"], row["precision"]) for row in report.heads[0]["classes"]] == [
        (1.0, 1.0),
        (0.0, None),
        (None, 0.0),
    ]
    assert report.tables()[0].cells()[2][-2:] == ["–", "0.0"]


def test_confusions_go_both_ways_between_shots():
    #        tail → head: 6→0 twice, 5→3 once; head → tail: 1→4 once; 0→1 stays within Many
    labels = [6, 6, 6, 5, 1, 0, 2]
    pred = [0, 0, 6, 3, 4, 1, 2]
    cache, head = one_hot_cache(pred, labels, 7, counts=COUNTS)
    found = evaluate(head, cache, "confusion").heads[0]
    assert [(p["true"], p["predicted"], p["samples"]) for p in found["tail_to_head"]] == [
        (6, 0, 2),
        (5, 3, 1),
    ]
    assert [(p["true"], p["predicted"], p["samples"]) for p in found["head_to_tail"]] == [(1, 4, 1)]
    assert found["tail_to_head"][0]["share"] == pytest.approx(2 / 3)
    assert found["shots"]["few"] == {"many": 0.5, "medium": 0.25, "few": 0.25}


def test_the_shot_matrix_agrees_with_sklearn():
    cache, head = noisy(counts=COUNTS)
    report = evaluate(head, cache, "confusion")
    assert re.search(r"% of Few's samples go to Many, .* % to Medium; ", str(report.tables()[0].notes))
    shots = report.shots.of
    expected = confusion_matrix(shots[cache.labels], shots[predictions(head, cache)], normalize="true")
    matrix = report.heads[0]["shots"]
    found = [[matrix[a][b] for b in ("many", "medium", "few")] for a in ("many", "medium", "few")]
    np.testing.assert_allclose(found, expected)


def test_confusions_of_one_shot_go_by_count():
    cache, head = one_hot_cache([0, 1], [1, 0], 2, counts=np.array([300, 200]))
    found = evaluate(head, cache, "confusion").heads[0]
    assert [(p["true"], p["predicted"]) for p in found["tail_to_head"]] == [(1, 0)]
    assert found["shots"]["few"] is None


def test_calibration_by_shot_and_temperature():
    cache, head = noisy(counts=COUNTS)
    report = evaluate(
        [head, head_of(head.weight * 3, head.bias * 3, "sharp", counts=COUNTS)], cache, "calibration"
    )
    plain, sharp = report.heads
    assert report.to_dict()["bins"] == 15
    assert sharp["ece"] > plain["ece"]
    assert sharp["temperature"] == pytest.approx(3 * plain["temperature"], rel=1e-5)
    assert sharp["ece_at_temperature"] < sharp["ece"]
    assert sharp["ece_at_temperature"] == pytest.approx(plain["ece_at_temperature"])
    fine = calibrate(head, cache)
    assert fine.temperature[0] == pytest.approx(plain["temperature"])
    again = evaluate(fine, cache, "calibration")
    assert again.heads[0]["temperature"] == pytest.approx(1, rel=1e-4)
    assert again.heads[0]["ece"] == pytest.approx(plain["ece_at_temperature"], abs=1e-3)
    assert again.heads[0]["seen"] == "calibrated"
    assert again.notes[-1] == f"Calibrated on these samples, which flatters probabilities: {fine.name}."
    assert "flatters" not in str(report)
    assert all(0 <= plain[f"ece_{shot}"] <= 1 for shot in ("many", "medium", "few"))


def test_logit_margins_are_averaged_by_shot():
    cache, head = noisy(counts=COUNTS)
    found = evaluate(head, cache, "logits").heads[0]
    margin = found["classes"]["loma"]
    assert found["loma"]["few"] == pytest.approx(np.mean(margin[5:]))
    assert found["loma"]["all"] == pytest.approx(np.mean(margin))
    ratio = np.divide(found["classes"]["std"], margin)
    assert found["classes"]["regularised_std"] == pytest.approx(ratio)


def test_features_and_weight_norms():
    cache, head = noisy(counts=COUNTS)
    report = evaluate(head, cache, "features").to_dict()
    norms = np.linalg.norm(head.weight, axis=1)
    assert report["heads"][0]["classes"]["weight_norm"] == pytest.approx(norms)
    correlation = np.corrcoef(np.log(COUNTS), norms)[0, 1]
    assert report["heads"][0]["norm_count_correlation"] == pytest.approx(correlation, abs=1e-6)
    assert report["features"]["fdr_rank"] == report["features"]["fdr_dims"] == 5
    assert report["features"]["within_cosine"]["all"] > report["features"]["between_cosine"]["all"]
