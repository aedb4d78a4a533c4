"""The numbers of figures are those of the evaluation, and every figure draws."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from subjects import COUNTS, HOSTILE, Finding, Findings, full, subject, sweep_json

from ltfix.errors import EnvironmentFault, UsageError
from ltfix.evaluation.measure import Evaluation
from ltfix.evaluation.reports import BUILT_IN
from ltfix.report import canvas
from ltfix.report.figures import (
    FIGURES,
    accuracy,
    cosines,
    counts,
    evolution,
    figures_of,
    fisher,
    gains,
    load,
    logits,
    loma,
    norms,
    panels_of,
    reliability,
    sensitivity,
    write,
)
from ltfix.report.figures.trend import trend
from ltfix.report.subject import Subject


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws(name: str, tmp_path: Path):
    figure = load(name)
    data = figure.data(full())
    json.dumps(data, allow_nan=False)
    if name == "loma":
        assert figure.panels(data) == []  # of seven classes
        data["heads"][0]["shares"] *= 2
    panels = figure.panels(data)
    assert panels
    assert figure.TITLE
    assert figure.READ.endswith(".")
    for number, panel in enumerate(panels):
        drawn = canvas.draw_svg(panel, f"{name}{number}")
        ET.fromstring(drawn)
        if number == 0:
            assert drawn == canvas.draw_svg(panel, f"{name}0")
        assert all(found.startswith(f"{name}{number}-") for found in re.findall(r'id="([^"]*)"', drawn))
        assert "#1c2127" not in drawn
    canvas.draw_file(panels[:2], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_nothing_is_drawn_of_what_is_not_there():
    for name in ("comparison", "sensitivity", "training", "evolution", "fisher"):
        assert load(name).data(subject()) == {}


def test_numbers_are_those_of_the_evaluation():
    of = subject()
    evaluated = {kind: of.evaluation.report(kind).heads for kind in BUILT_IN}
    shown = accuracy.data(of)["heads"]
    assert [h["values"] for h in shown] == [
        [c["recall"] for c in h["classes"]] for h in evaluated["per-class"]
    ]
    sure = reliability.data(of)["heads"]
    assert [h["ece"] for h in sure] == [h["ece"] for h in evaluated["calibration"]]
    for head in sure:
        total = sum(b["samples"] for b in head["bins"])
        gaps = sum(b["samples"] * abs(b["accuracy"] - b["confidence"]) for b in head["bins"])
        assert (total, gaps / total) == (280, pytest.approx(head["ece"]))
    by_shot = logits.data(of)["heads"]
    assert [h["shots"]["few"]["loma"] for h in by_shot] == [h["loma"]["few"] for h in evaluated["logits"]]
    for head in by_shot:
        for found in head["shots"].values():
            assert found["true"]["mean"] - found["other"]["mean"] == pytest.approx(found["loma"], rel=1e-4)
    lengths = np.array(norms.data(of)["heads"][1]["values"])
    assert lengths.mean() == pytest.approx(1)
    assert counts.data(of) == {"counts": COUNTS.tolist(), "shots": [0, 0, 1, 1, 1, 2, 2]}


def test_gains_are_over_stage_1_and_accuracies_without_one():
    of = subject()
    base, mine, _ = of.evaluation.report("many-medium-few").heads
    found = gains.data(of)
    assert found["against"] == "stage-1"
    assert [head["name"] for head in found["heads"]] == ["<b>$mine$", "other"]
    assert found["heads"][0]["few"]["value"] == pytest.approx(mine["few"] - base["few"])
    evaluation = of.evaluation
    asked = {"many-medium-few": evaluation.report("many-medium-few", against="other")}
    other = gains.data(dataclasses.replace(of, reports=asked))
    assert other["against"] == "other"
    assert [head["name"] for head in other["heads"]] == ["stage-1", "<b>$mine$"]
    alone = gains.data(subject(stage1=False))
    assert alone["against"] is None
    assert alone["heads"][0]["few"]["value"] == mine["few"]


def test_the_cosine_map_against_the_plain_formula(monkeypatch: pytest.MonkeyPatch):
    of = subject()
    cache = of.evaluation.test.cache
    mean = np.stack([cache.features[cache.labels == k, 0].mean(0) for k in range(7)])
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    full_map = unit @ unit.T
    assert np.array(cosines.data(of)["cosine"]) == pytest.approx(full_map, abs=1e-3)
    assert cosines.data(of)["names"] == list(HOSTILE)
    monkeypatch.setattr(cosines, "BINS", 3)
    assert cosines.data(of)["names"] == []
    binned = np.array(cosines.data(of)["cosine"])
    groups = [[0, 1, 2], [3, 4], [5, 6]]
    assert binned[0, 1] == pytest.approx(full_map[np.ix_(groups[0], groups[1])].mean(), abs=1e-3)
    own = full_map[np.ix_(groups[0], groups[0])]
    assert binned[0, 0] == pytest.approx((own.sum() - 3) / 6, abs=1e-3)


def test_the_cosine_map_names_few_classes_in_the_order_of_their_counts():
    drawn = canvas.draw_svg(cosines.panels(cosines.data(subject(names=tuple("gfedcba"))))[0], "c")
    told = re.findall(r">([a-g])</text>", drawn)
    assert "".join(told) == 2 * "gfedcba"
    many = {"cosine": np.eye(31).tolist(), "classes": 31, "names": ["x"] * 31}
    assert ">x</text>" not in canvas.draw_svg(cosines.panels(many)[0], "c")


def test_a_calibrated_head_shares_the_pictures_that_it_does_not_change():
    evaluation = subject().evaluation
    mine = evaluation.rows[1].head
    cooler = dataclasses.replace(mine, temperature=np.full(7, 3, np.float32), path=Path("cool"))
    heads = [evaluation.rows[0].head, mine, cooler]
    of = Subject(Evaluation.of(heads, evaluation.test.cache))
    asked = ("accuracy", "norms", "confusions", "gains", "reliability", "logits")
    drawn = {f: [p.title for p in panels_of(load(f), load(f).data(of))] for f in asked}
    shared = ["stage-1", "<b>$mine$ = cool"]
    assert drawn["accuracy"] == drawn["confusions"] == shared
    assert drawn["norms"] == ["stage-1 = <b>$mine$ = cool"]
    assert drawn["gains"] == shared[1:]
    assert drawn["reliability"] == drawn["logits"] == ["stage-1", "<b>$mine$", "cool"]


def test_a_trend_is_the_mean_of_classes_of_alike_count():
    found = trend(list(range(1, 25)), [*map(float, range(23)), None])
    assert len(found) == 12
    assert found[0]["mean"] == 0.5
    assert found[0]["count"] == pytest.approx(math.sqrt(2))
    assert trend([1, 2], [None, None]) == []


def test_every_report_but_none_of_others_has_a_figure():
    assert all(figures_of(kind) for kind in BUILT_IN)
    assert figures_of("logits") == [logits, loma]
    assert figures_of("another") == []


def test_files_of_every_kind_are_the_same_twice(tmp_path: Path):
    panels = gains.panels(gains.data(subject()))[:1]
    for suffix in set(canvas.SUFFIXES) - {".json"}:
        for name in ("a", "b"):
            canvas.draw_file(panels, tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert "&lt;b&gt;$mine$" in (tmp_path / "a.svg").read_text()
    with pytest.raises(UsageError, match="there"):
        canvas.draw_file(panels, tmp_path / "a.svg", overwrite=False)


def test_too_many_lines_are_refused_and_left_out_of_the_page():
    crowded = sweep_json(lr=[0.1, 0.2], delta=list(range(13)))
    with pytest.raises(UsageError, match="13 lines are too many"):
        sensitivity.panels({"sweeps": [sensitivity.sweep_data(crowded)]})
    assert sensitivity.data(subject(findings=Findings([Finding("s", crowded)]))) == {}


def test_points_that_diverged_leave_gaps(tmp_path: Path):
    found = sweep_json(lr=[1e-6, 1e-5, 1e30])
    for score in ("all", "many", "medium", "few", "class_mean"):
        found["points"][2][score] = None
    canvas.draw_file(sensitivity.panels({"sweeps": [sensitivity.sweep_data(found)]}), tmp_path / "gaps.png")
    assert (tmp_path / "gaps.png").exists()


def test_without_matplotlib_or_with_a_strange_name_nothing_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UsageError, match=r"\.png, \.pdf, \.svg, \.json"):
        canvas.demand_plotting(tmp_path / "sweep.doc")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentFault, match=r"ltfix\[plot\]"):
        canvas.demand_plotting(tmp_path / "sweep.png")
    canvas.demand_plotting(tmp_path / "sweep.json")


def test_densities_are_of_the_logits_with_their_normal_distribution(monkeypatch: pytest.MonkeyPatch):
    of = subject()
    cache, head = of.evaluation.test.cache, of.evaluation.rows[1].head
    z = head.mean_logits(cache.features).astype(np.float64)
    found = logits.data(of)["heads"][1]
    few, width = found["shots"]["few"], found["edges"][1] - found["edges"][0]
    own = np.concatenate([z[cache.labels == k, k] for k in (5, 6)])
    others = np.concatenate([z[cache.labels != k, k] for k in (5, 6)])
    for part, values in (("true", own), ("other", others)):
        assert few[part]["mean"] == pytest.approx(norm.fit(values)[0], rel=1e-5)
        assert few[part]["std"] == pytest.approx(norm.fit(values)[1], rel=1e-5)
        counted = np.histogram(values, found["edges"])[0]
        assert np.array(few[part]["density"]) * width * len(values) == pytest.approx(counted, abs=1)
    monkeypatch.setattr(logits, "MOST", 7 * 70)
    part = logits.data(of)["heads"][1]["shots"]["few"]["true"]
    assert part["mean"] == pytest.approx(own.mean(), abs=own.std())
    assert part["mean"] != few["true"]["mean"]


def test_a_class_that_was_never_trained_is_not_among_the_others():
    test = subject().evaluation.test
    counts = test.shots.counts.copy()
    counts[6] = 0
    absent = dataclasses.replace(test, shots=dataclasses.replace(test.shots, counts=counts))
    head = subject().evaluation.rows[1].head
    lifted = dataclasses.replace(head, bias=head.bias - 1000 * (np.arange(7) == 6))
    assert logits.densities(lifted, absent)["shots"]["few"]["other"]["mean"] > -100
    assert logits.densities(lifted, test)["shots"]["few"]["other"]["mean"] < -100


def test_logits_that_are_all_equal_have_a_density_and_draw(tmp_path: Path):
    of = subject()
    flat = dataclasses.replace(
        of.evaluation.rows[1],
        head=dataclasses.replace(
            of.evaluation.rows[1].head, weight=np.zeros((7, 5), np.float32), bias=np.zeros(7, np.float32)
        ),
    )
    found = logits.densities(flat.head, of.evaluation.test)
    assert found["shots"]["many"]["true"]["std"] == 0
    for parts in found["shots"].values():
        parts["loma"] = None
    canvas.draw_file(logits.panels({"heads": [{"name": "flat", **found}]}), tmp_path / "flat.png")


def test_margins_in_tens_are_shares_of_all():
    margins = np.arange(25.0)
    margins[3] = np.nan
    found = loma.in_tens(margins)
    total = margins[~np.isnan(margins)].sum()
    assert found == pytest.approx([(45 - 3) / 9 / total, 14.5 / total, 22 / total])
    assert loma.in_tens(np.full(3, np.nan)) == [None]
    of = subject()
    row = of.evaluation.report("logits").heads[1]["classes"]["loma"]
    assert loma.data(of)["heads"][1]["shares"] == [pytest.approx(np.mean(row) / np.abs(row).sum())]


def test_norms_epoch_by_epoch_go_by_falling_count():
    trace = [{"epoch": e, "seed": s, "class_norm": [e + k for k in range(7)]} for e in (0, 1) for s in (3, 4)]
    found = evolution.data(subject(findings=Findings(traces=[Finding("t", trace)])))["traces"]
    assert found == [{"name": "t", "epochs": [0, 1], "norms": [list(range(7)), list(range(1, 8))]}]
    of_others = [{**line, "class_norm": [1.0]} for line in trace]
    assert evolution.data(subject(findings=Findings(traces=[Finding("t", of_others)]))) == {}


def test_fisher_s_ratio_is_the_report_s():
    of = subject(layers=2)
    told = of.evaluation.report("features").about["features"]
    found = fisher.data(of)
    assert found["layers"] == [0, 1, 2]
    assert found["fdr"] == [told["fdr"], *(step["fdr"] for step in told["random_layers"])]


def test_numbers_are_written_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    of = subject()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write([(f, f.data(of)) for f in figures_of("logits")], tmp_path / "n.json", overwrite=False)
    found = json.loads((tmp_path / "n.json").read_text())
    assert found["format"] == "ltfix-figures/1"
    assert found["figures"]["loma"] == loma.data(of)
