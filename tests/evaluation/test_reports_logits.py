from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ltfix.evaluation.reports.logits import margins


def split(z: np.ndarray, size: int) -> list[tuple[slice, np.ndarray]]:
    return [(slice(i, i + size), z[i : i + size]) for i in range(0, len(z), size)]


@pytest.mark.parametrize("size", [7, 30])
def test_golden_margins(golden: Callable[[str], dict[str, np.ndarray]], size: int):
    given = golden("heads_official")
    found = margins(split(given["linear.logits"], size), given["test_y"], 10)
    for ours, name in ((found["loma"], "L"), (found["std"], "std_all"), (found["regularised_std"], "R_all")):
        np.testing.assert_allclose(ours, given[f"loma.{name}"], rtol=1e-6)


def test_both_readings_by_their_definition():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(200, 5)) + 1000, rng.integers(0, 4, 200)
    found = margins(split(z, 64), labels, 5)
    for k in range(4):
        mine = labels == k
        rest = np.delete(z[mine], k, axis=1).mean(1)
        assert found["loma"][k] == pytest.approx(z[mine, k].mean() - z[~mine, k].mean(), abs=1e-9)
        assert found["loma_row"][k] == pytest.approx((z[mine, k] - rest).mean(), abs=1e-9)
        assert found["std"][k] == pytest.approx(z[:, k].std(), rel=1e-9)
        assert found["std_pos"][k] == pytest.approx(z[mine, k].std(), rel=1e-9)
    assert np.isnan(found["loma"][4])
    assert np.isnan(found["regularised_std"][4])


def test_a_margin_of_zero_has_no_ratio():
    found = margins([(slice(0, 2), np.array([[1.0, 0.0], [1.0, 0.0]]))], np.array([0, 1]), 2)
    assert found["loma"].tolist() == [0.0, 0.0]
    assert np.isnan(found["regularised_std"]).all()
