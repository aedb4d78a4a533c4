"""What a budget leaves out, and that it leaves the rest as it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ltfix
from ltfix.errors import UsageError
from ltfix.progress import SILENT
from ltfix.stage2.fitting.context import Material, Search
from ltfix.stage2.loop import engine
from ltfix.stage2.methods.options import Options, read_budget
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning import budget
from ltfix.stage2.tuning.budget import limit
from ltfix.stage2.tuning.method_fit import MethodFit

COUNTS = [300, 60, 12, 1]


@pytest.fixture
def fit_of(draw_cache, monkeypatch: pytest.MonkeyPatch):
    """``fit_of("500p", "los")``: a method on a cache, with that budget; two samples are worth tuning on."""
    monkeypatch.setattr(budget, "PART_SAMPLES", 2)

    def made(asked: str | None, method: str = "los") -> MethodFit:
        options = Options(tune=True, budget=asked)
        material = Material.of(draw_cache(COUNTS), None, options, 0)
        return MethodFit.of(material, resolve(find_method(method), {}))

    return made


@pytest.mark.parametrize(
    ("text", "found"), [("90s", (90, "s")), ("1.5m", (90, "s")), ("2h", (7200, "s")), ("500p", (500, "p"))]
)
def test_a_budget_is_of_time_or_of_passes(text: str, found: tuple[float, str]):
    assert read_budget(text) == found


@pytest.mark.parametrize("text", ["", "10", "10x", "m", "-5m", "1e3s", "nan s"])
def test_what_is_no_budget(text: str):
    with pytest.raises(UsageError, match="the budget is"):
        Options(tune=True, budget=text)


def test_a_budget_without_tuning_is_refused(draw_cache):
    with pytest.raises(UsageError, match="nothing is tuned"):
        ltfix.fit(draw_cache([9, 4]), "ce", budget="10m")
    with pytest.raises(UsageError, match="nothing is tuned"):
        ltfix.compare(draw_cache([9, 4]), draw_cache([9, 4]), ["ce"], budget="10m")


def test_none_and_one_that_suffices_change_nothing(fit_of):
    for asked in (None, "1000000p"):
        fit = fit_of(asked)
        assert limit([fit], 1) is fit.material


def test_less_and_less_is_tried_as_the_budget_shrinks(fit_of):
    whole = fit_of(None)
    needed = budget._passes([whole], Search(), 1)
    tried = []
    for share in (0.9, 0.4, 0.15, 0.1, 0.01):
        fit = fit_of(f"{share * needed:.0f}p")
        part = limit([fit], 1)
        settings = len(dataclasses.replace(fit, material=part).candidates())
        tried.append((len(part.folds()), len(part.data), settings))
        assert part.search.about["passes"] > 0
        assert part.search.about["passes"] <= np.ceil(share * needed) or part.search.settings == 0
        assert (part.data.counts >= np.minimum(COUNTS, budget.PART_OF_CLASS)).all()
    assert tried == sorted(tried, reverse=True)
    assert tried[0] == (tried[0][0], 373, len(whole.candidates()))
    assert 1 < tried[0][0] < 5
    assert tried[-1][::2] == (1, 1)
    assert part.search.about["tuned_on"].endswith(f" samples, {budget.PUBLISHED}")


def test_the_part_is_of_every_class_and_the_same_each_time(fit_of):
    third = budget._passes([fit_of(None)], Search(1), 1) / 3
    parts = [limit([fit_of(f"{third:.0f}p")], 1).data for _ in range(2)]
    assert np.array_equal(parts[0].rows, parts[1].rows)
    assert list(parts[0].counts[2:]) == [12, 1]
    assert 20 <= parts[0].counts[1] < parts[0].counts[0] < 300


def test_the_settings_nearest_to_the_published_one_stay(fit_of):
    fit = fit_of(None)
    part = dataclasses.replace(fit.material, search=Search(settings=0.1))
    left = dataclasses.replace(fit, material=part).candidates()
    assert len(left) < len(fit.candidates()) / 8
    first = left[0].values
    assert (first["lr"], first["delta"]) == (fit.values["lr"], fit.values["delta"])
    assert {candidate.values["delta"] for candidate in left} == {fit.values["delta"]}


def test_a_head_says_what_its_budget_left_out_and_is_fitted_on_all_samples(draw_cache):
    cache = draw_cache(COUNTS)
    heads = [ltfix.fit(cache, "los", tune=True, budget="400p") for _ in range(2)]
    assert heads[0].pack("a") == heads[1].pack("a")
    about = heads[0].meta["selection"]["budget"]
    assert about["asked"] == "400p"
    assert about["tuned_on"].startswith("1 of 5 cuts")
    tuned = {name: v["value"] for name, v in heads[0].meta["values"].items() if v["from"] != "default"}
    assert np.array_equal(list(heads[0].counts), COUNTS)
    scale, shift = (heads[0].meta["coordinates"][key] for key in ("feature_scale", "normalize"))
    same = ltfix.fit(cache, "los", **tuned, feature_scale=scale, normalize=shift)
    assert np.allclose(heads[0].weight, same.weight, atol=1e-5)


@pytest.mark.parametrize("method", ["los", "tau-norm"])
def test_values_that_a_budget_left_alone_are_not_said_to_be_chosen(draw_cache, method: str):
    cache = draw_cache(COUNTS)
    material = Material.of(cache, None, Options(tune=True), 0)
    part = dataclasses.replace(material, search=Search(1, settings=0.0, about={"tuned_on": "none"}))
    fit = MethodFit.of(part, resolve(find_method(method), {}))
    choice = fit.choose()
    (head,) = fit.train(choice, [0])
    chosen = {name for name, value in head.meta["values"].items() if value["from"] != "default"}
    assert chosen == set(fit.values.open)  # which have no published value, and are found without tuning
    origins = [{n: v["from"] for n, v in h.meta["values"].items()} for h in (head, ltfix.fit(cache, method))]
    assert origins[0] == origins[1]
    assert ("chosen" in head.meta["selection"]) == bool(chosen)


def test_time_is_turned_into_passes(fit_of, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "_seconds_a_pass", lambda fits: 0.5)
    by_time, by_passes = limit([fit_of("100s")], 1), limit([fit_of("200p")], 1)
    assert np.array_equal(by_time.data.rows, by_passes.data.rows)
    assert {**by_time.search.about, "asked": ""} == {**by_passes.search.about, "asked": ""}


def test_the_pace_is_of_settings_that_really_train_side_by_side(fit_of, monkeypatch: pytest.MonkeyPatch):
    trained, train = [], engine.train

    def counted(data, head, loss, schedule, *args, **named):
        trained.append(len(set(schedule.lr)))
        return train(data, head, loss, schedule, *args, **named)

    monkeypatch.setattr(engine, "train", counted)
    assert budget._seconds_a_pass([fit_of("10s")]) > 0
    assert trained == [budget.TIMED_SETTINGS] * 2


def test_a_time_that_was_overrun_is_told_and_probes_are_counted(draw_cache):
    said: list[str] = []
    listener = type("Told", (type(SILENT),), {"note": lambda self, text: said.append(text)})()
    cache = draw_cache([60, 20, 6], spread=2.0, stage1=False)
    ltfix.fit(cache, "los", tune=True, budget="0.001s", progress=listener)
    assert any(budget.PUBLISHED in text for text in said)
    assert "the budget of 0.001s is overrun" in said[-1]
    material = Material.of(cache, None, Options(tune=True), 0)
    assert budget._seconds_a_start(material) > 0
    material = Material.of(draw_cache([60, 20, 6]), None, Options(tune=True), 0)
    assert budget._seconds_a_start(material) == 0


def test_auto_and_compare_keep_one_for_all_their_methods(draw_cache):
    cache = draw_cache([60, 20, 6], spread=2.0)
    methods = ["ce", "lws", "tau-norm"]
    heads = [ltfix.fit(cache, "auto", methods=methods, budget="600p") for _ in range(2)]
    assert heads[0].pack("a") == heads[1].pack("a")
    assert "class-wise cut" in heads[0].meta["selection"]["auto"]["on"]
    found = ltfix.compare(cache, draw_cache([9, 9, 9]), methods, seeds=1, tune=True, budget="600p")
    assert {row["name"] for row in found.rows} >= {"ce-tuned", "lws-tuned"}
