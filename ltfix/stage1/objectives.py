"""What a recipe minimises: one forward and one loss for a part of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltfix.seeds import derive
from ltfix.stage1 import mixing
from ltfix.stage1.entries import Recipe
from ltfix.stage1.trainee import Trainee
from ltfix.stage2.loop.samplers import by_power
from ltfix.stage2.losses.loss import Deferred, Loss, build_loss


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPart:
    """Which part of which step is computed: all that its randomness comes from.

    Attributes:
        seed: of the run.
        epoch: from 0.
        step: of the epoch.
        start: the position in the epoch of the part's first image.
    """

    seed: int
    epoch: int
    step: int
    start: int

    def drawn(self, mixup: float, cutmix: float) -> mixing.Draw | None:
        """The step's mixture, the same for all its parts."""
        rng = np.random.default_rng(derive(self.seed, "mix", self.epoch, self.step))
        return mixing.draw(rng, mixup, cutmix)

    def partners(self, n: int) -> Tensor:
        """The order in which the part's own images come second."""
        rng = np.random.default_rng(derive(self.seed, "partner", self.epoch, self.start))
        return torch.from_numpy(rng.permutation(n))


class Objective:
    """The loss of a recipe.

    Attributes:
        views: augmented copies that it needs of every image.
        draws: images per sample: 1, or 2 where a second sampler draws along.
        mixes: whether what it trains on has several labels.
    """

    views = draws = 1

    @property
    def mixes(self) -> bool:
        """See above."""
        return False

    def start_epoch(self, epoch: int) -> None:
        """Move what depends on the epoch (from 0)."""

    def second(self, labels: np.ndarray, seed: int, epoch: int) -> np.ndarray | None:
        """The second sampler's images [N] of an epoch, or None."""
        return None

    def __call__(
        self, trainee: Trainee, images: Sequence[Tensor], labels: Tensor, part: BatchPart
    ) -> tuple[Tensor, Tensor]:
        """Mean loss of a part, and which of its images [n] the test head gets right (mixtures by share).

        Args:
            images: per view [n·draws, 3, S, S], first and second images in turn.
            labels: [n·draws].
        """
        raise NotImplementedError


