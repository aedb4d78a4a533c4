"""Methods × seeds on one cache pair: rows, statistics, what is kept and what is fitted again."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ltfix
from ltfix.compute import rounds_products
from ltfix.errors import InputError, Unused, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.progress import SILENT
from ltfix.stage2.fit import plan_fit
from ltfix.stage2.fitting import context
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options
from ltfix.stage2.tables import compare as compared
from ltfix.stage2.tables import fits as module
from ltfix.stage2.tables.compare import compare
from ltfix.stage2.tables.entries import entries
from ltfix.stage2.tuning import budget, store
from ltfix.stage2.tuning.method_fit import MethodFit

COUNTS = [120, 40, 12, 5]
Draw = Callable[..., FeatureCache]
FAST = {"epochs": 2}


@pytest.fixture
def pair(draw_cache: Draw) -> tuple[FeatureCache, FeatureCache]:
    """Training and test features of one set of clouds."""
    return draw_cache(COUNTS, spread=2.5), draw_cache([30] * 4, spread=2.5, seed=1, stage1=False)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """What is fitted: (method, seeds), in order."""
    done: list[tuple[str, tuple[int, ...]]] = []
    train = MethodFit.train

    def counted(self, choice, seeds, *more):
        done.append((self.values.method.name, tuple(seeds)))
        return train(self, choice, seeds, *more)

    monkeypatch.setattr(MethodFit, "train", counted)
    return done


def test_rows_are_those_of_fit_and_evaluate(pair):
    train, test = pair
    found = compare(train, test, ["ce", "logit-adjust"], seeds=[3, 4], values=FAST)
    rows = {row["name"]: row for row in found.rows}
    heads = [ltfix.fit(train, "ce", seed=seed, epochs=2) for seed in (3, 4)]
    scored = ltfix.evaluate([train, *heads], test).to_dict()["heads"]
    for key in ("all", "many", "medium", "few", "worst_class"):
        values = [row[key] for row in scored[1:]]
        assert rows["ce-epochs2"][key]["mean"] == pytest.approx(statistics.fmean(values))
        assert rows["ce-epochs2"][key]["std"] == pytest.approx(statistics.stdev(values))
        assert rows["stage-1"][key] == {"mean": scored[0][key], "std": None}
    assert rows["ce-epochs2"]["method"] == "ce"
    assert rows["ce-epochs2"]["seeds"] == 2
    assert rows["ce-epochs2"]["fit_seconds"] > 0
    assert rows["logit-adjust"]["all"]["std"] is None  # what no seed decides is fitted once
    assert rows["logit-adjust"]["seeds"] == 1
    means = [row["all"]["mean"] for row in found.rows]
    assert means == sorted(means, reverse=True)


def test_every_seed_and_the_interval_of_the_test_sample_are_told(pair):
    found = compare(*pair, ["ce"], seeds=[3, 4], values=FAST)
    row = next(row for row in found.rows if row["name"] == "ce-epochs2")
    assert [run["seed"] for run in row["runs"]] == [3, 4]
    assert statistics.fmean(run["all"] for run in row["runs"]) == pytest.approx(row["all"]["mean"])
    assert row["interval"]["low"] < row["all"]["mean"] < row["interval"]["high"]
    line = next(line for line in csv.DictReader(io.StringIO(found.render("csv"))) if line["method"] == "ce")
    for run in row["runs"]:
        assert float(line[f"few_s{run['seed']}"]) == run["few"]
    assert float(line["interval_low"]) == row["interval"]["low"]


def test_rows_are_tested_against_one_of_them(pair, tmp_path: Path):
    asked = ["ce", "logit-adjust", "crt"]
    found = compare(*pair, asked, seeds=2, values=FAST, against="ce-epochs2", folder=tmp_path)
    rows = {row["name"]: row for row in found.rows}
    assert rows["ce-epochs2"]["against"] is None
    others = [row["against"] for name, row in rows.items() if name != "ce-epochs2"]
    for test in others:
        assert test["low"] <= test["value"] <= test["high"]
        assert test["p"] <= test["p_holm"] <= 1
    value = rows["stage-1"]["all"]["mean"] - rows["ce-epochs2"]["all"]["mean"]
    assert rows["stage-1"]["against"]["value"] == pytest.approx(value)
    few = rows["stage-1"]["few"]["mean"] - rows["ce-epochs2"]["few"]["mean"]
    assert rows["stage-1"]["against"]["few"]["value"] == pytest.approx(few)
    lines = {row["name"]: row for row in csv.DictReader(io.StringIO(found.render("csv")))}
    assert float(lines["stage-1"]["against_few_value"]) == pytest.approx(few)
    assert float(lines["crt-epochs2"]["p_holm_few"]) == rows["crt-epochs2"]["against"]["few"]["p_holm"]
    finer = found.render("markdown", 2)
    assert f"{100 * value:+.2f}".replace("-", "−") in finer
    assert f"{100 * rows['stage-1']['all']['mean']:.2f}" in finer
    table = found.tables()[0]
    assert "− ce-epochs2" in [column.title for column in table.shown]
    marked = [line for line, test in zip(found.rows, table.cells(), strict=True) if "†" in test[5]]
    assert {row["name"] for row in marked} == {
        name for name, row in rows.items() if row["against"] and row["against"]["p_holm"] < 0.05
    }
    again = compare(*pair, asked, seeds=2, values=FAST, against="ce-epochs2", folder=tmp_path)
    assert [row["against"] for row in again.rows] == [row["against"] for row in found.rows]
    assert "(paired t-test, Holm-corrected" in found.render("latex")
    named = compare(*pair, asked, seeds=2, values=FAST, against="ce", folder=tmp_path)
    assert named.about["against"] == "ce-epochs2"
    with pytest.raises(UsageError, match=r"no row is called prob \(against\): known: ce-epochs2, stage-1$"):
        compare(*pair, ["ce"], seeds=1, values=FAST, against="prob")


def test_a_comparison_is_held_to_gates(pair):
    found = compare(*pair, ["ce"], seeds=2, values=FAST, fail_under="all=2,few=99.9")
    passed, failed = found.gates
    assert (passed["head"], passed["name"], passed["passed"]) == ("ce-epochs2", "all", True)
    assert not failed["passed"]
    assert failed["value"] == found.rows[-1]["few"]["mean"] or failed["value"] == found.rows[0]["few"]["mean"]
    with pytest.raises(UsageError, match="no score 'ece'"):
        compare(*pair, ["ce"], seeds=1, fail_under="ece=3")
    with pytest.raises(InputError, match="no tested class is many, so many cannot be held"):
        compare(*pair, ["ce"], seeds=1, values={"lr": 1e30}, fail_under="many=3", many=10**6)  # before a fit


def test_scores_on_the_training_samples_are_called_so(tmp_path: Path, draw_cache: Draw):
    train, test = draw_cache(COUNTS), draw_cache([9] * 4, seed=1)
    train.path, test.path = tmp_path / "train.npz", tmp_path / "test.npz"
    for scored, told in ((train, True), (test, False)):
        notes = compare(train, scored, ["ce"], seeds=1, values=FAST).tables()[0].notes
        assert any("These are the training samples" in note for note in notes) == told


def test_every_method_that_can_run_is_there_and_the_others_are_named(draw_cache: Draw):
    train, test = draw_cache(COUNTS, dim=4), draw_cache([9] * 4, dim=4, seed=1, stage1=False)
    found = compare(train, test, seeds=1, values={"epochs": 8})
    assert set(found.left_out) == {"etf-epochs8"}
    assert "simplex" in found.left_out["etf-epochs8"]
    assert len(found.rows) == len(ltfix.methods())  # stage 1 in etf's place
    assert any(note.startswith("Left out: etf") for note in found.tables()[0].notes)


def test_without_a_stage_1_classifier_the_probe_is_a_row(draw_cache: Draw):
    train, test = draw_cache(COUNTS, stage1=False), draw_cache([9] * 4, seed=1, stage1=False)
    found = compare(train, test, ["tau-norm"], seeds=1)
    assert {row["name"] for row in found.rows} == {"probe", "tau-norm"}


def test_a_head_that_fits_begin_with_is_the_row_and_no_probe_is_solved(pair, tmp_path: Path, monkeypatch):
    train, test = pair
    file = tmp_path / "mine.safetensors"
    train.head.save(file)
    bare = FeatureCache(train.path, train.shards, train.labels)
    monkeypatch.setattr(context, "find_probe", None)
    found = compare(bare, test, ["ce", "los"], seeds=1, values=FAST, init=str(file), fail_under="all=5")
    rows = {row["name"]: row for row in found.rows}
    assert set(rows) == {"init", "ce-epochs2", "los-epochs2"}
    assert rows["init"]["all"]["mean"] == ltfix.evaluate([train], test).heads[0]["all"]
    assert found.title.endswith("published values but for epochs=2, init mine.safetensors")
    assert "init" not in {gate["head"] for gate in found.gates}


def test_nothing_is_chosen_on_the_test_cache(pair):
    with pytest.raises(UsageError, match=r"it is the test cache, on which nothing may be chosen \(val\)"):
        compare(*pair, ["tau-norm"], seeds=1, val=pair[1])


def test_it_says_what_is_chosen_where_nothing_is_tuned(pair):
    found = compare(*pair, ["tau-norm", "ncm"], seeds=[3, 4])
    assert "Chosen once, by seed 3: tau; on 5 class-wise cuts" in " ".join(found.notes)
    assert "What other such samples would choose shows in no ±, † or interval." in " ".join(found.notes)
    assert found.to_dict()["chosen_on"].startswith("5 class-wise cuts")
    alone = compare(*pair, ["ncm"], seeds=1)
    assert alone.to_dict()["chosen_on"] is None
    assert "Chosen" not in " ".join(alone.notes)


def test_an_empty_shot_is_null(draw_cache: Draw):
    train, test = draw_cache([120, 40, 25]), draw_cache([9] * 3, seed=1, stage1=False)
    found = compare(train, test, ["ce"], seeds=2, values={"epochs": 1})
    assert [row["few"] for row in found.rows] == [None, None]
    json.loads(found.render("json"))
    assert "–" in found.render("markdown")


def test_a_method_may_stand_there_with_several_values(pair):
    found = compare(
        *pair, ["los:delta=0.5", "los:delta=0.9:lr=1e-3", "samn:metric=norm"], seeds=1, values=FAST
    )
    assert {row["name"] for row in found.rows} == {
        "stage-1",
        "los-epochs2-delta0.5",
        "los-lr0.001-epochs2-delta0.9",
        "samn-norm-epochs2",
    }


def test_finished_runs_are_not_fitted_again(pair, tmp_path: Path, fits):
    def run(asked: list[str], seeds: int, **more):
        return compare(*pair, asked, seeds=seeds, values=FAST, folder=tmp_path, **more)

    first = run(["ce", "los"], 2)
    assert sorted(fits) == [("ce", (0, 1)), ("los", (0, 1))]
    fits.clear()
    assert run(["ce", "los"], 2).rows == first.rows
    assert fits == []
    run(["ce", "los", "crt"], 3)
    assert sorted(fits) == [("ce", (2,)), ("crt", (0, 1, 2)), ("los", (2,))]
    kept = ltfix.load_head(tmp_path / "ce-epochs2-s2.safetensors")
    assert np.array_equal(kept.weight, ltfix.fit(pair[0], "ce", seed=2, epochs=2).weight)


def test_heads_tuned_under_a_budget_are_kept_for_what_it_left_to_tune_on(pair, tmp_path: Path, fits):
    def tuned_on(asked: list[str], seeds: int, **more) -> set[str]:
        fits.clear()
        compare(*pair, asked, seeds=seeds, values=FAST, tune=True, budget="80p", folder=tmp_path, **more)
        heads = map(ltfix.load_head, tmp_path.glob("ce-*.safetensors"))
        return {head.meta["selection"]["budget"]["tuned_on"] for head in heads}

    alone = tuned_on(["ce"], 1)
    with pytest.raises(UsageError, match=f"finished heads tuned on {next(iter(alone))} are there"):
        tuned_on(["ce", "cb", "focal"], 2)
    beside = tuned_on(["ce", "cb", "focal"], 2, overwrite=True)
    assert len(alone) == len(beside) == 1 and alone != beside
    assert sorted(fits) == [(name, (0, 1)) for name in ("cb", "ce", "focal")]
    tuned_on(["ce", "cb", "focal"], 2)
    assert fits == []
    more = {"seeds": 1, "values": FAST, "tune": True}
    with pytest.raises(UsageError, match=f"finished heads tuned on {next(iter(beside))} are there"):
        compare(*pair, ["ce"], folder=tmp_path, **more)
    compare(*pair, ["ce"], folder=tmp_path / "all", **more)
    fits.clear()
    compare(*pair, ["ce"], folder=tmp_path / "all", budget="100000p", **more)
    assert fits == []  # it left nothing out
    with pytest.raises(UsageError, match="finished heads tuned on all cuts and samples are there"):
        compare(*pair, ["ce"], folder=tmp_path / "all", budget="80p", **more)


def test_a_time_that_was_turned_into_passes_stays_so_for_the_same_request(
    pair, tmp_path: Path, fits, monkeypatch
):
    said: list[str] = []
    listener = type("Told", (type(SILENT),), {"note": lambda self, text: said.append(text)})()
    more = {"values": FAST, "tune": True, "folder": tmp_path, "progress": listener}

    def run(pace: float, budget_: str = "60s", seeds: int = 1, **how) -> None:
        fits.clear(), said.clear()
        monkeypatch.setattr(budget, "_seconds_a_pass", lambda _: pace)
        compare(*pair, ["ce", "cb"], seeds=seeds, budget=budget_, **more, **how)

    run(1.0)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(fits) == 2
    assert not any("begun" in text for text in said)
    (tmp_path / "cb-epochs2-tuned-s0.safetensors").unlink()  # as an interruption leaves it
    run(20.0)
    assert fits == [("cb", (0,))]
    assert any(re.search(r"budget 60s: goes on with \d+ passes of the begun run in", text) for text in said)
    again = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    assert again == {name: data for name, data in first.items() if name in again}
    run(20.0, "61s")  # which leaves the published values, of other names
    assert len(fits) == 2
    run(20.0, seeds=2, overwrite=True)  # another request
    assert not any("begun" in text for text in said)


def test_a_kept_run_names_parts_so_that_their_code_may_move(pair, tmp_path: Path):
    compare(*pair, ["crt"], seeds=1, values=FAST, folder=tmp_path)
    settings = json.loads((tmp_path / "crt-epochs2-s0.json").read_text())["settings"]
    parts = {"head": "linear", "loss": "ce", "posthoc": None, "constraint": None, "init": "random"}
    assert settings["method"].items() >= parts.items()
    assert settings["values"]["sampler"] == "class-aware"


def test_what_decides_no_head_refuses_none_that_is_kept(pair, tmp_path: Path, fits):
    train, test = pair
    plain = ltfix.Method("mine", "a", "us", defaults=FAST)
    told = ltfix.Method("mine", "told better", "us, 2026", defaults=FAST, grid={"epochs": [2, 3]})
    for method in (plain, told, "mine"):
        asked = ["ce", "ce:epochs=20"] if method == "mine" else [method]
        for row in asked:
            compare(train, test, [row], seeds=1, folder=tmp_path)
    assert [name for name, _ in fits] == ["mine", "ce"]


def test_the_choice_of_the_probe_is_told_beside_all_others(draw_cache: Draw):
    """It is made on validation samples too, and every row begins at it."""
    cut = "5 class-wise cuts of the training samples (20%, 11 samples each)"
    train, test = draw_cache([40, 12, 4], stage1=False), draw_cache([9] * 3, seed=1, stage1=False)
    found = compare(train, test, ["ce", "ncm"], seeds=2, values=FAST)
    of_probe, points = (
        found.to_dict()["probe"],
        ltfix.sweep(train, "ce", {"lr": [0.1, 1.0]}, test=test, epochs=1),
    )
    assert found.about["chosen_on"] is None
    assert of_probe["chosen_on"] == cut
    assert points.to_dict()["probe"] == of_probe
    told = f"The penalty of the probe, {of_probe['penalty']:g}, was chosen on {of_probe['chosen_on']}, "
    assert [told in note for note in found.notes].count(True) == 1
    assert [told in note for note in points.notes].count(True) == 1
    assert ltfix.fit(train, "ce", epochs=1).meta["init"] == {"from": "probe"} | of_probe


def test_where_no_fit_begins_at_a_probe_its_choice_is_not_told(pair, draw_cache: Draw):
    assert compare(*pair, ["ncm"], seeds=1).to_dict()["probe"] is None
    cache = draw_cache([40, 12, 4], stage1=False)
    assert ltfix.sweep(cache, "crt", {"lr": [0.1, 1.0]}, epochs=1).to_dict()["probe"] is None


def test_temperatures_are_chosen_on_validation_samples(pair, tmp_path: Path, draw_cache: Draw):
    vals = [draw_cache([9] * 4, spread=2.5, seed=seed, stage1=False) for seed in (2, 3)]
    how = {"seeds": 1, "values": FAST, "calibrate": "one", "folder": tmp_path}
    compare(*pair, ["ce"], val=vals[0], **how)
    with pytest.raises(UsageError, match="finished heads chosen on other samples are there"):
        compare(*pair, ["ce"], val=vals[1], **how)


def test_the_row_of_the_start_is_the_probe_where_that_is_asked_for(pair):
    found = compare(*pair, ["ncm"], seeds=1, init="probe", against="probe")
    assert found.about["against"] == "probe"
    with pytest.raises(UsageError, match="the heads begin with probe: against=probe"):
        compare(*pair, ["ncm"], seeds=1, init="probe", against="stage-1")


@pytest.mark.parametrize(("init", "aside"), [("random", True), ("class-mean", True), ("probe", False)])
def test_a_row_that_no_fit_began_with_is_called_so(pair, init: str, aside: bool):
    found = compare(*pair, ["ncm"], seeds=1, init=init)
    row = "probe" if init == "probe" else "stage-1"
    assert (f"No fit began at {row}: init is {init}." in found.notes) == aside


@pytest.mark.parametrize("asked", ["stage-1", "my start", "init"])
def test_a_head_of_ones_own_is_tested_against_by_its_name(pair, asked: str):
    mine = ltfix.Head(pair[0].head.weight, pair[0].head.bias, "stage-1").named("my start")
    found = compare(*pair, ["tau-norm"], seeds=1, init=mine, against=asked)
    assert found.about["against"] == "init"
    assert {row["name"]: row["against"] is None for row in found.rows} == {"init": True, "tau-norm": False}


def test_nothing_is_averaged_in_a_table(pair):
    with pytest.raises(Unused, match="method auto alone averages"):
        compare(*pair, ["ncm"], seeds=1, average=False)
    with pytest.raises(Unused, match="method auto alone averages"):
        ltfix.sweep(pair[0], "los", {"delta": [0.5, 0.9]}, average=False)


def test_what_was_chosen_for_the_first_seeds_holds_for_later_ones(
    pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tuned, choose = list[str](), MethodFit.choose
    told = lambda self, **more: tuned.append(self.values.method.name) or choose(self, **more)  # noqa: E731
    monkeypatch.setattr(MethodFit, "choose", told)

    def run(seeds: int, folder: Path, methods=("los",)):
        tuned.clear()
        return compare(*pair, methods, seeds=seeds, epochs=3, tune=True, folder=folder)

    run(1, tmp_path / "a")
    grown = run(3, tmp_path / "a", ["los", "ncm"])
    assert tuned == ["ncm"]
    rows = ltfix.evaluate([pair[0], tmp_path / "a"], pair[1]).heads
    assert [row["name"] for row in rows][1:] == [
        *(f"los-epochs3-tuned-s{i}" for i in range(3)),
        "ncm-s0",
    ]
    whole = run(3, tmp_path / "b", ["los", "ncm"])
    assert sorted(tuned) == ["los", "ncm"]
    chosen = [
        {row["name"]: [row["chosen"], row["validation"]] for row in found.rows} for found in (grown, whole)
    ]
    assert chosen[0] == chosen[1]
    name = "los-epochs3-tuned-s2.safetensors"
    one, other = (ltfix.load_head(tmp_path / folder / name) for folder in "ab")
    assert one.meta == other.meta
    assert one.weight == pytest.approx(other.weight, rel=1e-4, abs=1e-5)
    assert grown.rows[0]["all"]["mean"] == pytest.approx(whole.rows[0]["all"]["mean"], abs=0.01)


def test_runs_whose_choices_another_seed_made_are_fitted_again(pair, tmp_path: Path, fits):
    for seeds in ([0, 1], [1]):
        fits.clear()
        compare(*pair, ["ce"], seeds=seeds, values=FAST, folder=tmp_path)
    assert fits == [("ce", (1,))]


def test_runs_of_another_version_are_not_replaced_and_under_another_seeds_name_fitted_again(
    pair, tmp_path: Path, fits, monkeypatch: pytest.MonkeyPatch
):
    def run(*seeds: int, **more) -> list:
        fits.clear()
        compare(*pair, ["ce"], seeds=seeds, values=FAST, folder=tmp_path, **more)
        return [*fits]

    assert (run(0), run(0)) == ([("ce", (0,))], [])
    monkeypatch.setattr(store, "__version__", "0.0.0")
    with pytest.raises(UsageError, match="finished heads of another version of ltfix are there"):
        run(0)
    assert (run(0, overwrite=True), run(0)) == ([("ce", (0,))], [])
    for suffix in ("json", "safetensors"):
        (tmp_path / f"ce-epochs2-s0.{suffix}").rename(tmp_path / f"ce-epochs2-s1.{suffix}")
    assert run(0, 1) == [("ce", (0, 1))]


def test_a_changed_cache_value_or_shot_is_fitted_again(pair, tmp_path: Path, fits, draw_cache: Draw):
    train, test = pair

    def run(train=train, test=test, values=FAST, **more) -> int:
        fits.clear()
        compare(train, test, ["ce"], seeds=1, values=values, folder=tmp_path, **more)
        return len(fits)

    assert (run(), run()) == (1, 0)
    changed = draw_cache(COUNTS, spread=2.5)
    changed.shards[0][0, 0, 0] += 1
    with pytest.raises(UsageError, match="finished heads of other features are there"):
        run(train=changed)
    assert run() == 0  # nothing was lost
    assert (run(train=changed, overwrite=True), run(train=changed)) == (1, 0)
    assert run(overwrite=True) == 1
    assert run(values={"epochs": 3}) == 1
    assert run() == 0
    assert run(few=3) == 1
    other = draw_cache([29] * 4, spread=2.5, seed=1, stage1=False)
    assert run(test=other) == 1
    assert run(test=other, val=test, options=Options(tune=True)) == 1


def test_heads_of_others_are_not_replaced(pair, tmp_path: Path):
    ltfix.fit(pair[0], "ce", epochs=1).save(tmp_path / "ce-epochs2-s0.safetensors")
    with pytest.raises(UsageError, match="not from a comparison"):
        compare(*pair, ["ce"], seeds=1, values=FAST, folder=tmp_path)
    assert compare(*pair, ["ce"], seeds=1, values=FAST, folder=tmp_path, overwrite=True).rows


def test_the_test_cache_decides_nothing(pair, tmp_path: Path, draw_cache: Draw):
    train, test = pair
    other = draw_cache([7] * 4, spread=4.0, seed=9, stage1=False)
    for name, cache in (("a", test), ("b", other)):
        compare(
            train,
            cache,
            ["los", "tau-norm", "vs"],
            seeds=1,
            values={"epochs": 2},
            options=Options(tune=True),
            folder=tmp_path / name,
        )
    for head in (tmp_path / "a").glob("*.safetensors"):
        assert head.read_bytes() == (tmp_path / "b" / head.name).read_bytes()


def test_a_method_that_diverges_is_left_out_with_its_reason(pair):
    found = compare(*pair, ["ce", "logit-adjust"], seeds=1, values={"lr": 1e38, "momentum": 0.999})
    assert "NaN" in next(iter(found.left_out.values()))
    with pytest.raises(UsageError, match="no method can run"):
        compare(*pair, ["ce"], seeds=1, values={"lr": 1e38, "momentum": 0.999})


def test_one_sample_a_class_leaves_nothing_to_choose_on(draw_cache: Draw):
    train, test = draw_cache([1, 1, 1]), draw_cache([5] * 3, seed=1, stage1=False)
    found = compare(train, test, ["ce", "tau-norm"], seeds=1, values={"epochs": 1})
    assert "none can be held out" in found.left_out["tau-norm"]
    assert {row["name"] for row in found.rows} == {"stage-1", "ce-epochs1"}


def test_forms(pair):
    found = compare(*pair, ["ce", "los"], seeds=2, values=FAST)
    report = json.loads(found.render("json"))
    assert report["format"] == "ltfix-compare/1"
    assert report["seeds"] == [0, 1]
    assert report["tuned"] is False
    assert {"method", "name", "seeds", "all", "many", "medium", "few", "fit_seconds"} <= set(
        report["rows"][0]
    )
    assert set(report["rows"][0]["all"]) == {"mean", "std"}
    lines = list(csv.DictReader(io.StringIO(found.render("csv"))))
    assert {"name", "method", "seeds", "all_mean", "all_std", "few_mean", "fit_seconds"} <= set(lines[0])
    assert float(lines[0]["all_mean"]) == report["rows"][0]["all"]["mean"]
    assert [line["all_std"] for line in lines if line["name"] == "stage-1"] == [""]
    assert "**" in found.render("markdown")
    assert "Fit s" in found.render("markdown")
    assert "Fit s" not in found.render("latex")
    with pytest.raises(UsageError, match="no such text format"):
        found.render("yaml")


def test_what_tuning_chose_is_told_and_the_best_there_is_named(pair, tmp_path: Path):
    asked = ["ncm", "tau-norm", "los:epochs=2"]
    fresh, kept = (compare(*pair, asked, seeds=2, tune=True, folder=tmp_path) for _ in range(2))
    for found in (fresh, kept):
        rows = {row["name"]: row for row in found.rows}
        head = ltfix.load_head(tmp_path / "los-epochs2-tuned-s0.safetensors")
        row = rows["los-epochs2-tuned"]
        assert row["chosen"]["lr"] == head.meta["values"]["lr"]["value"]
        assert list(row["chosen"]) == head.meta["selection"]["chosen"]
        assert row["chosen"]["feature_scale"] == head.meta["coordinates"]["feature_scale"]
        assert row["validation"] == head.meta["selection"]["score"]
        assert rows["stage-1"]["validation"] == head.meta["selection"]["start_score"]
        assert rows["ncm"]["chosen"] == {}
        best = max(found.rows, key=lambda row: row["validation"])
        assert rows[found.about["chosen"]]["validation"] == best["validation"]
        line = next(
            line for line in csv.DictReader(io.StringIO(found.render("csv"))) if line["method"] == "los"
        )
        assert float(line["validation"]) == row["validation"]
        assert f"lr={row['chosen']['lr']:.4g}, " in line["chosen"]
        told = f"Chosen on validation: {found.about['chosen']}, {100 * best['validation']:.1f} %."
        assert told in str(found)
        assert "Chosen values" in found.render("markdown")
        latex = found.render("latex")
        assert (
            "Chosen values" in latex
            and "feature\\_scale=" in latex
            and told.replace("%", "\\%")[:20] in latex
        )
        assert latex.count("stage-1") >= 2  # its row on validation samples too
    assert [row["chosen"] for row in fresh.rows] == [row["chosen"] for row in kept.rows]
    plain = compare(*pair, ["ncm"], seeds=1)
    assert (plain.about["chosen"], plain.rows[0]["validation"], len(plain.tables())) == (None, None, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"asked": ["smn"]}, "did you mean"),
        ({"asked": ["ce:lr"]}, "no KEY=VALUE"),
        (
            {"asked": ["ce", "los delta=0.9"]},
            r"'los delta=0.9' is no method \(methods\): write it as los:delta=0.9$",
        ),
        ({"asked": ["los:epochs=1:delta=0.5", "0.9"]}, "los:epochs=1:delta=0.5,los:epochs=1:delta=0.9$"),
        ({"asked": ["samn:metric=freq", "norm"]}, "another value.*samn:metric=freq,samn:metric=norm$"),
        ({"asked": ["ce:loss=los", "logit-adjusted"]}, "another value.*,ce:loss=logit-adjusted$"),
        ({"asked": ["los:delta=0.5", "samm"]}, "unknown method 'samm'.*did you mean samn"),
        ({"asked": ["ce:tau=1"]}, "has no value 'tau'"),
        ({"asked": ["ce", "ce"]}, "asked for twice"),
        ({"asked": []}, "no method is named"),
        ({"asked": ["ce"], "values": {"tau": 1}}, "no method here takes tau"),
        ({"asked": ["ce"], "seeds": [1, 1]}, "seeds must differ"),
        ({"asked": ["ce"], "seeds": 0}, "there must be one"),
    ],
    ids=str,
)
def test_what_is_refused(pair, arguments: dict, message: str):
    asked = arguments.pop("asked")
    with pytest.raises(UsageError, match=message):
        compare(*pair, asked, **arguments)


def test_caches_that_do_not_fit_are_refused(pair, draw_cache: Draw):
    train, _ = pair
    with pytest.raises(InputError, match="test features have D = 5, training D = 8"):
        compare(train, draw_cache([3] * 4, dim=5), ["ce"])
    with pytest.raises(InputError, match="test label 4 is not below K = 4"):
        compare(train, draw_cache([3] * 5, stage1=False), ["ce"])


def test_shared_values_go_to_the_methods_that_take_them():
    found = {entry.name: entry.values for entry in entries(["los", "tau-norm"], {"epochs": "7"}, tune=False)}
    assert found["los-epochs7"]["epochs"] == 7
    assert "epochs" not in found["tau-norm"]
    assert [entry.name for entry in entries(["ce", "ncm"], {}, tune=True)] == ["ce-tuned", "ncm"]


def test_several_fits_at_once_give_the_same_table(pair, monkeypatch: pytest.MonkeyPatch):
    def rows() -> list[dict]:
        found = compare(*pair, ["ce", "los", "samn", "tau-norm"], seeds=2, values=FAST).rows
        return [{k: v for k, v in row.items() if k != "fit_seconds"} for row in found]

    alone = rows()
    monkeypatch.setattr(module, "threads_for", lambda _: 3)
    assert rows() == alone


@pytest.mark.parametrize(
    ("name", "one", "other", "told"),
    [
        ("views_used", "random", "first", "with views_used=random"),
        ("init", None, "probe", "without init"),
        ("normalize", "none", "l2", "with normalize=none"),
        ("feature_scale", 2.0, "auto", r"with feature_scale=2\.0"),
    ],
)
def test_heads_of_another_option_are_not_replaced(
    pair, tmp_path: Path, fits, monkeypatch, name: str, one, other, told: str
):
    def run(value, **more) -> int:
        fits.clear()
        compare(*pair, ["ce"], seeds=1, values=FAST, folder=tmp_path, **{name: value}, **more)
        return len(fits)

    assert run(one) == 1
    kept = (tmp_path / "ce-epochs2-s0.safetensors").read_bytes()
    with pytest.raises(UsageError, match=f"finished heads {told} are there .*: name another folder"):
        run(other)
    assert (tmp_path / "ce-epochs2-s0.safetensors").read_bytes() == kept
    assert (run(one), run(other, overwrite=True), run(other)) == (0, 1, 0)


def test_tuned_heads_of_another_search_are_not_replaced(pair, tmp_path: Path, fits, monkeypatch):
    def run(**more) -> list:
        fits.clear()
        compare(*pair, ["tau-norm"], seeds=1, folder=tmp_path, **more)
        return [*fits]

    assert (len(run(tune=True)), run(tune=True)) == (1, [])
    monkeypatch.setattr(store, "TRIED", [])
    with pytest.raises(UsageError, match="heads tuned by a search that tries other rates or scales are"):
        run(tune=True)
    assert (len(run(tune=True, overwrite=True)), run(tune=True)) == (1, [])


def test_what_no_choice_decides_may_stand_in_a_table_that_is_tuned(pair, tmp_path: Path, fits):
    for tune in (False, True):
        compare(*pair, ["ncm"], seeds=1, folder=tmp_path, tune=tune)
    assert fits == [("ncm", (0,))] * 2  # to be scored on validation samples


def test_rows_that_a_budget_left_at_their_published_values_are_not_called_tuned(pair, tmp_path: Path):
    asked = ["ce", "tau-norm"]
    rows = [
        compare(*pair, asked, seeds=1, values=FAST, tune=True, budget=budget_, against=f"ce-epochs2{end}")
        for budget_, end in (("1p", "-tuned"), ("1p", ""), ("100000p", "-tuned"))
    ]
    names = [{row["name"] for row in found.rows} for found in rows]
    assert names[0] == names[1] == {"stage-1", "ce-epochs2", "tau-norm-tuned"}  # which has no published τ
    assert names[2] == {"stage-1", "ce-epochs2-tuned", "tau-norm-tuned"}
    assert rows[0].title.endswith(", published values but for epochs=2")
    assert any(": tau; on " in note for note in rows[0].notes)
    assert rows[2].title.endswith(", tuned but for epochs=2")
    assert [found.about["tuned"] for found in rows] == [False, False, True]
    alone = compare(*pair, ["ce"], seeds=1, values=FAST, tune=True, budget="1p")
    assert (alone.about["chosen_on"], alone.about["chosen"]) == (None, None)
    assert not any(note.startswith("Chosen") for note in alone.notes)
    assert "Nothing was chosen: the budget leaves no room to tune" in str(alone)
    assert "Nothing was chosen" in alone._repr_html_()


@pytest.mark.parametrize("more", [{"tune": True, "budget": "1p"}, {"val_fraction": 0.2}])
def test_a_table_of_validation_scores_that_chose_nothing_says_so(pair, more: dict):
    found = compare(*pair, ["ce"], seeds=1, values=FAST, **more)
    title, text = found.tables()[1].title, str(found)
    assert title == "What validation samples say"
    assert "accuracy on validation samples, on which nothing was chosen." in text
    assert "Chosen values" not in text


@pytest.mark.parametrize("more", [{}, {"tune": True, "budget": "1p"}])
def test_the_epoch_counts_among_what_was_chosen(pair, more: dict):
    found = compare(*pair, ["ce", "ncm"], seeds=1, values=FAST, select="best-val", **more)
    assert "of the training samples (20%, " in found.about["chosen_on"]
    assert any(note.startswith("Chosen once, by seed 0: epoch; on ") for note in found.notes)
    assert found.tables()[1].title == "What validation samples chose"
    assert re.search("^ce-epochs2 .*epoch=[12]$", str(found), re.M)
    assert "nothing was chosen" not in str(found).lower()
    alone = compare(*pair, ["ncm"], seeds=1, select="best-val", val_fraction=0.2)
    assert (alone.about["chosen_on"], len(alone.tables())) == (None, 2)


def test_the_temperature_counts_among_what_was_chosen(pair, draw_cache: Draw):
    found = compare(*pair, ["ncm"], seeds=1, val=draw_cache([9] * 4, seed=2, stage1=False), calibrate="one")
    assert any(note.startswith("Chosen once, by seed 0: temperature; on ") for note in found.notes)


@pytest.mark.skipif(not rounds_products(), reason="float32 matrices are multiplied in float32 alone here")
def test_products_in_bfloat16_move_little_and_are_told(draw_cache: Draw, tmp_path: Path, fits):
    train, test = draw_cache(COUNTS, dim=64, spread=2.5), draw_cache([30] * 4, dim=64, stage1=False)
    for precision in ("fp32", "bf16"):
        found = compare(
            train, test, ["samn"], seeds=1, values=FAST, folder=tmp_path, precision=precision, overwrite=True
        )
    assert len(fits) == 2
    assert found.title.endswith("published values but for epochs=2, in bf16")
    weight = [
        ltfix.fit(train, "samn", epochs=2, precision=precision).weight for precision in ("fp32", "bf16")
    ]
    moved = np.abs(weight[1] - weight[0]).max() / np.abs(weight[0]).max()
    assert 1e-6 < moved < 2e-2


def test_of_equal_rows_the_start_is_the_best_on_validation():
    rows = [{"name": name, "validation": score} for name, score in (("tau-norm", 0.5), ("stage-1", 0.5))]
    assert compared._best([*rows, {"name": "ncm", "validation": None}]) == "stage-1"
    assert compared._best([*rows, {"name": "los", "validation": 0.6}]) == "los"


def test_differences_stand_below_each_other(pair):
    found = compare(*pair, ["ce", "crt"], seeds=1, values=FAST, against="ce")
    assert "of this one seed (McNemar's test with the correction for continuity, Holm-corrected" in str(found)
    (table, *_) = found.tables()
    shown = [cells[5] for cells in table.cells()]
    shown.remove("–")
    assert len(shown) == 2
    assert all(re.fullmatch(r"[+−]\d+\.\d( †|  )", text) for text in shown)
    latex = found.render("latex")
    assert r"\begin{tabular}{lrrrrr" in latex
    assert not re.search(r"& -\d", latex)
    first = latex.partition(r"\end{tabular}")[2]
    assert first.startswith("\n\\par\\smallskip{\\footnotesize $\\dagger$: beyond chance over test samples")
    assert "%" not in first.splitlines()[1].replace(r"\%", "")


@pytest.mark.parametrize("budget_", ["40p", "80p"])
def test_the_samples_that_chose_are_those_that_a_budget_left(draw_cache: Draw, tmp_path: Path, budget_: str):
    pair = draw_cache(COUNTS, stage1=False), draw_cache([9] * 4, seed=1, stage1=False)
    how = {"seeds": 1, "values": FAST, "tune": True, "budget": budget_, "calibrate": "one"}
    found = compare(*pair, ["los"], folder=tmp_path, **how)
    (head,) = (ltfix.load_head(path) for path in tmp_path.glob("los*.safetensors"))
    whole = Material.of(pair[0], None, Options(), 0).folds()[0].where
    on = head.meta["selection"]["on"]
    assert found.about["chosen_on"] == on != whole
    told = f", temperature; on {on} (temperature: on {whole}); tuned on "
    assert [told in note for note in found.notes].count(True) == 1
    again = compare(*pair, ["los"], folder=tmp_path, **how)
    assert again.notes == found.notes


def test_a_row_of_two_of_a_method_is_asked_for_by_name(pair):
    hint = r"2 rows are of los \(against\): name one: los-delta0\.5, los-delta0\.9"
    with pytest.raises(UsageError, match=hint):
        compare(*pair, ["los:delta=0.5", "los:delta=0.9"], against="los")
    found = compare(*pair, ["los:delta=0.5", "los"], seeds=1, values=FAST, against="los")
    assert found.about["against"] == "los-epochs2"  # the one without values of its own


def test_all_methods_have_a_word():
    assert [entry.name for entry in entries(["all"], {}, tune=False)] == [
        entry.name for entry in entries(None, {}, tune=False)
    ]
    assert plan_fit("auto", methods=["all"]) == plan_fit("auto")


def test_a_tuned_table_says_what_the_budget_left_and_nothing_of_one_scale(pair):
    found = compare(*pair, ["samn", "tau-norm"], seeds=1, values=FAST, tune=True, budget="4p")
    assert not any(note.startswith("Features while fitting") for note in found.notes)
    assert any(
        f"; tuned on {found.to_dict()['budget']['tuned_on']}, by the budget. " in note for note in found.notes
    )
