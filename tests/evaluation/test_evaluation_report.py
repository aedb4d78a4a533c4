from __future__ import annotations

import base64
import copy
import csv
import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import COUNTS, cache_of, head_of, noisy, one_hot_cache, write_cache
from sklearn.metrics import accuracy_score, f1_score, recall_score

import ltfix
from ltfix.errors import UsageError
from ltfix.evaluation import reports
from ltfix.evaluation.gate import told
from ltfix.evaluation.measure import evaluate
from ltfix.evaluation.metrics import SCORES
from ltfix.evaluation.report import Report
from ltfix.evaluation.reports.per_class import ordered
from ltfix.evaluation.scores import predictions
from ltfix.features.read import open_cache

LABELS = [0, 0, 1, 1, 2, 3, 4, 4, 5, 6]
PRED = [0, 1, 1, 1, 2, 3, 4, 0, 0, 6]
F1 = [f1_score(LABELS, found, average="macro") for found in ([6 - k for k in PRED], PRED)]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    cache, head = one_hot_cache(PRED, LABELS, 7, counts=COUNTS, method="samn")
    stage1 = dataclasses.replace(head, method="stage-1", weight=head.weight[::-1].copy())
    head.save(tmp_path / "samn-freq.safetensors")
    return evaluate([tmp_path / "samn-freq.safetensors", stage1], cache)


def test_the_json_is_the_documented_one(report: Report, tmp_path: Path):
    assert json.loads(report.render("json")) == {
        "format": "ltfix-report/1",
        "report": "many-medium-few",
        "cache": {
            "path": "test.npz",
            "n": 10,
            "classes": 7,
            "fingerprint": None,
            "labels_sha256": hashlib.sha256(np.array(LABELS, "<i8").tobytes()).hexdigest(),
        },
        "shots": {"many": 100, "few": 20, "n_classes": {"many": 2, "medium": 3, "few": 2}},
        "tested": {"many": 2, "medium": 3, "few": 2},
        "untested": [],
        "notes": [],
        "heads": [
            {
                "name": "stage-1",
                "path": None,
                "method": "stage-1",
                "all": 0.1,
                "many": 0.0,
                "medium": pytest.approx(1 / 3),
                "few": 0.0,
                "class_mean": pytest.approx(1 / 7),
                "g_mean": 0.0,
                "macro_f1": pytest.approx(F1[0]),
                "top5": 0.7,
                "harmonic_mean": pytest.approx(7 / (1 + 6e5)),
                "worst_class": 0.0,
                "worst_class_name": "0",
                "correct": base64.b64encode(bytes([0b00000100, 0])).decode(),
                "seen": None,
            },
            {
                "name": "samn-freq",
                "path": str(tmp_path / "samn-freq.safetensors"),
                "method": "samn",
                "all": 0.7,
                "many": 0.75,
                "medium": pytest.approx(2.5 / 3),
                "few": 0.5,
                "class_mean": pytest.approx((0.5 + 1 + 1 + 1 + 0.5 + 0 + 1) / 7),
                "g_mean": 0.0,
                "macro_f1": pytest.approx(F1[1]),
                "top5": 0.9,
                "harmonic_mean": pytest.approx(7 / (2 + 1 + 1 + 1 + 2 + 1e5 + 1)),
                "worst_class": 0.0,
                "worst_class_name": "5",
                "correct": base64.b64encode(bytes([0b10111110, 0b01000000])).decode(),
                "seen": None,
            },
        ],
    }


def test_keys_stand_in_the_documented_order(report: Report):
    keys = ["format", "report", "cache", "shots", "heads", "tested", "untested", "notes"]
    assert list(report.to_dict()) == keys
    told = ["name", "path", "method", *SCORES, "worst_class_name", "correct", "seen"]
    assert list(report.to_dict()["heads"][0]) == told


