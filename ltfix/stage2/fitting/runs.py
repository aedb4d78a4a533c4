"""Many runs of one method on one cache: grouped into batches that train side by side, then folded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltfix.heads import posthoc
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting.starts import Start
from ltfix.stage2.layers.build import Folded, build_head
from ltfix.stage2.loop import engine
from ltfix.stage2.loop.constraints import MaxNorm
from ltfix.stage2.loop.data import Features, Plan
from ltfix.stage2.loop.scaling import Coordinates, Linear
from ltfix.stage2.losses import build as losses
from ltfix.stage2.methods.values import Values

SIDE_BY_SIDE = frozenset(
    [
        "lr",
        "weight_decay",
        "delta",
        "eps_head",
        "eps_tail",
        "power",
        "tau",
        "gamma",
        "rho",
        "beta",
        "max_margin",
        "ldam_s",
        "lade_weight",
        "s",
    ]
)
"""Values that may differ between settings that train in one batch."""

MAX_VALUES = 1 << 26  # of weights trained at once: 256 MB of float32

Watch = Callable[[int, list[list[Linear]]], None]


@dataclasses.dataclass(slots=True)
class Fitter:
    """What all runs on one cache share.

    Attributes:
        data: the samples to train on. start: where runs begin.
        coordinates: the scaling that runs train in; results are for raw features.
        precision: "fp32", or "bf16" for the matrix products (weights and the rest stay float32).
        stop: train only so many epochs of the schedule (a length chosen on validation samples).
        watch: called after every epoch with its index and the heads [seed][setting] so far.
        tolerant: a setting that diverges comes back as NaN, in place of an error that ends them all.
    """

    data: Features
    start: Start
    coordinates: Coordinates
    device: torch.device
    progress: Progress = SILENT
    precision: str = "fp32"
    stop: int | None = None
    watch: Watch | None = None
    tolerant: bool = False

    def fit(self, settings: Sequence[Values], seeds: Sequence[int]) -> list[list[Linear]]:
        """Fit every setting with every seed; heads for raw features as [seed][setting].

        Raises:
            Diverged: a run did, and they are not ``tolerant``.
        """
        found: dict[int, list[Linear]] = {}
        groups: dict[str, list[int]] = {}
        for number, values in enumerate(settings):
            groups.setdefault(_group(values), []).append(number)
        room = max(1, MAX_VALUES // (len(seeds) * len(self.data.counts) * self.data.dim))
        for members in groups.values():
            members.sort(key=lambda i: settings[i].values.get("lr", 0.0))  # those that diverge lie together
            for first in range(0, len(members), room):
                batch = members[first : first + room]
                trained = self._train_what_can([settings[i] for i in batch], seeds)
                for place, number in enumerate(batch):
                    found[number] = [row[place] for row in trained]
        return [[found[number][s] for number in range(len(settings))] for s in range(len(seeds))]

    def _train_what_can(self, settings: Sequence[Values], seeds: Sequence[int]) -> list[list[Linear]]:
        """Train a batch; where it diverges and that is tolerated, halve it until they stand alone."""
        try:
            return self._train(settings, seeds)
        except engine.Diverged:
            if not self.tolerant:
                raise
        if len(settings) == 1:
            shape = len(self.data.counts), self.data.dim
            lost = Linear(np.full(shape, np.nan, np.float32), np.full(shape[:1], np.nan, np.float32))
            return [[lost] for _ in seeds]
        half = len(settings) // 2
        parts = self._train_what_can(settings[:half], seeds), self._train_what_can(settings[half:], seeds)
        return [low + high for low, high in zip(*parts, strict=True)]

    def _train(self, settings: Sequence[Values], seeds: Sequence[int]) -> list[list[Linear]]:
        first = settings[0]
        if first.method.loss is None:
            starts = [self._of_seed(seed) for seed in seeds]
            return [[self._finish(start, values) for values in settings] for start in starts]
        like = torch.zeros((), device=self.device)
        batches_like = like.bfloat16() if self.precision == "bf16" else like
        weight, bias = self._stacked(settings, seeds, like)
        counts, tables = self.data.counts, [values.values for values in settings]
        head = build_head(first.method.head, weight, bias, counts, tables)
        loss = losses.build_loss(
            first.method.loss, torch.from_numpy(counts), tables, dtype=like.dtype, device=like.device
        )
        constraint = MaxNorm.of(weight, first["every"]) if first.method.constraint == "maxnorm" else None
        recipe = engine.Recipe(
            plan=Plan(first["sampler"], first["batch_size"], first["epochs"]),
            lr=[values["lr"] for values in settings],
            weight_decay=[values["weight_decay"] for values in settings],
            momentum=first["momentum"],
            schedule=first["schedule"],
            stop=self.stop,
        )

        def watch(epoch: int) -> None:
            if self.watch is not None:
                self.watch(epoch, self._collect(head.folded(), settings))

        engine.train(
            self.data,
            head,
            loss,
            recipe,
            seeds,
            coordinates=self.coordinates,
            like=batches_like,
            constraint=constraint,
            after_epoch=watch,
            progress=self.progress,
        )
        return self._collect(head.folded(), settings)

    def _of_seed(self, seed: int) -> Linear:
        return self.start.of_seed(seed, len(self.data.counts), self.data.dim)

    def _stacked(
        self, settings: Sequence[Values], seeds: Sequence[int], like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Start weights [S, M, K, D] and biases [S, M, K]."""
        starts = [self._of_seed(seed) for seed in seeds]
        weight = torch.from_numpy(np.stack([s.weight for s in starts])).to(like)
        bias = torch.from_numpy(np.stack([s.bias for s in starts])).to(like)
        m = len(settings)
        return weight.unsqueeze(1).repeat(1, m, 1, 1), bias.unsqueeze(1).repeat(1, m, 1)

    def _collect(self, folded: Folded, settings: Sequence[Values]) -> list[list[Linear]]:
        weight, bias = folded.weight.cpu().numpy(), folded.bias.cpu().numpy()
        tensors = {name: tensor.cpu().numpy() for name, tensor in folded.tensors.items()}
        return [
            [
                self._finish(
                    Linear(
                        weight[s, m],
                        bias[s, m],
                        folded.transform,
                        {name: tensor[s, m] for name, tensor in tensors.items()},
                    ),
                    values,
                )
                for m, values in enumerate(settings)
            ]
            for s in range(len(weight))
        ]

    def _finish(self, linear: Linear, values: Values) -> Linear:
        return self.coordinates.back(apply_posthoc(linear, values, self.data, self.coordinates))


