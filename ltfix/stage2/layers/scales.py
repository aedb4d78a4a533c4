"""SAMN's row scales of raw numbers and the way back in closed form: with PAVA, and what replaces it.

The formulas are those of ``samn``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ltfix._samn_py import scale_and_slope
from ltfix.kernel import samn_pullback, samn_scales


class ScaleChain:
    """raw -> row scale ρ, and the pullback of ∂L/∂ρ to raw, in closed form for rows of raw vectors.

    dρ/dp is −ρ S² σ(p) for the code's ρ = exp(S), −S² σ(p) for ``mul``, ρ σ(p) (or σ(p)) for the paper's
    S; the projection's Jacobian averages over each PAVA block. One call of the C kernel each way.

    It is bound to two tensors of R·K elements, which it reads and writes where they lie: on the CPU nothing
    is copied.

    Args:
        perm: [R, K] from :func:`ltfix.stage2.layers.samn.order`.
        raw: the raw numbers. gradient: receives ∂L/∂raw.

    Attributes:
        rho: ρ, shaped as ``raw``, after :meth:`forward`.
        upstream: where the caller puts ∂L/∂ρ before :meth:`pullback`.
    """

    def __init__(
        self, perm: np.ndarray, raw: Tensor, gradient: Tensor, *, variant: str = "code", scale: str = "exp"
    ) -> None:
        self.perm = np.ascontiguousarray(perm, np.int64)
        self.paper, self.mul = variant == "paper", scale == "mul"
        self.slope = np.empty(perm.shape)
        self.starts = np.empty((perm.shape[0], perm.shape[1] + 1), np.int64)
        self.rho, self.upstream = torch.empty_like(raw), torch.zeros_like(raw)
        self._device = (raw, self.rho, self.upstream, gradient)
        self._host = [t.detach().cpu() for t in self._device]  # the same memory where that is the CPU's
        self._copies = raw.device.type != "cpu"
        self._raw, self._rho, self._upstream, self._gradient = (
            t.view(perm.shape).numpy() for t in self._host
        )

    def forward(self) -> None:
        """ρ of the raw numbers, computed in double; NaN in a row that holds a number that is not finite."""
        if self._copies:
            self._host[0].copy_(self._device[0])
        try:
            self._scale(self._raw)
        except ValueError:  # a run that diverged must not end those beside it
            with np.errstate(over="ignore"):
                size = np.abs(self._raw).sum(-1, dtype=np.float64) * self._raw.shape[-1]
            lost = ~np.isfinite(size)
            self._scale(np.where(lost[:, None], self._raw.dtype.type(0), self._raw))
            self._rho[lost] = np.nan
        if self._copies:
            self.rho.copy_(self._host[1])

    def pullback(self) -> None:
        """∂L/∂raw of ``upstream``, at the last :meth:`forward`."""
        if self._copies:
            self._host[2].copy_(self._device[2])
        self._pull()
        if self._copies:
            self._device[3].copy_(self._host[3])

    def _scale(self, raw: np.ndarray) -> None:
        samn_scales(raw, self.perm, self._rho, self.slope, self.starts, self.paper, self.mul)

    def _pull(self) -> None:
        samn_pullback(self._upstream, self.perm, self.slope, self.starts, self._gradient)


class FreeChain(ScaleChain):
    """The chain without PAVA: p is raw itself, or its sums of squares.

    ∂L/∂raw_i is h_i = ∂L/∂ρ_i · dρ/dp_i, or, of sums of squares, 2 raw_i · Σ_{j ≥ i} h_j (and without the
    factor for the first).
    """

    recursive = False

    def _scale(self, raw: np.ndarray) -> None:
        p = np.take_along_axis(raw.astype(np.float64), self.perm, -1)
        if not np.isfinite(p).all():
            raise ValueError
        if self.recursive:
            self.inner = np.concatenate([np.ones_like(p[:, :1]), 2 * p[:, 1:]], 1)
            p = np.concatenate([p[:, :1], p[:, 1:] ** 2], 1).cumsum(1)
        rho, self.slope = scale_and_slope(p, self.paper, self.mul)
        np.put_along_axis(self._rho, self.perm, rho.astype(self._rho.dtype), -1)

    def _pull(self) -> None:
        h = np.take_along_axis(self._upstream, self.perm, -1) * self.slope
        if self.recursive:
            h = self.inner * h[:, ::-1].cumsum(1)[:, ::-1]
        np.put_along_axis(self._gradient, self.perm, h.astype(self._gradient.dtype), -1)


class RecursiveChain(FreeChain):
    """p_i = p_{i−1} + raw_i² along the order of the metric."""

    recursive = True


CHAINS = {"pava": ScaleChain, "none": FreeChain, "recursive": RecursiveChain}
