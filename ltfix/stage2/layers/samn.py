"""SAMN: self-adaptive monotonic normalisation. The head for anyone's training loop, and its closed form.

For each class a learned number ``raw`` is projected to be monotone in a class metric a (PAVA, isotonic
regression), becomes a scaling S and rescales the class's unit direction:

    p = PAVA_nondecreasing(raw[perm])        perm sorts a: rare to frequent, ties by class index
    S = 1 / (softplus(p) + 2ε)               so S never rises with a: the tail is scaled up
    ŵ_k = exp(S^w_k) · w_k / ‖w_k‖           b̂_k = exp(S^b_k) + b_k

``variant="code"``, above, is what the authors published and measured. ``variant="paper"`` follows the
paper's text, S = softplus(p) with p projected in the order frequent to rare (reconstructed: no code for it
was published). ``scale="mul"`` uses S itself in the place of exp(S). The published module is
github.com/Zhangshuojackpot/SAMN; it pools strict violations only, so equal neighbours stay separate blocks.

What the ablation puts in PAVA's place: ``projection="none"``, p = raw[perm] as it trains, and
``projection="recursive"``, monotone by construction: p_i = p_{i−1} + raw[perm]_i². ``start="inverse"`` begins
at S = softplus(1/a), the text's 1/n, in either variant.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix._samn_py import EPS, MAX_EXPONENT, row_scale
from ltfix.errors import InputError
from ltfix.heads.vectors import NORM_FLOOR
from ltfix.pava import isotonic
from ltfix.stage2.methods.catalog import HEADS

CHOICES = {name: value.choices for name, value in HEADS["samn"].values.items()}
"""The words that ``metric``, ``variant``, ``part``, … may be."""


def order(metric: np.ndarray, variant: str = "code") -> np.ndarray:
    """The permutation in which ``raw`` must not fall: [..., K] int64, stable."""
    signed = -metric if variant == "paper" else metric
    return np.argsort(signed, axis=-1, kind="stable")


def initial_raw(
    metric: np.ndarray, variant: str = "code", start: str = "minmax", projection: str = "pava"
) -> np.ndarray:
    """Where ``raw`` starts, [..., K] float64: the metric scaled to 0 (rare) .. 1 (frequent), plus ε.

    ``variant="paper"`` starts at one minus that. A constant metric (to float32 rounding) starts at ε (code)
    or 1 (paper). With ``start="inverse"`` S starts at softplus(1/a); with ``projection="recursive"`` the raw
    numbers are the roots of the steps, so that p starts where it does otherwise.

    Raises:
        InputError: with ``start="inverse"``, a metric below 1/30: S would begin above its bound.
    """
    if start == "inverse":
        inverse = 1 / np.asarray(metric, np.float64)
        if inverse.max() > MAX_EXPONENT:
            above = f"S would begin at {inverse.max():.3g}, above {MAX_EXPONENT:g}"
            what = f"{above}, where a class's metric is {metric.min():.3g}"
            raise InputError(what, where="start=inverse", hint="start=minmax takes any metric")
        wanted = 1 / np.logaddexp(0, inverse) - 2 * EPS  # the code's softplus(p), as S is one over it
        found = inverse if variant == "paper" else wanted + np.log(-np.expm1(-wanted))
    else:
        low, high = metric.min(-1, keepdims=True), metric.max(-1, keepdims=True)
        spread = high - low
        constant = spread <= np.maximum(1e-12, 1e-7 * np.abs(high))
        scaled = np.where(constant, 0.0, (metric - low) / np.where(constant, 1.0, spread))
        found = np.asarray(1 - scaled if variant == "paper" else scaled + EPS, np.float64)
    if projection == "recursive":
        perm = order(metric, variant)
        along = np.take_along_axis(found, perm, -1)
        along[..., 1:] = np.sqrt(np.diff(along))
        np.put_along_axis(found, perm, along, -1)
    return found


class SAMNLinear(nn.Module):
    """A drop-in for ``nn.Linear`` whose row norms and bias gains are monotone in a class metric.

    >>> import torch, ltfix
    >>> layer = ltfix.SAMNLinear(8, 3, metric_values=[500, 50, 5])
    >>> layer(torch.ones(2, 8)).shape
    torch.Size([2, 3])

    Args:
        in_features, out_features: D and K.
        metric_values: [K] > 0: training counts, or the row norms of a stage-1 classifier.
        variant: "code" (published) or "paper". part: "both", "weight" or "bias". scale: "exp" or "mul".
        projection: "pava", "none" or "recursive". start: "minmax" or "inverse".

    Parameters: ``weight`` [K, D] (its directions count, and its norms for the rate of learning), ``bias``
    [K], ``raw_weight`` and ``raw_bias`` [K].

    Raises:
        ValueError: metric values of the wrong shape or not positive, an unknown word.
        InputError: metric values below 1/30 with ``start="inverse"``.
    """

    perm: Tensor
    metric_values: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        metric_values: Tensor | np.ndarray | list[float],
        *,
        variant: str = "code",
        part: str = "both",
        scale: str = "exp",
        projection: str = "pava",
        start: str = "minmax",
    ) -> None:
        super().__init__()
        metric = torch.as_tensor(metric_values).detach().cpu().double().numpy()
        if metric.shape != (out_features,) or not (np.isfinite(metric) & (metric > 0)).all():
            raise ValueError(
                f"metric_values must be {out_features} positive numbers, found {metric_values!r}"
            )
        self.form = {
            "variant": variant,
            "part": part,
            "scale": scale,
            "projection": projection,
            "start": start,
        }
        for name, value in self.form.items():
            if value not in CHOICES[name]:
                raise ValueError(f"{name} must be one of {', '.join(CHOICES[name])}, found {value!r}")
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("metric_values", torch.from_numpy(metric))
        self.register_buffer("perm", torch.from_numpy(order(metric, variant)))
        raw = self._initial_raw(metric).to(torch.get_default_dtype())
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.raw_weight = nn.Parameter(raw.clone())
        self.raw_bias = nn.Parameter(raw.clone())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The published module's own start: weight from N(0, 0.02²), bias zero."""
        nn.init.normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        class_counts: Tensor | np.ndarray | list[int] | None = None,
        *,
        metric: str = "freq",
        **form: str,
    ) -> SAMNLinear:
        """Start from a stage-1 classifier; a linear without bias gets b = 0.

        Args:
            linear: [K, D]. class_counts: [K] training counts (not read with ``metric="norm"``).
            metric: "freq", the counts, or "norm", the row norms of ``linear``.
            form: variant, part, scale, projection, start.

        Raises:
            ValueError: an unknown metric, or counts missing where they are needed.
        """
        if metric not in ("freq", "norm"):
            raise ValueError(f"metric must be freq or norm, found {metric!r}")
        if metric == "freq" and class_counts is None:
            raise ValueError('class_counts are needed for metric="freq"')
        weight = linear.weight.detach()
        by_norm = metric == "norm"
        values = weight.cpu().double().norm(dim=1) if by_norm else torch.as_tensor(class_counts).clamp(min=1)
        module = cls(linear.in_features, linear.out_features, values, **form)
        module = module.to(weight)
        with torch.no_grad():
            for raw in (module.raw_weight, module.raw_bias):  # again, in the precision of the linear
                raw.copy_(module._initial_raw(values.cpu().double().numpy()))
            module.weight.copy_(weight)
            module.bias.zero_() if linear.bias is None else module.bias.copy_(linear.bias)
        return module

    def _initial_raw(self, metric: np.ndarray) -> Tensor:
        form = self.form
        return torch.from_numpy(initial_raw(metric, form["variant"], form["start"], form["projection"]))

    def scales(self, raw: Tensor) -> Tensor:
        """exp(S) (or S for ``scale="mul"``) of a raw vector [K], differentiable."""
        p, projection = raw[self.perm], self.form["projection"]
        if projection == "recursive":
            p = torch.cat([p[:1], p[1:] ** 2]).cumsum(0)
        elif projection == "pava":
            p = isotonic(p)
        paper, mul = self.form["variant"] == "paper", self.form["scale"] == "mul"
        _, rho = row_scale(F.softplus(p), torch.exp, paper, mul)
        return torch.zeros_like(rho).index_put((self.perm,), rho)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight [K, D] and bias [K] of the plain linear layer it equals, differentiable."""
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if self.form["part"] != "bias":
            norm = weight.norm(dim=1, keepdim=True).clamp(min=NORM_FLOOR)
            weight = self.scales(self.raw_weight)[:, None] * (weight / norm)
        if self.form["part"] != "weight":
            bias = self.scales(self.raw_bias) + bias
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """Logits [..., K] of features [..., D]."""
        return F.linear(x, *self.folded())

    def to_linear(self) -> nn.Linear:
        """A plain ``nn.Linear`` with the same logits."""
        linear = nn.Linear(self.in_features, self.out_features).to(self.weight)
        weight, bias = self.folded()
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        return linear

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        form = ", ".join(f"{name}={value}" for name, value in self.form.items())
        return f"in_features={self.in_features}, out_features={self.out_features}, {form}"
