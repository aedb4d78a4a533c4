"""The kernel and its twin: blocks and values."""

from __future__ import annotations

import array
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pava_cases import KINDS, fit, load, sequence

ISOLATED = Path(__file__).parent.parent / "isolated"


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_fits_what_scipy_and_scikit_learn_fit(twin: ModuleType, kind: str, n: int) -> None:
    from scipy.optimize import isotonic_regression
    from sklearn.isotonic import isotonic_regression as sklearn_isotonic

    y = sequence(kind, n)
    scale = max(1.0, np.abs(y).max())
    weight = np.random.default_rng(1).uniform(0.1, 3, n)
    for w in (None, weight):
        out, starts = fit(twin, y, w)
        np.testing.assert_allclose(out, isotonic_regression(y, weights=w).x, atol=1e-12 * scale, rtol=0)
        np.testing.assert_allclose(out, sklearn_isotonic(y, sample_weight=w), atol=1e-12 * scale, rtol=0)
        assert starts[0] == 0
        assert starts[-1] == n
        assert (np.diff(starts) > 0).all()


@pytest.mark.parametrize("kind", ["random", "noisy", "sorted", "reversed", "tied", "constant"])
def test_a_million_elements(kind: str) -> None:
    from scipy.optimize import isotonic_regression

    y = sequence(kind, 10**6)
    out, _ = fit(load("ltfix._pava"), y)
    np.testing.assert_allclose(out, isotonic_regression(y).x, atol=1e-11, rtol=0)


def test_golden(twin: ModuleType, golden: Callable[[str], dict[str, np.ndarray]]) -> None:
    stored = golden("pava")
    edges, compared = stored["offsets"], 0
    for i, kind in enumerate(stored["kind"]):
        part = slice(edges[i], edges[i + 1])
        y, w, g = (stored[name][part] for name in ("y", "w", "cotangent"))
        unit = kind not in (4, 5)
        out, starts = fit(twin, y, None if unit else w)
        np.testing.assert_allclose(out, stored["x_increasing"][part], atol=1e-12, rtol=0)
        sums = np.add.reduceat(g, starts[:-1]) / np.add.reduceat(w, starts[:-1])
        pulled = w * np.repeat(sums, np.diff(starts))
        if unit:
            np.testing.assert_allclose(pulled, stored["official_unweighted_vjp"][part], atol=1e-12, rtol=0)
        if len(starts) - 1 == stored["n_blocks_increasing"][i]:  # no ties: merging them changes nothing
            np.testing.assert_allclose(pulled, stored["vjp_merge_ties"][part], atol=1e-12, rtol=0)
            compared += 1
        down = -fit(twin, -y, None if unit else w)[0]
        np.testing.assert_allclose(down, stored["x_decreasing"][part], atol=1e-12, rtol=0)
    assert compared > 100


@pytest.mark.parametrize(
    ("y", "edges"),
    [
        ([], [0]),
        ([4], [0, 1]),
        ([1, 2], [0, 1, 2]),
        ([2, 1], [0, 2]),
        ([1, 1, 1], [0, 1, 2, 3]),
        ([2, 1, 1.5], [0, 2, 3]),
        ([1.5, 2, 1], [0, 1, 3]),
        ([1, 3, 2, 2.5, 2.5, 4], [0, 1, 3, 4, 5, 6]),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_only_strict_violations_merge(
    twin: ModuleType, y: list[float], edges: list[int], weighted: bool
) -> None:
    out, starts = fit(twin, y, np.full(len(y), 0.3) if weighted else None)
    assert starts.tolist() == edges
    assert (np.diff(out) >= 0).all()


def test_equal_values_of_any_weight_stay_apart(twin: ModuleType) -> None:
    weight = np.random.default_rng(0).uniform(1e-3, 1e3, 500)
    out, starts = fit(twin, np.full(500, 0.1), weight)
    assert len(starts) == 501
    assert (out == 0.1).all()


def test_single_precision_sums_in_double(twin: ModuleType) -> None:
    y = sequence("reversed", 5000).astype(np.float32) + np.float32(1000)
    out, starts = fit(twin, y)
    assert out.dtype == np.float32
    assert starts.tolist() == [0, 5000]
    assert out[0] == np.float32(y.astype(np.float64).mean())


def test_output_may_be_the_input(twin: ModuleType) -> None:
    for kind in KINDS:
        for dtype in (np.float32, np.float64):
            for weight in (None, np.linspace(0.5, 2, 200).astype(dtype)):
                y = sequence(kind, 200).astype(dtype)
                expected, _ = fit(twin, y, weight)
                twin.pava(y, y, np.empty(201, np.int64), weight)
                np.testing.assert_array_equal(y, expected)


def test_accepts_any_native_buffer(twin: ModuleType) -> None:
    y, solved = [3.0, 1.0, 2.0, 5.0], [2.0, 2.0, 2.0, 5.0]
    native = "<f8" if sys.byteorder == "little" else ">f8"
    for given_y in (
        array.array("d", y),
        memoryview(array.array("d", y)),
        np.array(y, native),
        np.array(y, "=f8"),
    ):
        for starts in (array.array("q", [0] * 5), np.zeros(9, np.int64), np.zeros(5, np.intp)):
            out = array.array("d", [0.0] * 4)
            assert twin.pava(given_y, out, starts) == 3
            assert out.tolist() == solved
            assert list(starts)[:4] == [0, 2, 3, 4]
    read_only = np.array(y)
    read_only.flags.writeable = False
    out = np.zeros(4)
    assert twin.pava(read_only, out, np.zeros(5, np.int64), read_only) == 2


def test_threads_do_not_disturb_each_other() -> None:
    """Above 4096 elements the C kernel lets other threads run."""
    twin = load("ltfix._pava")
    inputs = [sequence("random", 50_000, seed) for seed in range(4)]
    expected = [fit(twin, y)[0] for y in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(5):
            if not np.array_equal(fit(twin, inputs[i])[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_hundred_thousand_calls_leave_memory_flat() -> None:
    load("ltfix._pava")
    script = ISOLATED / "pava_memory.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