@dataclasses.dataclass(slots=True, eq=False)
class Classify(Objective):
    """A loss of stage 2 on one head, with mixed batches and a penalty on features where asked for.

    λ L(z, y) + (1 − λ) L(z, y′) for mixtures, which for cross-entropy is the loss of the mixed label;
    plus (λ_F/2)·mean ‖x‖² (feature regularisation, Hasegawa & Sato 2024).

    Attributes:
        loss: of logits [B, 1, K].
        head: its name.
        epochs: E, for losses that move with the epoch.
        mixup, cutmix: α of Beta(α, α); 0 is off.
        feature_decay: λ_F.
    """

    loss: Loss
    head: str
    epochs: int
    mixup: float = 0.0
    cutmix: float = 0.0
    feature_decay: float = 0.0

    @property
    def mixes(self) -> bool:
        """With MixUp or CutMix."""
        return self.mixup > 0 or self.cutmix > 0

    def start_epoch(self, epoch: int) -> None:
        """Switch a deferred loss over."""
        if isinstance(self.loss, Deferred):
            self.loss.start_epoch(epoch, self.epochs)

    def __call__(
        self, trainee: Trainee, images: Sequence[Tensor], labels: Tensor, part: BatchPart
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Objective`."""
        (x,), share, other = images, 1.0, labels
        drawn = part.drawn(self.mixup, self.cutmix)
        if drawn is not None:
            order = part.partners(len(labels)).to(labels.device)
            x, share = mixing.mix(x, order, drawn)
            other = labels[order]
        features, logits = trainee(x)
        z = wide(logits[self.head])
        loss = self._value(z, labels)
        if drawn is not None:
            loss = share * loss + (1 - share) * self._value(z, other)
        if self.feature_decay:
            loss = loss + self.feature_decay / 2 * wide(features).square().sum(1).mean()
        return loss, hits(z, labels, other, share)

    def _value(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.loss.value(z[:, None], labels)[0]


def hits(z: Tensor, labels: Tensor, other: Tensor, share: float) -> Tensor:
    """λ·[first label found] + (1 − λ)·[second found] of every image, [B]."""
    found = z.detach().argmax(1)
    first = found == labels
    return first if share == 1 else share * first + (1 - share) * (found == other)


class Glmc(Objective):
    """Global and local mixture consistency, cumulative over the epochs (Du et al. 2023).

    Images A come from the run's sampler, images I with weights n^−q. One λ ~ Beta(1, 1) a step mixes the
    first views by weights and the second by a box, and the labels of both (the box's clipping does not
    change them). Soft cross-entropy on ``fc``, and on ``fc_cb`` with labels weighted by v_k ∝ n_k^−ω
    (mean 1), α = 1 − (e/E)² moving from the first to the second; minus c times the cosine of each view's
    prediction with the other's projection, which takes no gradient.

    Args:
        counts: [K] training samples.
        epochs: E.
        resample_weighting, label_weighting, contrast_weight: q, ω and c.
        device: of the batches.
    """

    views = draws = 2
    mixes = True

    def __init__(
        self,
        counts: Tensor,
        epochs: int,
        *,
        resample_weighting: float,
        label_weighting: float,
        contrast_weight: float,
        device: torch.device,
    ) -> None:
        self.weights = label_weights(counts, label_weighting).float().to(device)
        self.epochs, self.alpha = epochs, 1.0
        self.q, self.contrast = resample_weighting, contrast_weight

    def start_epoch(self, epoch: int) -> None:
        """α = 1 − (e/E)²."""
        self.alpha = 1 - (epoch / self.epochs) ** 2

    def second(self, labels: np.ndarray, seed: int, epoch: int) -> np.ndarray | None:
        """Samples with weight n^−q, so classes with n^(1−q), with replacement."""
        rng = np.random.default_rng(derive(seed, "second", epoch))
        return by_power(1 - self.q)(labels, rng, 0.0)

    def __call__(
        self, trainee: Trainee, images: Sequence[Tensor], labels: Tensor, part: BatchPart
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Objective`."""
        drawn = part.drawn(1.0, 0.0)
        assert drawn is not None  # α = 1 is on
        share = drawn.share
        whole = mixing.mixup(images[0][0::2], images[0][1::2], share)
        height, width = whole.shape[-2:]
        where = mixing.box((height, width), share, drawn.centre, ceil=True)
        local = mixing.cutmix(images[1][0::2], images[1][1::2], where)
        one, two = trainee(whole), trainee(local)
        plain = torch.stack([F.one_hot(labels[i::2], len(self.weights)).to(self.weights) for i in (0, 1)])
        target = share * plain[0] + (1 - share) * plain[1]
        loss = cumulative(
            [logits["fc"] for _, logits in (one, two)],
            [logits["fc_cb"] for _, logits in (one, two)],
            (target, target * self.weights),  # a weight that multiplies each label multiplies their mixture
            self.alpha,
        )
        projected = [trainee.extras["projector"](features) for features, _ in (one, two)]
        predicted = [trainee.extras["predictor"](z) for z in projected]
        loss = loss + self.contrast * simsiam(predicted, projected)
        return loss, hits(one[1]["fc_cb"], labels[0::2], labels[1::2], share)


def cumulative(
    plain: Sequence[Tensor], balanced: Sequence[Tensor], targets: tuple[Tensor, Tensor], alpha: float
) -> Tensor:
    """α Σ_views CE(plain, y) + (1 − α) Σ_views CE(balanced, v·y).

    Args:
        plain, balanced: per view, logits [B, K] of the two heads.
        targets: soft labels [B, K], as they are and weighted.
        alpha: share of the plain head.
    """
    label, weighted = targets
    first = torch.stack([soft_cross_entropy(logits, label) for logits in plain]).sum()
    second = torch.stack([soft_cross_entropy(logits, weighted) for logits in balanced]).sum()
    return alpha * first + (1 - alpha) * second


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """−mean Σ_k target_k log softmax_k, in the target's precision."""
    return -(target * logits.to(target).log_softmax(1)).sum(1).mean()


def simsiam(predicted: Sequence[Tensor], projected: Sequence[Tensor]) -> Tensor:
    """−cos(p₁, sg z₂) − cos(p₂, sg z₁), means over the batch; sg takes no gradient (Chen & He 2021)."""
    pairs = zip(predicted, reversed(projected), strict=True)
    return torch.stack([-F.cosine_similarity(wide(p), wide(z.detach())).mean() for p, z in pairs]).sum()


def wide(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def label_weights(counts: Tensor, omega: float) -> Tensor:
    """v_k = n_k^−ω scaled to mean 1, [K] float64."""
    weight = counts.double().clamp(min=1) ** -omega
    return weight * (len(weight) / weight.sum())


def build_objective(
    recipe: Recipe,
    values: Mapping[str, Any],
    counts: np.ndarray,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Objective:
    """The objective of a recipe at its values.

    Args:
        counts: [K] training samples per class.
        device, dtype: of the batches; half precision is widened before the loss.
    """
    n = torch.from_numpy(counts)
    if recipe.objective == "glmc":
        own = {name: values[name] for name in ("resample_weighting", "label_weighting", "contrast_weight")}
        return Glmc(n, values["epochs"], device=device, **own)
    return Classify(
        build_loss(recipe.loss, n, [values], device=device, dtype=dtype),
        recipe.test_head,
        values["epochs"],
        mixup=values["mixup"],
        cutmix=values["cutmix"],
        feature_decay=values.get("feature_decay", 0.0),
    )


def extras(recipe: Recipe, values: Mapping[str, Any], dim: int) -> dict[str, nn.Module]:
    """Modules that only training needs: GLMC's linear projector D → d and predictor d → d."""
    if recipe.objective != "glmc":
        return {}
    width = values["projection"]
    return {"projector": nn.Linear(dim, width), "predictor": nn.Linear(width, width)}
