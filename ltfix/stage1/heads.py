"""Classifiers that a backbone is trained under: plain cosine (LDAM) and the fixed simplex (EWB-FDR)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix.errors import UsageError


class CosineClassifier(nn.Module):
    """The cosine of feature and row, without a scale, which LDAM's loss brings (Cao et al. 2019).

    Args:
        dim: D.
        n_classes: K. Rows start uniform in (−1, 1), scaled to norm 1.
    """

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.empty(n_classes, dim).uniform_(-1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] to cosines [B, K]."""
        return F.linear(F.normalize(x), F.normalize(self.weight))

    def head(self) -> tuple[Tensor, Tensor, Mapping[str, Any] | None]:
        """Unit rows [K, D], no bias, and the transform that normalises features."""
        weight = F.normalize(self.weight.detach().cpu().double()).float()
        return weight, weight.new_zeros(len(weight)), {"kind": "l2"}


class EtfClassifier(nn.Module):
    """A fixed simplex with a trained bias: only the features move (Hasegawa & Sato 2024).

    Args:
        dim: D, at least K.
        n_classes: K. The bias starts uniform in ±1/D.

    Raises:
        UsageError: D < K.
    """

    weight: Tensor

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", simplex_etf(dim, n_classes).float())
        self.bias = nn.Parameter(torch.empty(n_classes).uniform_(-1 / dim, 1 / dim))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, D] to logits [B, K]."""
        return F.linear(x, self.weight, self.bias)


def simplex_etf(dim: int, n_classes: int) -> Tensor:
    """K unit rows [K, D] float64 whose pairwise cosines are all −1/(K−1), in a random orientation.

    W = (U M)ᵀ with M = √(K/(K−1)) (I − 11ᵀ/K) and U the first K columns of a random orthogonal matrix,
    drawn from torch's generator.

    Raises:
        UsageError: D < K, or fewer than two classes.
    """
    if n_classes < 2 or dim < n_classes:
        raise UsageError(
            f"a simplex of K = {n_classes} classes does not fit into D = {dim} dimensions",
            where="recipe etf-fr",
            hint="it needs D ≥ K: a wider model, as cifar_resnet34 (D = 512)",
        )
    basis, _ = torch.linalg.qr(torch.randn(dim, n_classes, dtype=torch.float64))
    rows: Tensor = (basis @ simplex(n_classes)).T.contiguous()
    return rows


def simplex(n_classes: int) -> Tensor:
    """M = √(K/(K−1)) (I − 11ᵀ/K), [K, K] float64."""
    k = n_classes
    return math.sqrt(k / (k - 1)) * (torch.eye(k, dtype=torch.float64) - 1 / k)


KINDS = {"cosine": CosineClassifier, "etf": EtfClassifier}
