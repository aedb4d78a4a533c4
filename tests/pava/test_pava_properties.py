"""What holds for any input, and that the twins agree to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pava_cases import BOTH, fit, load

coarse = st.integers(-30, 30).map(lambda v: v / 10)  # ties, and means that tie up to rounding
values = st.lists(coarse | st.floats(-1e6, 1e6, allow_subnormal=False), max_size=60)
positive = st.floats(1e-3, 1e3)


@settings(max_examples=300, deadline=None)
@given(y=values, single=st.booleans(), data=st.data())
def test_the_twins_agree_to_the_bit(y: list[float], single: bool, data: st.DataObject) -> None:
    dtype = np.float32 if single else np.float64
    given_y = np.array(y, dtype)
    weights = data.draw(st.none() | st.lists(positive, min_size=len(y), max_size=len(y)))
    w = None if weights is None else np.array(weights, dtype)
    (c, c_starts), (py, py_starts) = (fit(load(name), given_y, w) for name in BOTH)
    assert c.tobytes() == py.tobytes()
    assert c_starts.tolist() == py_starts.tolist()


@settings(max_examples=150, deadline=None)
@given(y=values, data=st.data())
def test_properties(y: list[float], data: st.DataObject) -> None:
    twin = load(data.draw(st.sampled_from(BOTH)))
    given_y = np.array(y, np.float64)
    scale = np.abs(given_y).max(initial=1.0)
    x, starts = fit(twin, given_y)
    assert (np.diff(x) >= 0).all()
    assert starts[0] == 0
    assert starts[-1] == len(y)
    assert (np.diff(starts) > 0).all()
    assert abs(x.sum() - given_y.sum()) <= 1e-12 * scale * max(1, len(y))
    np.testing.assert_array_equal(fit(twin, x)[0], x)
    np.testing.assert_array_equal(fit(twin, 4 * given_y)[0], 4 * x)
    close = {"atol": 1e-11 * scale, "rtol": 0}
    np.testing.assert_allclose(fit(twin, given_y + 7)[0], x + 7, **close)
    np.testing.assert_allclose(-fit(twin, -given_y[::-1].copy())[0][::-1], x, **close)
    np.testing.assert_allclose(x, max_min(given_y, np.ones(len(y))), **close)


@settings(max_examples=150, deadline=None)
@given(y=st.lists(coarse, max_size=25), data=st.data())
def test_weights_count_like_repetitions(y: list[float], data: st.DataObject) -> None:
    twin = load(data.draw(st.sampled_from(BOTH)))
    weight = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(y), max_size=len(y))), np.float64)
    given_y, times = np.array(y, np.float64), weight.astype(int)
    x, _ = fit(twin, given_y, weight)
    np.testing.assert_allclose(np.repeat(x, times), fit(twin, np.repeat(given_y, times))[0], atol=1e-12)
    np.testing.assert_allclose(x, max_min(given_y, weight), atol=1e-12)
    np.testing.assert_array_equal(fit(twin, x, weight)[0], x)


def max_min(y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x_i = max over a ≤ i of min over b ≥ i of the mean of y_a … y_b."""
    n = len(y)
    mean = {(a, b): y[a : b + 1] @ w[a : b + 1] / w[a : b + 1].sum() for a in range(n) for b in range(a, n)}
    return np.array([max(min(mean[a, b] for b in range(i, n)) for a in range(i + 1)) for i in range(n)])
