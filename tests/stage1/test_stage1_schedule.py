"""Learning rates against their formulas."""

from __future__ import annotations

import math

import pytest

from ltfix.stage1.optimise import rate_at


def rates(**values: object) -> list[float]:
    values = {"epochs": 10, "lr": 0.1, "schedule": "cosine", "warmup_epochs": 0, **values}
    return [rate_at(epoch, values) for epoch in range(int(str(values["epochs"])))]


def test_cosine_is_half_of_one_plus_cos() -> None:
    assert rates() == pytest.approx([0.05 * (1 + math.cos(math.pi * e / 10)) for e in range(10)], rel=1e-15)
    assert rates()[-1] > 0


def test_warm_up_rises_linearly_then_the_cosine_starts() -> None:
    found = rates(warmup_epochs=4)
    assert found[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert found[4] == 0.1
    assert found[5] == pytest.approx(0.05 * (1 + math.cos(math.pi / 6)))


def test_steps_are_those_of_ldam_drw() -> None:
    found = rates(epochs=200, schedule="steps", warmup_epochs=5)
    assert found[0] == pytest.approx(0.1 / 5)
    assert found[159] == 0.1
    assert found[160] == pytest.approx(0.001)
    assert found[180] == pytest.approx(0.00001)


def test_gentle_steps_are_those_of_mislas() -> None:
    found = rates(epochs=200, schedule="gentle-steps", warmup_epochs=5)
    assert found[159] == 0.1
    assert (found[160], found[180]) == (pytest.approx(0.01), pytest.approx(0.001))


def test_constant_is_constant() -> None:
    assert rates(schedule="constant") == [0.1] * 10
    assert rates(epochs=3, warmup_epochs=3)[-1] == pytest.approx(0.1)
