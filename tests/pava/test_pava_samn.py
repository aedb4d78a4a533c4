"""SAMN's chain in C and in Python: the published tensors, the formula, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from pava_cases import load

BOTH = ("ltfix._pava", "ltfix._samn_py")
FORMS = [(False, False), (False, True), (True, False), (True, True)]


@pytest.fixture(params=BOTH, ids=["c", "py"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)


class Chain:
    """One forward of ``raw`` [R, K] with its buffers; ``back`` pulls a gradient through it."""

    def __init__(self, twin: ModuleType, raw: np.ndarray, perm: np.ndarray, paper=False, mul=False) -> None:
        self.twin, self.perm = twin, np.ascontiguousarray(np.broadcast_to(perm, raw.shape))
        self.rho, self.slope = np.full_like(raw, np.nan), np.full(raw.shape, np.nan)
        self.starts = np.full((raw.shape[0], raw.shape[1] + 1), -1)
        twin.samn_scales(raw, self.perm, self.rho, self.slope, self.starts, paper, mul)

    def back(self, upstream: np.ndarray) -> np.ndarray:
        grad = np.full_like(upstream, np.nan)
        self.twin.samn_pullback(upstream, self.perm, self.slope, self.starts, grad)
        return grad


def example(rows: int, k: int, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([rows, k])
    raw = rng.standard_normal((rows, k)).astype(dtype)
    return raw, np.argsort(rng.random((rows, k)), axis=1)


@pytest.mark.parametrize("case", ["init", "randraw", "randraw_mul"])
@pytest.mark.parametrize("metric", ["freq", "norm"])
@pytest.mark.parametrize("k", ["k10", "k100"])
def test_published_values_and_gradients(
    twin: ModuleType, golden: Callable[[str], dict[str, np.ndarray]], k: str, metric: str, case: str
) -> None:
    stored, prefix = golden("samn_official"), f"{k}.{metric}."
    where = f"{k}.rand_raw_" if case.startswith("rand") else f"{prefix}init.raw_"
    raw = np.stack([stored[where + part] for part in "wb"]).astype(np.float64)
    mul = case.endswith("mul")
    chain = Chain(twin, raw, stored[prefix + "perm"], mul=mul)
    s = Chain(twin, raw, stored[prefix + "perm"], mul=True).rho  # max(S, ε), and S is larger
    expected = {name: stored[f"{prefix}{case}.{name}"] for name in ("scaling_w", "scaling_b", "row_scale")}
    np.testing.assert_allclose(s, [expected["scaling_w"], expected["scaling_b"]], atol=1e-6, rtol=0)
    np.testing.assert_allclose(chain.rho[0], expected["row_scale"], atol=2e-6, rtol=0)

    weight, bias, x = (stored[f"{k}.{name}"].astype(np.float64) for name in ("W0", "b0", "X"))
    directions = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    logits = x[:64] @ (chain.rho[0][:, None] * directions).T + chain.rho[1] + bias
    np.testing.assert_allclose(logits, stored[f"{prefix}{case}.logits"], atol=1e-5, rtol=0)
    g = np.exp(logits - logits.max(1, keepdims=True))
    g /= g.sum(1, keepdims=True)
    g[np.arange(64), stored[f"{k}.y"][:64]] -= 1
    g /= 64
    upstream = np.stack([(directions * (g.T @ x[:64])).sum(1), g.sum(0)])
    grads = [stored[f"{prefix}{case}.grad_raw_{part}"] for part in "wb"]
    np.testing.assert_allclose(chain.back(upstream), grads, atol=5e-6, rtol=0)


@pytest.mark.parametrize(("paper", "mul"), FORMS)
def test_formula(twin: ModuleType, paper: bool, mul: bool) -> None:
    raw, perm = example(3, 50)
    chain = Chain(twin, raw, perm, paper, mul)
    for r in range(3):
        p, out = np.sort(raw[r]), raw[r].copy()
        out[perm[r]] = p  # sorted along perm already: the projection changes nothing
        rho = Chain(twin, out[None], perm[r], paper, mul).rho[0, perm[r]]
        softplus = np.log1p(np.exp(p))
        s = softplus if paper else 1 / (softplus + 2e-6)
        np.testing.assert_allclose(rho, s if mul else np.exp(s), rtol=1e-13)
        along = chain.rho[r, perm[r]]
        assert (np.diff(along if paper else -along) >= 0).all()
        edges = chain.starts[r, : np.argmax(chain.starts[r] == 50) + 1]
        assert len(np.unique(along)) == len(edges) - 1


@pytest.mark.parametrize(("paper", "mul"), FORMS)
def test_pullback_is_the_derivative(twin: ModuleType, paper: bool, mul: bool) -> None:
    raw, perm = example(2, 12)
    upstream = np.random.default_rng(5).standard_normal(raw.shape)
    pulled, step = Chain(twin, raw, perm, paper, mul).back(upstream), 1e-6
    for r, k in np.ndindex(raw.shape):
        moved = np.zeros_like(raw)
        moved[r, k] = step
        up, down = (Chain(twin, raw + sign * moved, perm, paper, mul).rho for sign in (1, -1))
        numeric = ((up - down) * upstream).sum() / (2 * step)
        assert pulled[r, k] == pytest.approx(numeric, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "k"), [(1, 1), (2, 10), (5, 700), (0, 3), (3, 0)])
@pytest.mark.parametrize(("paper", "mul"), FORMS)
def test_twins_agree(dtype: type, rows: int, k: int, paper: bool, mul: bool) -> None:
    raw, perm = example(rows, k, dtype)
    upstream = raw[:, ::-1].copy()
    c, py = (Chain(load(name), raw, perm, paper, mul) for name in BOTH)
    tolerance = {"rtol": 1e-13 if dtype is np.float64 else 1.2e-7, "atol": 1e-14}
    np.testing.assert_allclose(c.rho, py.rho, **tolerance)
    np.testing.assert_allclose(c.slope, py.slope, rtol=1e-13)
    for ours, theirs in zip(c.starts.tolist(), py.starts.tolist(), strict=True):
        assert ours[: ours.index(k) + 1] == theirs[: theirs.index(k) + 1]
    np.testing.assert_allclose(c.back(upstream), py.back(upstream), rtol=1e-6, atol=tolerance["atol"])


def test_ties_keep_their_own_gradients(twin: ModuleType) -> None:
    chain = Chain(twin, np.full((1, 3), 0.5), np.array([[2, 0, 1]]))
    grad = chain.back(np.array([[1.0, 2.0, 3.0]]))
    assert chain.starts.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(grad / grad[0, 0], [[1, 2, 3]], rtol=1e-15)


@pytest.mark.parametrize(("paper", "mul"), FORMS)
def test_extremes_stay_finite(twin: ModuleType, paper: bool, mul: bool) -> None:
    raw = np.array([[-1000.0, -60, -5, -4, 0, 19.99, 20, 20.01, 700, 1000]])
    chain = Chain(twin, raw, np.arange(10)[None], paper, mul)
    assert np.isfinite(chain.rho).all()
    assert np.isfinite(chain.slope).all()
    assert (np.diff(chain.rho[0] if paper else -chain.rho[0]) >= 0).all()
    if not paper and not mul:
        assert chain.rho[0, 0] == chain.rho[0, 2] == np.exp(30.0)  # S cut at 30
        assert chain.slope[0, :3].tolist() == [0, 0, 0]


def _change(which: int, value: object) -> Callable[[list[object]], None]:
    return lambda args: args.__setitem__(which, value)


REFUSALS = {
    "list": (_change(0, [[1.0]]), TypeError, "raw must support the buffer protocol"),
    "one row without its axis": (_change(0, np.ones(4)), ValueError, "raw must have 2 dimension(s), not 1"),
    "strided": (_change(2, np.ones((2, 8))[:, ::2]), ValueError, "rho must be C-contiguous"),
    "integers": (_change(0, np.ones((2, 4), int)), TypeError, "raw holds the wrong type"),
    "single rho": (_change(2, np.ones((2, 4), "f4")), TypeError, "rho holds the wrong type"),
    "single slope": (_change(3, np.ones((2, 4), "f4")), TypeError, "slope holds the wrong type"),
    "short perm": (_change(1, np.zeros((2, 3), int)), ValueError, "perm has the wrong shape"),
    "short starts": (_change(4, np.zeros((2, 4), int)), ValueError, "starts has the wrong shape"),
    "out of range": (
        _change(1, np.array([[0, 1, 2, 3], [0, 4, 1, 2]])),
        ValueError,
        "perm[1, 1] is out of range",
    ),
    "negative": (
        _change(1, np.array([[0, 1, 2, -1], [0, 1, 2, 3]])),
        ValueError,
        "perm[0, 3] is out of range",
    ),
    "not finite": (
        _change(0, np.array([[1, 2, 3, 4], [1, 2, np.nan, np.inf]])),
        ValueError,
        "raw[1, 2] is not finite",
    ),
    "too large": (_change(0, np.full((2, 4), 1e308)), ValueError, "raw[0] is too large: a sum overflows"),
    "in place": (lambda args: args.__setitem__(2, args[0]), ValueError, "rho must not overlap raw"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(twin: ModuleType, case: str) -> None:
    change, error, message = REFUSALS[case]
    perm = np.tile(np.arange(4), (2, 1))
    args: list[object] = [np.ones((2, 4)), perm, np.ones((2, 4)), np.ones((2, 4)), np.zeros((2, 5), int)]
    change(args)
    with pytest.raises(error) as caught:
        twin.samn_scales(*args, False, False)
    assert str(caught.value) == message


@pytest.mark.parametrize("starts", [[0, 2, 2, 4], [1, 2, 3, 4], [0, 5, 3, 4], [0, -1, 3, 4], [0, 2, 1, 0]])
def test_refuses_starts_that_are_no_edges(twin: ModuleType, starts: list[int]) -> None:
    buffers = np.ones((1, 3)), np.arange(3)[None], np.ones((1, 3)), np.array([starts]), np.ones((1, 3))
    with pytest.raises(ValueError, match=r"^starts\[0\] are not the edges of blocks$"):
        twin.samn_pullback(*buffers)


def test_read_only_output(twin: ModuleType) -> None:
    grad = np.ones((1, 3))
    grad.flags.writeable = False
    buffers = np.ones((1, 3)), np.arange(3)[None], np.ones((1, 3)), np.array([[0, 1, 3, 0]]), grad
    with pytest.raises(ValueError, match=r"^grad must be writable$"):
        twin.samn_pullback(*buffers)