def test_an_empty_shot_is_null_and_a_dash():
    cache, head = one_hot_cache([0, 1], [0, 1], 2, counts=np.array([500, 300]))
    report = evaluate(head, cache)
    assert json.loads(report.render("json"))["heads"][0]["few"] is None
    assert report.tables()[0].cells()[0][:8] == ["ce", "100.0", "100.0", "–", "–", "100.0", "100.0", "0"]
    assert report.render("csv").splitlines()[1] == "ce,,ce,1.0,1.0,,,1.0,1.0,0,1.0,1.0,1.0,1.0"


def test_boundaries_move_and_are_recorded():
    cache, head = one_hot_cache(PRED, LABELS, 7, counts=COUNTS)
    shots = evaluate(head, cache, many=40, few=21).to_dict()["shots"]
    assert shots == {"many": 40, "few": 21, "n_classes": {"many": 3, "medium": 1, "few": 3}}


def test_csv_is_fractions_and_markdown_percent(report: Report):
    rows = list(csv.DictReader(io.StringIO(report.render("csv"))))
    assert [row["all"] for row in rows] == ["0.1", "0.7"]
    assert "| samn-freq | **70.0** | **75.0** | **83.3** | **50.0** | 0.0 | 0.0 | 5 |" in report.render(
        "markdown"
    )
    assert "Many n > 100: 2 classes, Medium 20 ≤ n ≤ 100: 3, Few n < 20: 2." in report.render("markdown")


def test_differences_stand_in_the_csv_of_every_report():
    cache, head = noisy(counts=COUNTS)
    other = dataclasses.replace(head, method="los", bias=head.bias + 1)
    for kind in ("many-medium-few", "per-class", "calibration"):
        found = evaluate([head, other], cache, kind, against="ce")
        rows = list(csv.DictReader(io.StringIO(found.render("csv"))))
        few = found.heads[1]["difference"]["few"]
        assert rows[0]["difference_few_value"] == ""
        assert {end: rows[-1][f"difference_few_{end}"] for end in few} == {k: str(v) for k, v in few.items()}


def test_an_unknown_format_is_refused(report: Report):
    with pytest.raises(UsageError, match="no such text format: 'xml'"):
        report.render("xml")


