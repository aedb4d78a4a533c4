"""``isotonic`` for numpy and torch, over both twins."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from pava_cases import fit, sequence

import ltfix.pava
from ltfix import isotonic
from ltfix.pava import _solve


@pytest.fixture(autouse=True)
def over_both(twin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(ltfix.pava, "_kernel", twin.pava)
    return twin


class TestNumpy:
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_plain(self, over_both: ModuleType, dtype: type) -> None:
        y = sequence("random", 50).astype(dtype)
        kept = y.copy()
        x = isotonic(y)
        np.testing.assert_array_equal(x, fit(over_both, y)[0])
        assert x.dtype == dtype
        np.testing.assert_array_equal(y, kept)

    def test_batches_along_the_last_axis(self) -> None:
        y = sequence("random", 60).reshape(2, 3, 10)
        w = np.random.default_rng(0).uniform(0.5, 2, (3, 1))
        for weight in (None, w, np.linspace(1, 2, 10), 2.0):
            full = None if weight is None else np.broadcast_to(weight, y.shape)
            x = isotonic(y, weight)
            assert x.shape == y.shape
            for row in np.ndindex(2, 3):
                single = isotonic(y[row], None if full is None else full[row])
                np.testing.assert_array_equal(x[row], single)
        assert isotonic(np.empty((0, 4))).shape == (0, 4)

    def test_any_layout_and_type(self) -> None:
        y = sequence("random", 40)
        expected = isotonic(y[::2].copy())
        np.testing.assert_array_equal(isotonic(y[::2]), expected)
        np.testing.assert_array_equal(isotonic(y.astype(y.dtype.newbyteorder("S"))[::2]), expected)
        assert isotonic(y.astype(y.dtype.newbyteorder("S"))).dtype.isnative
        np.testing.assert_array_equal(isotonic(y.reshape(20, 2).T)[0], expected)
        np.testing.assert_array_equal(isotonic(y[::2].tolist()), expected)
        assert isotonic([3, 1]).dtype == np.float64
        assert isotonic(np.array([True, False])).tolist() == [0.5, 0.5]
        half = isotonic(np.array([3, 1, 2.5], np.float16))
        assert half.dtype == np.float16
        assert half.tolist() == [2, 2, 2.5]

    @pytest.mark.parametrize(
        ("y", "weight", "error", "message"),
        [
            ([], None, ValueError, r"y must have at least one element along its last axis, not shape \(0,\)"),
            (np.ones((3, 0)), None, ValueError, r"last axis, not shape \(3, 0\)"),
            (2.0, None, ValueError, r"last axis, not shape \(\)"),
            ([1, np.nan], None, ValueError, r"^y\[1\] is not finite"),
            ([[1, 2], [np.inf, 1]], None, ValueError, r"^row 1: y\[0\] is not finite"),
            ([[[1, 2], [np.nan, 1]]], None, ValueError, r"^row \(0, 1\): y\[0\] is not finite"),
            ([1, 2], [1, 0], ValueError, r"^weight\[1\] is not a positive finite number"),
            ([1, 2], [1, 2, 3], ValueError, r"weight of shape \(3,\) does not fit y of shape \(2,\)"),
            (np.array([1j]), None, TypeError, "not complex128"),
            (["a"], None, TypeError, "real numbers"),
            ([None], None, TypeError, "not object"),
        ],
    )
    def test_refuses(self, y: object, weight: object, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            isotonic(y, weight)

    def test_blocks(self) -> None:
        x, (edges,) = _solve(np.array([1, 3, 2, 2.5, 4]), None)
        assert x.tolist() == [1, 2.5, 2.5, 2.5, 4]
        assert edges.tolist() == [0, 1, 3, 4, 5]
        assert _solve(np.array([2.0, 1]), [3, 1])[0].tolist() == [1.75, 1.75]


class TestTorch:
    def test_values_types_and_devices(self) -> None:
        torch = pytest.importorskip("torch")
        devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        y = sequence("random", 40).reshape(4, 10)
        for device in devices:
            for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
                given = torch.tensor(y, dtype=dtype, device=device)
                x = isotonic(given)
                assert (x.dtype, x.device, x.shape) == (given.dtype, given.device, given.shape)
                wide = given.double().cpu().numpy()
                tolerance = {"atol": 4 * torch.finfo(dtype).eps, "rtol": 0}
                np.testing.assert_allclose(x.double().cpu().numpy(), isotonic(wide), **tolerance)
            assert isotonic(torch.tensor([3, 1], device=device)).dtype == torch.get_default_dtype()
        np.testing.assert_array_equal(isotonic(torch.tensor(y).T).numpy(), isotonic(y.T))

    def test_gradcheck(self) -> None:
        torch = pytest.importorskip("torch")
        y = torch.tensor(sequence("random", 60).reshape(2, 3, 10), requires_grad=True)
        w = torch.rand(3, 1, dtype=torch.float64).add(0.5).requires_grad_()
        assert torch.autograd.gradcheck(isotonic, (y,))
        assert torch.autograd.gradcheck(isotonic, (y, w))
        assert torch.autograd.gradcheck(lambda w: isotonic(y.detach(), w), (w,))

    def test_pulls_back_as_published(self, golden: Callable[[str], dict[str, np.ndarray]]) -> None:
        torch = pytest.importorskip("torch")
        stored = golden("pava")
        edges, seen = stored["offsets"], 0
        for i in range(len(edges) - 1):
            part = slice(edges[i], edges[i + 1])
            y, g, w, published, merged = (
                torch.tensor(stored[name][part])
                for name in ("y", "cotangent", "w", "official_unweighted_vjp", "vjp_merge_ties")
            )
            unit = not published.isnan().any()
            x = isotonic(y.requires_grad_(), None if unit else w)
            x.backward(g)
            if unit:
                torch.testing.assert_close(y.grad, published, atol=1e-12, rtol=0)
            elif len(x.unique()) == len(_solve(y.detach().numpy(), w)[1][0]) - 1:
                torch.testing.assert_close(y.grad, merged, atol=1e-12, rtol=0)
                seen += 1
        assert seen > 10

    @pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
    def test_gradients_keep_the_type(self, name: str) -> None:
        torch = pytest.importorskip("torch")
        y = torch.tensor([[3.0, 1, 2], [1, 5, 2]], dtype=getattr(torch, name), requires_grad=True)
        w = torch.ones(3, dtype=y.dtype, requires_grad=True)
        (isotonic(y, w) * torch.tensor([1, 3, 5], dtype=y.dtype)).sum().backward()
        assert y.grad.dtype == w.grad.dtype == y.dtype
        assert y.grad.tolist() == [[2, 2, 5], [1, 4, 4]]

    def test_weights_of_another_kind(self) -> None:
        torch = pytest.importorskip("torch")
        y = sequence("random", 10)
        expected = isotonic(y, np.arange(1.0, 11))
        for given, weight in ((torch.tensor(y), list(range(1, 11))), (y, torch.arange(1, 11))):
            np.testing.assert_allclose(isotonic(given, weight).numpy(), expected, atol=1e-15)

    def test_refuses(self) -> None:
        torch = pytest.importorskip("torch")
        with pytest.raises(ValueError, match=r"^row 1: y\[0\] is not finite"):
            isotonic(torch.tensor([[1.0], [torch.nan]]))
        with pytest.raises(ValueError, match="at least one element"):
            isotonic(torch.empty(3, 0))
        with pytest.raises(ValueError, match=r"weight of shape \(3,\) does not fit y of shape \(2,\)"):
            isotonic(torch.ones(2), torch.ones(3))
        with pytest.raises(TypeError, match="complex"):
            isotonic(torch.ones(2, dtype=torch.complex64))
        y = torch.ones(2, requires_grad=True)
        (grad,) = torch.autograd.grad((isotonic(y) ** 2).sum(), y, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            grad.sum().backward()
