"""Many runs of one method on one cache: grouped into batches that train side by side, then folded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ltfix.compute import Compute
from ltfix.heads.arrays import CLASS_ARRAYS
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2.layers.parametrisation import Parametrisation
from ltfix.stage2.loop import engine
from ltfix.stage2.loop.data import Features, Visits
from ltfix.stage2.loop.scaling import Scaling
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.values import Values

MAX_VALUES = 1 << 26  # of weights trained at once: 256 MB of float32

Grid = list[list[Head]]
"""Heads as [seed][setting]."""


@dataclasses.dataclass(frozen=True, slots=True)
class AfterEpoch:
    """What a watcher sees of a batch of runs at the start and after an epoch.

    Attributes:
        done: epochs so far, 0 at the start. heads: so far.
        loss: gives the method's own loss [S, M] on some of the training samples.
    """

    done: int
    heads: Grid
    loss: Callable[[], Tensor]


BEHIND = 10.0
"""By how much the logit of a class without training samples lies behind another's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fitter:
    """What all runs on one cache share.

    Attributes:
        data: the samples to train on. start: gives where the run of a seed begins, for scaled features.
        scaling: what is done to the features; results are for raw ones.
        compute: where, and in what precision the matrix products are (weights and the rest stay float32).
    """

    data: Features
    start: Callable[[int], Head]
    scaling: Scaling
    compute: Compute
    progress: Progress = SILENT

    def fit(
        self,
        settings: Sequence[Values],
        seeds: Sequence[int],
        *,
        stop: int | None = None,
        watch: Callable[[AfterEpoch], None] | None = None,
        tolerant: bool = False,
    ) -> Grid:
        """Fit every setting with every seed: heads for raw features, which know their start and scaling.

        Args:
            stop: train only so many epochs of the schedule (a length chosen on validation samples).
            watch: called at the start and after every epoch.
            tolerant: a setting that diverges comes back as NaN, in place of an error that ends them all.

        Raises:
            Diverged: a run did, and that is not tolerated.
        """
        found: dict[int, list[Head]] = {}
        waiting = self._batches(settings, len(seeds))
        while waiting:
            batch = waiting.pop()
            try:
                trained = self._train([settings[i] for i in batch], seeds, stop, watch)
            except engine.Diverged:
                if not tolerant:
                    raise
                if len(batch) > 1:  # halve it until those that diverge stand alone
                    waiting += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
                    continue
                trained = [[self._lost()] for _ in seeds]
            for place, number in enumerate(batch):
                found[number] = [row[place] for row in trained]
        return [[found[number][s] for number in range(len(settings))] for s in range(len(seeds))]

    def _batches(self, settings: Sequence[Values], n_seeds: int) -> list[list[int]]:
        """Which settings train side by side, the first batch last."""
        groups: dict[str, list[int]] = {}
        for number, values in enumerate(settings):
            groups.setdefault(_group(values), []).append(number)
        room = max(1, MAX_VALUES // (n_seeds * len(self.data.counts) * self.data.dim))
        found = []
        for members in groups.values():
            members.sort(key=lambda i: settings[i].values.get("lr", 0.0))  # those that diverge lie together
            found += [members[first : first + room] for first in range(0, len(members), room)]
        return found[::-1]

    def _train(
        self,
        settings: Sequence[Values],
        seeds: Sequence[int],
        stop: int | None,
        watch: Callable[[AfterEpoch], None] | None,
    ) -> Grid:
        first = settings[0]
        loss, bound, unread = first.method.loss, first.method.constraint, first.method.needs_no_start
        starts = [_empty(first.method.init.name) if unread else self.start(seed) for seed in seeds]
        if loss is None:
            return [[self._finish(start, start, values) for values in settings] for start in starts]
        like = torch.zeros((), device=self.compute.device)
        found = [repr(values.before_step) for values in settings]  # what differs after training alone
        trained = dict(zip(found, settings, strict=True))
        places = [list(trained).index(text) for text in found]
        weight, bias = _stacked(starts, len(trained), like)
        counts, tables = self.data.counts, [values.values for values in trained.values()]
        head: Parametrisation = first.method.head.function(weight, bias, counts, tables)
        schedule = engine.Schedule(
            visits=Visits(first.parts["sampler"], first["batch_size"], first["epochs"]),
            lr=[values["lr"] for values in trained.values()],
            weight_decay=[values["weight_decay"] for values in trained.values()],
            momentum=first["momentum"],
            decline=first["schedule"],
            stop=stop,
        )

        def collect() -> Grid:
            return self._collect(head, starts, list(zip(places, settings, strict=True)))

        engine.train(
            self.data,
            head,
            build_loss(loss, counts, tables, dtype=like.dtype, device=like.device),
            schedule,
            seeds,
            scaling=self.scaling,
            products=self.compute.products,
            like=like.to(self.compute.batch_type(like.dtype)),
            constraint=None if bound is None else bound.function(head, counts, first.values),
            after_epoch=watch and (lambda done, at: watch(AfterEpoch(done, collect(), at))),
            progress=self.progress,
        )
        return collect()

    def _collect(
        self, head: Parametrisation, starts: Sequence[Head], settings: Sequence[tuple[int, Values]]
    ) -> Grid:
        """A trained head as one of each seed and setting, which says where in the batch it trained."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in head.folded().items()}

        def one(s: int, m: int) -> Head:
            own = {name: array[s, m] for name, array in arrays.items()}
            return Head(own.pop("weight"), own.pop("bias"), transform=head.transform, tensors=own)

        return [
            [self._finish(one(s, m), start, values) for m, values in settings]
            for s, start in enumerate(starts)
        ]

    def _finish(self, head: Head, start: Head, values: Values) -> Head:
        """A head for raw features, after the method's post-hoc step, with what is known of its making."""
        step = values.parts.get("posthoc")
        if step is not None:
            head = step.function(head, values.step_values, self.data, self.scaling)
        found = never_predict(self.scaling.back(head), self.data.counts == 0)
        meta = {"init": start.meta, "coordinates": self.scaling.record()}
        return dataclasses.replace(found, method=values.method.name, meta=meta)

    def _lost(self) -> Head:
        """What a run that diverged leaves: NaN."""
        shape = len(self.data.counts), self.data.dim
        return Head(np.full(shape, np.nan, np.float32), np.full(shape[:1], np.nan, np.float32))


def never_predict(head: Head, absent: np.ndarray) -> Head:
    """The head with the classes that ``absent`` [K] marks always behind another.

    A class without training samples takes the row of one that has some, at a bias that is ``BEHIND`` lower:
    it lies behind that one whatever the features. Of DisAlign's rows it is the one whose gate raises it most.
    """
    if not absent.any():
        return head
    arrays = {name: array.copy() for name, array in head.arrays.items()}
    leading = np.where(absent, -np.inf, arrays.get("logit_scale", np.zeros(len(absent))))
    model = int(leading.argmax())
    for name in CLASS_ARRAYS & arrays.keys():
        arrays[name][absent] = arrays[name][model]
    arrays["bias"][absent] -= BEHIND
    weight, bias = arrays.pop("weight"), arrays.pop("bias")
    return dataclasses.replace(head, weight=weight, bias=bias, tensors=arrays)


def _empty(start: str) -> Head:
    """What stands in for a start that nothing asks for, so that the features are not read for it."""
    return Head(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), meta={"from": start})


def _stacked(starts: Sequence[Head], n_settings: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Start weights [S, M, K, D] and biases [S, M, K]."""
    weight = torch.from_numpy(np.stack([start.weight for start in starts])).to(like)
    bias = torch.from_numpy(np.stack([start.bias for start in starts])).to(like)
    return weight.unsqueeze(1).repeat(1, n_settings, 1, 1), bias.unsqueeze(1).repeat(1, n_settings, 1)


def _group(values: Values) -> str:
    """Settings with equal keys may train in one batch."""
    spec, loss = values.spec, values.method.loss
    same = {name: value for name, value in values.before_step.items() if not spec[name].side_by_side}
    return repr((values.method.name, loss and loss.name, sorted(same.items())))
