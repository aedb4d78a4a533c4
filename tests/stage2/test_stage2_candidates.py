"""What a search tries of each method."""

from __future__ import annotations

import pytest

import ltfix
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve
from ltfix.stage2.tuning.candidates import DIRECTION_RATES, RATES, SCALES, Candidate, candidates, is_even

TRAINED = [m for m in ltfix.methods() if m.loss is not None]


def tried(name: str, **given) -> list[Candidate]:
    values = resolve(find_method(name), given)
    return candidates(values.for_classes(100), tune=True, scaled=True, normalized=True)


@pytest.mark.parametrize("method", TRAINED, ids=lambda m: m.name)
def test_the_published_setting_is_among_the_candidates(method):
    found = tried(method.name)
    published = {name: 0.98 if name == "delta" else v.default for name, v in method.values().items()}
    alike = [c for c in found if c.values.values == published and c.ground == (method.init, 1.0, "none")]
    assert len(alike) == 1
    assert len({(tuple(c.values.values.items()), c.ground) for c in found}) == len(found) <= 80


def test_rates_go_with_every_value_and_scales_with_the_published_ones():
    found = tried("los")
    assert {c.values["lr"] for c in found if c.values["delta"] == 0.5} == {5e-4 * r for r in RATES}
    assert {c.scale for c in found if c.values["delta"] == 0.98} == set(SCALES)
    assert {c.scale for c in found if c.values["delta"] != 0.98} == {1.0}
    assert {c.scale for c in tried("cosine")} == {1.0}
    published = resolve(find_method("cosine"), {})["lr"]
    assert {c.values["lr"] for c in tried("cosine")} == {published * r for r in DIRECTION_RATES}
    assert {c.normalize for c in found if c.values["delta"] == 0.98} == {"none", "standardize"}
    assert {c.normalize for c in found if c.values["delta"] != 0.98} == {"none"}
    assert {c.values["max_margin"] for c in tried("ldam") if c.normalize == "standardize"} == {0.3, 0.5}


def test_post_hoc_steps_that_depend_on_the_origin_try_another():
    for name in ("tau-norm", "mult-la"):
        assert {c.normalize for c in tried(name)} == {"none", "standardize"}
    assert {c.normalize for c in tried("logit-adjust")} == {"none"}
    assert {c.values["bias"] for c in tried("tau-norm")} == {"drop", "keep"}
    for found in (tried("etf"), tried("causal"), tried("cosine", cosine="capsule")):
        assert {c.normalize for c in found} == {"none"}


def test_a_fresh_head_is_also_tried_from_stage_1():
    assert {c.init.name for c in tried("crt")} == {"random", "stage1"}
    found = candidates(resolve(find_method("crt"), {}), tune=True, init="random", scaled=True)
    assert {c.init.name for c in found} == {"random"}


def test_what_was_given_is_not_searched():
    assert {c.values["delta"] for c in tried("los", delta=0.7)} == {0.7}
    assert {c.values["lr"] for c in tried("los", lr=0.1)} == {0.1}
    assert len(candidates(resolve(find_method("ncm"), {}), tune=True)) == 1
    taus = candidates(resolve(find_method("tau-norm"), {}), tune=False)
    assert [c.values["tau"] for c in taus] == [round(0.1 * i, 1) for i in range(21)]


@pytest.mark.parametrize(
    ("points", "even"),
    [((0, 0.1, 0.2, 0.3), True), ((0, 0.25, 1), False), (tuple("abcdefgh"), False), ((1, 2, 3), True)],
)
def test_even_points(points: tuple, even: bool):
    assert is_even(points) == even
