"""Isotonic regression in linear time, for numpy and torch: C where it was built, Python where not."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from ltfix.kernel import pava as _kernel

_F32, _F64, _I64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
_empty, _contiguous, _ndarray = np.empty, np.ascontiguousarray, np.ndarray


def isotonic(y: Any, weight: Any = None) -> Any:
    """Project onto the non-decreasing sequences along the last axis (weighted least squares).

    ``argmin_x Σ_i weight_i (x_i − y_i)²  subject to  x_0 ≤ x_1 ≤ …``. For a torch tensor the result
    carries gradients: every member of a block of the solution gets ``weight_i / Σ_block weight ·
    Σ_block g``, the block's mean where there are no weights. Equal neighbours are separate blocks.

    >>> import ltfix
    >>> ltfix.isotonic([3, 1, 2, 4])
    array([2., 2., 2., 4.])

    Args:
        y: shape [..., K], K ≥ 1: a torch tensor on any device, or anything numpy takes. float32 and
            float64 are computed as they are (sums in double), float16 and bfloat16 in float32 and
            rounded at the end, integers as float64 (numpy) or torch's default type.
        weight: positive weights that broadcast to ``y``'s shape, or None.

    Returns:
        An array or tensor of ``y``'s shape, type (but for integers) and device.

    Raises:
        TypeError: ``y`` is complex, or not numbers.
        ValueError: ``y`` has no axis or an empty last one, does not fit ``weight``, or holds a
            value that is not finite; the message has its index, and in a batch that of its row.
    """
    if type(y) is _ndarray and weight is None and y.ndim == 1 and (y.dtype is _F64 or y.dtype is _F32):
        n = len(y)  # the plain case, kept as short as it gets: at 100 classes it is half the time
        if n:
            out = _empty(n, y.dtype)
            _kernel(_contiguous(y), out, _empty(n + 1, _I64))
            return out
    torch = sys.modules.get("torch")
    if torch is not None and (isinstance(y, torch.Tensor) or isinstance(weight, torch.Tensor)):
        return _torch_face()(y, weight)
    return _isotonic_numpy(y, weight)


def _isotonic_numpy(y: Any, weight: Any) -> np.ndarray:
    values = _as_float(y)
    out, _ = _solve(values, weight)
    return out.astype(values.dtype, copy=False)


def _as_float(y: Any) -> np.ndarray:
    values = np.asarray(y)
    if values.dtype.kind in "bui":
        return values.astype(np.float64)
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        raise TypeError(f"y must hold real numbers of at most 64 bits, not {values.dtype}")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _solve(values: np.ndarray, weight: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """All rows of a batch: the solution in the type it is computed in, and the edges of each row."""
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"y must have at least one element along its last axis, not shape {values.shape}")
    y = _contiguous(values, _F64 if values.dtype.itemsize == 8 else _F32)
    w = None if weight is None else _contiguous(_broadcast(weight, y.shape), y.dtype)
    out, edges = np.empty_like(y), []
    for row in np.ndindex(y.shape[:-1]):
        starts = np.empty(y.shape[-1] + 1, np.int64)
        try:
            blocks = _kernel(y[row], out[row], starts, None if w is None else w[row])
        except ValueError as err:
            if not row:
                raise
            where = row[0] if len(row) == 1 else row
            raise ValueError(f"row {where}: {err}") from None
        edges.append(starts[: blocks + 1])
    return out, edges


def _broadcast(weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    weight = np.asarray(weight)
    try:
        return np.broadcast_to(weight, shape)
    except ValueError:
        raise ValueError(f"weight of shape {weight.shape} does not fit y of shape {shape}") from None


@cache
def _torch_face() -> Any:
    """The torch branch; torch is imported here and not before."""
    import torch
    from torch.autograd.function import once_differentiable

    def host(tensor: Any, dtype: Any) -> np.ndarray:
        array: np.ndarray = tensor.detach().to("cpu", dtype).numpy()
        return array

    class Isotonic(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: Any, weight: Any) -> Any:
            wide = torch.float64 if y.dtype == torch.float64 else torch.float32
            out, edges = _solve(host(y, wide), None if weight is None else host(weight, wide))
            lengths = np.concatenate([np.diff(e) for e in edges]) if edges else np.empty(0, np.int64)
            x = torch.from_numpy(out).to(y.device, y.dtype)
            ctx.save_for_backward(y, weight, x, torch.from_numpy(lengths).to(y.device))
            return x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, grad: Any) -> Any:
            y, weight, x, lengths = ctx.saved_tensors
            wide = torch.float64 if y.dtype == torch.float64 else torch.float32
            g = block_sum(grad.reshape(-1).to(wide), lengths)
            if weight is None:
                return (g / lengths.repeat_interleave(lengths, output_size=len(g))).view_as(y).to(
                    y.dtype
                ), None
            w = weight.reshape(-1).to(wide)
            share = (g / block_sum(w, lengths)).view_as(y)
            return (share * weight).to(y.dtype), (share * (y - x)).to(weight.dtype)

    def block_sum(values: Any, lengths: Any) -> Any:
        sums = torch.segment_reduce(values.reshape(-1), "sum", lengths=lengths)
        return sums.repeat_interleave(lengths, output_size=values.numel())

    def face(y: Any, weight: Any) -> Any:
        y = torch.as_tensor(y)
        if y.is_complex():
            raise TypeError(f"y must hold real numbers of at most 64 bits, not {y.dtype}")
        if not y.is_floating_point():
            y = y.to(torch.get_default_dtype())
        if weight is not None:
            weight = torch.as_tensor(weight, dtype=y.dtype, device=y.device)
            try:
                weight = weight.expand(y.shape)
            except RuntimeError:
                shapes = tuple(weight.shape), tuple(y.shape)
                raise ValueError("weight of shape {} does not fit y of shape {}".format(*shapes)) from None
        return Isotonic.apply(y, weight)

    return face