def apply_posthoc(linear: Linear, values: Values, data: Features, coordinates: Coordinates) -> Linear:
    """The method's post-hoc step on a linear classifier in the fit's coordinates."""
    kind, v = values.method.posthoc, values.values
    if kind == "tau-norm":
        return Linear(*posthoc.tau_norm(linear.weight, linear.bias, v["tau"], keep_bias=v["bias"] == "keep"))
    if kind == "logit-adjust":
        return Linear(*posthoc.logit_adjust(linear.weight, linear.bias, data.counts, v["tau"]))
    if kind == "mult-la":
        return Linear(*posthoc.multiply_prior(linear.weight, linear.bias, data.counts, v["tau"], v["form"]))
    if kind == "ncm":

        def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for part, x in data.mean_views():
                yield coordinates.apply(torch.from_numpy(x)).numpy(), data.labels[part]

        shape = len(data.counts), data.dim
        return Linear(*posthoc.nearest_class_mean(blocks, *shape, v["transform"], v["distance"]))
    return linear


def _group(values: Values) -> str:
    """Settings with equal keys may train in one batch."""
    same: dict[str, Any] = {name: v for name, v in values.values.items() if name not in SIDE_BY_SIDE}
    return repr((values.method.name, values.method.loss, sorted(same.items())))