def test_scores_agree_with_sklearn(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    write_cache(tmp_path / "test.npz", cache)
    head.save(tmp_path / "ce.safetensors")
    found = ltfix.evaluate(tmp_path / "ce.safetensors", str(tmp_path / "test.npz")).heads[0]
    pred = predictions(head, cache)
    recall = recall_score(cache.labels, pred, average=None)
    assert found["all"] == pytest.approx(accuracy_score(cache.labels, pred), rel=1e-12)
    assert found["many"] == pytest.approx(recall[:2].mean(), rel=1e-12)
    assert found["medium"] == pytest.approx(recall[2:5].mean(), rel=1e-12)
    assert found["few"] == pytest.approx(recall[5:].mean(), rel=1e-12)
    assert found["worst_class"] == pytest.approx(recall.min(), rel=1e-12)
    assert found["harmonic_mean"] == pytest.approx(7 / np.sum(1 / recall), rel=1e-12)


def test_against_a_row_or_another_head(tmp_path: Path):
    cache, head = noisy(counts=COUNTS)
    other = dataclasses.replace(head, method="los", bias=head.bias + np.linspace(0, 3, 7, dtype=np.float32))
    other.save(tmp_path / "los.safetensors")
    for heads in ([head], [head, tmp_path / "los.safetensors"]):
        report = evaluate(heads, cache, against=str(tmp_path / "los.safetensors"), seed=3)
        found = json.loads(report.render("json"))
        assert found["against"] == {
            "name": "los",
            "path": str(tmp_path / "los.safetensors"),
            "method": "los",
            "level": 0.95,
            "resamples": 2000,
            "seed": 3,
        }
        assert [row["difference"] is None for row in found["heads"]] == [False, True][: len(heads)]
        few = found["heads"][0]["difference"]["few"]
        assert few["low"] <= few["value"] <= few["high"] < 0
        assert [row[:2] for row in report.tables()[1].cells()] == [
            ["ce", shot] for shot in ("All", "Many", "Medium", "Few")
        ]
        assert "Points above los" in report.render("markdown")


@pytest.mark.parametrize("kind", reports.BUILT_IN)
def test_every_report_renders_in_every_format(kind: str):
    cache, head = noisy(views=2, counts=COUNTS)
    stage1 = dataclasses.replace(head, method="stage-1", bias=head.bias + 1)
    report = evaluate([head, stage1], cache, kind)
    assert json.loads(report.render("json"))["report"] == kind
    header, *rows = list(csv.reader(io.StringIO(report.render("csv"))))
    assert rows
    assert all(len(row) == len(header) == len(set(header)) for row in rows)
    assert "test.npz: 400 samples, 7 classes, logits averaged over 2 views" in report.render("markdown")


@pytest.mark.parametrize("kind", reports.BUILT_IN)
def test_every_report_bears_classes_without_training_or_test_samples(kind: str):
    counts = np.array([200, 200, 0, 0])
    cache, head = one_hot_cache([0, 1, 2], [0, 1, 1], 4, counts=counts)
    for form in ("json", "csv", "markdown"):
        evaluate(head, cache, kind).render(form)


class Counter:
    """A Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.total, self.done, self.finished = 0, list[int](), False

    def start(self, what: str, total: int, unit: str) -> None:
        self.total = total

    def advance(self, n: int = 1) -> None:
        self.done.append(n)

    def describe(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def finish(self) -> None:
        self.finished = True


@pytest.mark.parametrize("kind", reports.BUILT_IN)
def test_progress_hears_of_every_sample_of_every_head_once(kind: str):
    cache, head = noisy(counts=COUNTS)
    stage1 = dataclasses.replace(head, method="stage-1", bias=head.bias + 1)
    progress = Counter()
    evaluate([head, stage1], cache, kind, progress=progress)
    assert sum(progress.done) == progress.total == 2 * cache.n
    assert progress.finished


def test_the_posthoc_reference_rows(shared_data: Path):
    train = open_cache(shared_data / "c100_if100_train.safetensors")
    assert train.head is not None
    weight, bias = train.head.weight, train.head.bias
    norms = np.linalg.norm(weight, axis=1, keepdims=True)
    heads = [
        dataclasses.replace(train.head, method=method, weight=w.astype(np.float32), bias=b.astype(np.float32))
        for method, w, b in [
            ("logit-adjust", weight, bias - np.log(train.counts / train.n)),
            ("tau 0.5", weight / norms**0.5, 0 * bias),
            ("tau 1.0", weight / norms, 0 * bias),
            ("tau 1.5", weight / norms**1.5, 0 * bias),
            ("tau 2.0", weight / norms**2, 0 * bias),
        ]
    ]
    expected = {  # of the data's own description: (mean of both views), then the first alone
        "mean": {
            "stage-1": [38.39, 71.23, 37.20, 1.47],
            "logit-adjust": [43.03, 64.34, 46.97, 13.57],
            "tau 1.0": [41.92, 59.91, 42.66, 20.07],
        },
        "first": {
            "stage-1": [37.18, 69.60, 35.69, 1.10],
            "logit-adjust": [41.76, 63.60, 45.69, 11.70],
            "tau 0.5": [39.37, 67.17, 41.46, 4.50],
            "tau 1.0": [40.80, 58.77, 41.23, 19.33],
            "tau 1.5": [24.01, 19.20, 20.60, 33.60],
            "tau 2.0": [12.99, 1.77, 6.83, 33.27],
        },
    }
    for tta, rows in expected.items():
        report = evaluate([train, *heads], shared_data / "c100_if100_test.safetensors", tta=tta)
        found = {head["name"]: head for head in report.heads}
        for name, numbers in rows.items():
            shown = [100 * found[name][shot] for shot in ("all", "many", "medium", "few")]
            assert shown == pytest.approx(numbers, abs=0.0051), name


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("kind", reports.BUILT_IN)
def test_every_key_is_documented(kind: str):
    page = Path(__file__).resolve().parents[2] / "docs" / "format.md"
    text = page.read_text(encoding="utf-8").partition("## Reports")[2]
    cache, head = noisy(counts=COUNTS)
    report = evaluate([head, dataclasses.replace(head, method="los")], cache, kind, against="ce")
    assert [key for key in sorted(keys_of(report.to_dict())) if key not in text] == []


def test_a_note_says_where_a_head_saw_the_samples():
    cache, head = one_hot_cache(PRED, LABELS, 7, counts=COUNTS)
    own = copy.copy(cache)
    own.fingerprint = "ab12"
    fitted = dataclasses.replace(head, meta={**head.meta, "cache": "ab12"})
    found = evaluate(fitted, own, fail_under="few=0")
    assert (found.heads[0]["seen"], found.notes[-1]) == (
        "fitted",
        "Fitted on these samples, which flatters: ce.",
    )
    assert told(found.gates[0]).endswith("≥ 0, on samples that it was fitted on")
    assert [evaluate(*one).heads[0]["seen"] for one in ((head, own), (fitted, cache))] == [None, None]


def test_classes_are_side_by_side_and_in_the_order_asked_for():
    cache, head = noisy(counts=COUNTS)
    other = dataclasses.replace(head, method="los", bias=head.bias + np.arange(7))
    found = evaluate([head, other], cache, "per-class")
    assert [column.title for column in found.tables()[0].shown][-2:] == ["ce", "los"]
    assert len(found.tables()[0].rows) == 7
    assert len(list(csv.DictReader(io.StringIO(found.render("csv"))))) == 14

    def recalls(by: str) -> list[list[float]]:
        return [[entry["recall"] for entry in head["classes"]] for head in ordered(found, by).heads]

    first, last = recalls("gain")
    gains = [b - a for a, b in zip(first, last, strict=True)]
    assert gains == sorted(gains, reverse=True)
    assert recalls("recall")[1] == sorted(recalls("index")[1])
    counts = [entry["train"] for entry in ordered(found, "count").heads[0]["classes"]]
    assert counts == sorted(COUNTS, reverse=True)


def test_differences_of_heads_of_one_name_stay_with_their_rows():
    labels = np.repeat([0, 1, 2], 10)
    right, wrong = (head_of(sign * np.eye(3), counts=np.array([500, 50, 5])) for sign in (1, -1))
    test = cache_of(np.eye(3)[labels], labels)
    lines = evaluate([right, wrong], test, against=right).render("csv").splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["difference_all_value"] for row in rows] == ["", "-1.0"]


def test_classes_without_a_test_sample_are_named_with_what_macro_f1_makes_of_them():
    names = [f"class{k}" for k in range(8)]
    head = ltfix.Head(np.eye(8), np.zeros(8), "mine", names, np.full(8, 9))
    predicted = np.array([0, 1, 2, 7])  # the last sample is of class 2
    given = np.eye(8)[predicted], np.array(names)[[0, 1, 2, 2]]
    found = ltfix.evaluate(head, given)
    for report in reports.BUILT_IN:
        assert ltfix.evaluate(head, given, report=report).to_dict()["untested"] == names[3:]
    assert found.heads[0]["class_mean"] == pytest.approx(2.5 / 3)
    assert found.heads[0]["macro_f1"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    text = found.render("markdown")
    assert "5 of 8 classes have no test samples: class3, class4, class5, class6, class7. Macro-F1" in text
    assert "has no test samples" not in text
    whole = ltfix.evaluate(head, (np.eye(8), names))
    assert whole.to_dict()["untested"] == []
    assert "no test samples" not in whole.render("markdown")
    some = ltfix.evaluate(head, (np.eye(8)[:2], names[:2]))
    assert "6 of 8 classes have no test samples: class2, class3, class4, class5, class6 and 1 more." in (
        some.render("markdown")
    )
