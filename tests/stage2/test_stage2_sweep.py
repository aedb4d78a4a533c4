"""A grid of one method's values: points, statistics, what moves the result."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable

import numpy as np
import pytest

import ltfix
from ltfix.errors import InputError, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tables import sweep as module
from ltfix.stage2.tables.ranges import parse_over
from ltfix.stage2.tables.sweep import sweep

COUNTS = [120, 40, 12, 5]
Draw = Callable[..., FeatureCache]


@pytest.fixture
def pair(draw_cache: Draw) -> tuple[FeatureCache, FeatureCache]:
    """Training and test features of one set of clouds."""
    return draw_cache(COUNTS, spread=2.5), draw_cache([30] * 4, spread=2.5, seed=1, stage1=False)


@pytest.mark.parametrize(
    ("text", "name", "points"),
    [
        ("delta=0.5,0.9,0.98", "delta", ["0.5", "0.9", "0.98"]),
        ("weight-decay=0, 1e-3", "weight_decay", ["0", "1e-3"]),
        ("metric=freq,norm", "metric", ["freq", "norm"]),
        ("lr=1e-3..1e-1", "lr", ["0.001", "0.00316228", "0.01", "0.0316228", "0.1"]),
        ("lr=1e-3..1e-1:3", "lr", ["0.001", "0.01", "0.1"]),
        ("epochs=5..80:5", "epochs", ["5", "10", "20", "40", "80"]),
    ],
)
def test_points(text: str, name: str, points: list[str]):
    assert parse_over(text) == (name, points)


def test_two_points_a_decade():
    _, points = parse_over("lr=1e-5..1e-1")
    assert len(points) == 9
    steps = np.diff(np.log10(np.array(points, float)))
    assert steps == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "lr",
        "lr=",
        "=1,2",
        "lr=1",
        "lr=1,1",
        "lr=1,,2",
        "lr=0..1",
        "lr=1..0.1",
        "lr=a..b",
        "lr=1..2:1",
        "lr=1..2:x",
    ],
)
def test_no_points(text: str):
    with pytest.raises(UsageError, match="over="):
        parse_over(text)


def test_points_are_those_of_fit(pair):
    train, test = pair
    over = {"lr": [1e-4, 1e-2], "delta": [0.5, 0.9], "epochs": [1, 2]}
    found = sweep(train, "los", over, seeds=[2, 5], test=test)
    assert [p["values"] for p in found.points] == [
        {"lr": lr, "delta": delta, "epochs": epochs}
        for lr in (1e-4, 1e-2)
        for delta in (0.5, 0.9)
        for epochs in (1, 2)
    ]
    for point in found.points[::3]:
        heads = [ltfix.fit(train, "los", seed=seed, **point["values"]) for seed in (2, 5)]
        rows = ltfix.evaluate([train, *heads], test).to_dict()["heads"][1:]
        for key in ("all", "many", "medium", "few"):
            assert point[key]["mean"] == pytest.approx(np.mean([row[key] for row in rows]), abs=1e-9)
            assert point[key]["std"] == pytest.approx(np.std([row[key] for row in rows], ddof=1), abs=1e-9)
        assert point["class_mean"]["mean"] == pytest.approx(point["all"]["mean"])
    assert found.on_test
    assert "nothing may be chosen" in found.tables()[0].title


def test_a_test_cache_of_several_views_is_scored_as_evaluate_scores_it(draw_cache: Draw):
    train = draw_cache(COUNTS, views=2, spread=2.5)
    test = draw_cache([30] * 4, views=2, spread=2.5, seed=1, stage1=False)
    how = {"options": Options(views_used="first")}
    found = sweep(train, "cosine", {"lr": [1e-3, 1e-2]}, test=test, values={"epochs": 1}, **how)
    for point in found.points:
        head = ltfix.fit(train, "cosine", epochs=1, **point["values"], **how)
        assert point["all"]["mean"] == ltfix.evaluate([train, head], test).heads[1]["all"]


def test_a_cut_is_scored_by_default_and_stays_out_of_the_fits(pair):
    found = sweep(pair[0], "ce", {"lr": [1e-3, 1e-2]})
    assert not found.on_test
    assert "class-wise cut" in found.scored_on
    assert all(p["all"]["std"] is None for p in found.points)
    assert any("uneven" in note for note in found.notes)


def test_a_validation_cache_is_scored_where_there_is_one(pair):
    train, val = pair
    found = sweep(train, "ce", {"lr": [1e-3, 1e-2]}, val=val)
    assert "validation cache" in found.scored_on
    same = sweep(train, "ce", {"lr": [1e-3, 1e-2]}, test=val)
    assert [p["all"] for p in found.points] == [p["all"] for p in same.points]


def test_by_how_much_each_value_moves_the_result(pair):
    over = {"lr": [1e-4, 1e-3, 1e-2], "delta": [0.1, 0.9]}
    found = sweep(pair[0], "los", over, test=pair[1], values={"epochs": 2})
    means = np.array([p["all"]["mean"] for p in found.points]).reshape(3, 2)
    lr, delta = found.spreads
    assert lr["value"] == "lr"
    assert lr["all"]["range"] == pytest.approx((means.max(0) - means.min(0)).mean())
    assert lr["all"]["best"] == over["lr"][means.mean(1).argmax()]
    assert lr["all"]["worst"] == over["lr"][means.mean(1).argmin()]
    assert delta["all"]["range"] == pytest.approx((means.max(1) - means.min(1)).mean())
    (flat,) = sweep(pair[0], "los", {"lr": [1e-8, 1e-9]}, test=pair[1], values={"epochs": 1}).spreads
    assert flat["all"] == {"range": 0.0, "best": None, "worst": None}


def test_the_best_setting_is_named_where_one_may_be_chosen(pair):
    over = {"lr": [1e-4, 1e-2], "delta": [0.1, 0.9]}
    found = sweep(pair[0], "los", over, values={"epochs": 2})
    top = max(found.points, key=lambda point: point["class_mean"]["mean"])
    told = f"Best by class mean: lr={top['values']['lr']}, delta={top['values']['delta']}, "
    assert f"{told}{100 * top['class_mean']['mean']:.1f}." in found.notes
    on_test = sweep(pair[0], "los", over, test=pair[1], values={"epochs": 2})
    flat = sweep(pair[0], "los", {"lr": [1e-8, 1e-9]}, values={"epochs": 1})
    assert not any(note.startswith("Best") for note in (*on_test.notes, *flat.notes))


def test_points_that_diverge_are_shown_as_such(pair):
    values = {"momentum": 0.99, "weight_decay": 1e4, "epochs": 3}
    found = sweep(pair[0], "ce", {"lr": [1e-7, 1e30]}, seeds=2, test=pair[1], values=values)
    sound, lost = found.points
    assert (sound["diverged"], lost["diverged"]) == (False, True)
    assert lost["all"] is None
    assert found.spreads[0]["diverged"] == 1
    assert found.spreads[0]["all"]["best"] == 1e-7
    assert any("1 of 2 points diverged" in note for note in found.notes)
    assert json.loads(found.render("json"))["points"][1]["all"] is None


def test_one_seed_that_diverges_spoils_its_point_and_the_cut_stays_out(pair, monkeypatch: pytest.MonkeyPatch):
    fitted: list[int] = []
    fit = module.side_by_side

    def spoil(material, data, tried, seeds):
        fitted.append(len(data))
        for i, (number, head) in enumerate(fit(material, data, tried, seeds)):
            yield number, dataclasses.replace(head, weight=head.weight * np.nan) if i == 0 else head

    monkeypatch.setattr(module, "side_by_side", spoil)
    found = sweep(pair[0], "ce", {"lr": [1e-3, 1e-2]}, seeds=2, values={"epochs": 1})
    assert [(p["diverged"], p["all"] is None) for p in found.points] == [(True, True), (False, False)]
    assert fitted[0] < sum(COUNTS)


def test_methods_without_training_and_whole_numbers(pair):
    taus = sweep(pair[0], "tau-norm", {"tau": ["0", "0.5", "1"]}, test=pair[1])
    assert [p["values"]["tau"] for p in taus.points] == [0.0, 0.5, 1.0]
    words = sweep(pair[0], "samn", {"metric": ["freq", "norm"]}, test=pair[1], values={"epochs": 1})
    assert [p["values"]["metric"] for p in words.points] == ["freq", "norm"]
    flat = sweep(
        (np.eye(3, 8)[[0] * 9 + [1] * 5 + [2] * 3], [0] * 9 + [1] * 5 + [2] * 3),
        "tau-norm",
        {"tau": "0.1..1"},
    )
    assert [p["values"]["tau"] for p in flat.points] == pytest.approx([0.1, 0.316228, 1.0])
    assert flat.spreads[0]["all"] == {"range": 0.0, "best": None, "worst": None}
    rounded = sweep(pair[0], "ce", {"epochs": ["1", "1.41421", "2.2"]}, test=pair[1])
    assert [p["values"]["epochs"] for p in rounded.points] == [1, 2]


def test_another_loss(pair):
    found = sweep(pair[0], "samn", {"delta": [0.1, 0.5]}, loss="los", values={"epochs": 1}, test=pair[1])
    assert found.method == "samn with los"


def test_forms(pair):
    found = sweep(pair[0], "los", {"delta": [0.1, 0.5]}, seeds=2, values={"epochs": 1}, test=pair[1])
    report = json.loads(found.render("json"))
    assert report["format"] == "ltfix-sweep/1"
    assert report["method"] == "los"
    assert report["on_test"] is True
    assert set(report["points"][0]["all"]) == {"mean", "std"}
    lines = list(csv.DictReader(io.StringIO(found.render("csv"))))
    assert [line["delta"] for line in lines] == ["0.1", "0.5"]
    assert {"all_mean", "all_std", "class_mean_mean", "diverged"} <= set(lines[0])
    assert "Best − worst" in found.render("markdown")
    with pytest.raises(UsageError, match="no such text format"):
        found.render("yaml")


@pytest.mark.parametrize(
    ("method", "over", "more", "message"),
    [
        ("smn", {"lr": [1, 2]}, {}, "did you mean"),
        ("los", {"detla": [0.1, 0.2]}, {}, "did you mean delta"),
        ("los", {"delta": [0.1, 3]}, {}, "delta = 3"),
        ("los", {"lr": [0.1, 0.2]}, {"values": {"lr": 0.1}}, "swept and given"),
        ("tau-norm", {"bias": ["drop", "keep"]}, {}, "needs a value for tau"),
        (
            "ce",
            {"lr": list(np.linspace(1, 2, 200)), "weight_decay": list(np.linspace(0, 1, 200))},
            {},
            "40000 points",
        ),
        ("ce", {"epochs": ["many", "few"]}, {}, "whole number"),
        ("ce", {"lr": [0.1, 0.2]}, {"seeds": 0}, "there must be one"),
    ],
    ids=str,
)
def test_what_is_refused(pair, method: str, over: dict, more: dict, message: str):
    with pytest.raises(UsageError, match=message):
        sweep(pair[0], method, over, **more)


def test_a_test_cache_that_does_not_fit_is_refused(pair, draw_cache: Draw):
    with pytest.raises(InputError, match="test features have D = 5"):
        sweep(pair[0], "ce", {"lr": [1, 2]}, test=draw_cache([3] * 4, dim=5))


def test_what_is_fixed_stands_in_the_title_and_the_json(draw_cache: Draw):
    found = sweep(draw_cache([40, 12, 5]), "los", {"lr": [1e-4, 1e-3]}, delta=0.7, epochs=2)
    assert found.tables()[0].title.startswith("los with delta=0.7, epochs=2 on ")
    assert found.to_dict()["values"] == {"delta": 0.7, "epochs": 2}


@pytest.mark.parametrize(("method", "fits"), [("tau-norm", [0]), ("ce", [0, 1, 2])])
def test_what_no_seed_decides_is_fitted_once(pair, method: str, fits: list[int]):
    over = {"tau": [0.5, 1.0]} if method == "tau-norm" else {"lr": [0.1, 0.01]}
    found = sweep(pair[0], method, over, seeds=3, test=pair[1])
    assert found.to_dict()["seeds"] == fits
    assert [point["all"]["std"] is None for point in found.points] == [len(fits) == 1] * 2
