"""`fit`: a cache and a method in, a head out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltfix._version import __version__
from ltfix.errors import InputError, UsageError, nearest
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads import posthoc
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2 import engine, losses, probe, table
from ltfix.stage2.data import VIEWS_USED, Features
from ltfix.stage2.parametrise import build_head
from ltfix.stage2.select import FRACTION, class_wise_cut, mean_class_accuracy
from ltfix.stage2.table import Method, find_method
from ltfix.stage2.values import Values, resolve

Linear = tuple[np.ndarray, np.ndarray]


def fit(
    cache: FeatureCache | Path | str,
    method: str = "samn",
    *,
    val: FeatureCache | Path | str | None = None,
    seed: int = 0,
    init: str | None = None,
    views_used: str = "random",
    loss: str | None = None,
    device: str = "cpu",
    origins: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
    **values: Any,
) -> Head:
    """Retrain the classifier on a training cache.

    Args:
        cache: features [N, V, D] and labels of the training split; its stage-1 classifier is the start
            of every method that continues from one.
        method: a name of ``ltfix.methods()``.
        val: validation features to choose on; without them a class-wise cut of the training samples
            serves where something is to be chosen. The test split is never read.
        init: "stage1" (else the probe), "probe", "random" or "class-mean"; default: the method's own.
        views_used: "random" (one view per sample and step), "first" or "all".
        loss: replaces the method's loss.
        device: where to train.
        origins: where each of ``values`` came from, for the record.
        values: the method's values (``ltfix methods NAME`` lists them): ``lr=1e-3``, ``tau=0.7``, …

    Returns:
        The head: linear methods folded to weight and bias.

    Raises:
        UsageError: an unknown method, value, loss, init, or parts that make no sense together.
        InputError: a cache that is wrong or does not fit, one class only, a fit that diverges.
    """
    entry = _with_loss(find_method(method), loss)
    chosen = resolve(entry, values, origins)
    _check_word("init", init, table.INITS)
    _check_word("views_used", views_used, VIEWS_USED)
    train = cache if isinstance(cache, FeatureCache) else open_cache(cache)
    held = open_cache(val) if isinstance(val, Path | str) else val
    _check_caches(train, held)
    job = _Job(train, held, chosen, init or entry.init, seed, torch.device(device), progress, views_used)
    return job.run()


def _with_loss(entry: Method, loss: str | None) -> Method:
    if loss is None:
        return entry
    if loss not in table.LOSSES:
        raise UsageError(f"unknown loss {loss!r}", where="--loss", hint=nearest(loss, table.LOSSES))
    if entry.loss is None:
        raise UsageError(
            f"method {entry.name} trains nothing, so no loss applies", where="--loss", hint="leave it out"
        )
    return dataclasses.replace(entry, loss=loss)


def _check_word(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        where = f"--{name.replace('_', '-')}"
        raise UsageError(f"{name} is {value!r}", where=where, hint=f"it may be {', '.join(known)}")


def _check_caches(train: FeatureCache, held: FeatureCache | None) -> None:
    if int((train.counts > 0).sum()) < 2:
        raise InputError("all samples are of one class", where=train.path, hint="a classifier needs two")
    if held is not None and held.dim != train.dim:
        raise InputError(
            f"validation features have D = {held.dim}, training D = {train.dim}", where=held.path
        )
    if held is not None and int(held.labels.max()) >= train.n_classes:
        largest = int(held.labels.max())
        raise InputError(f"validation label {largest} is not below K = {train.n_classes}", where=held.path)


@dataclasses.dataclass(slots=True)
class _Job:
    """One fit: start, training, choice on validation samples, post-hoc step, folding."""

    train: FeatureCache
    held: FeatureCache | None
    values: Values
    init: str
    seed: int
    device: torch.device
    progress: Progress
    views_used: str

    def run(self) -> Head:
        method = self.values.method
        data = Features.of(self.train, self.views_used)
        self._fill_open_values(len(data.counts))
        selection = self._choose(data) if self._is_open() else {"epoch": "last"}
        start = self._start(data)
        weight, bias = self._posthoc(self._trained(data, start), data.counts)
        empty = int((data.counts == 0).sum())
        if empty:
            self.progress.note(f"{empty} of {len(data.counts)} classes have no training sample")
        return Head(
            weight=weight.astype(np.float32),
            bias=bias.astype(np.float32),
            method=method.name,
            classes=self.train.classes,
            counts=self.train.counts,
            meta={
                "values": self.values.record(),
                "init": start.record(),
                "parts": {"head": method.head, "loss": method.loss, "posthoc": method.posthoc},
                "views_used": self.views_used,
                "seed": self.seed,
                "selection": selection,
                "cache": self.train.fingerprint,
                "empty_classes": empty,
                "versions": {"ltfix": __version__, "torch": torch.__version__},
            },
        )

    def _fill_open_values(self, n_classes: int) -> None:
        if "delta" in self.values.values and self.values["delta"] is None:
            self.values.choose("delta", 0.99 if n_classes >= 1000 else 0.98, "default")

    def _is_open(self) -> bool:
        name, _ = table.CHOSEN.get(self.values.method.name, (None, ()))
        return name is not None and self.values[name] is None

    def _start(self, data: Features) -> probe.Start:
        return probe.find_start(
            self.init, self.train.head, data, seed=self.seed, device=self.device, progress=self.progress
        )

    def _trained(self, data: Features, start: probe.Start) -> Linear:
        method = self.values.method
        if method.loss is None:
            return start.weight, start.bias
        v = self.values.values
        like = torch.zeros((), dtype=torch.float32, device=self.device)
        weight = torch.from_numpy(start.weight).to(like)[None, None]
        bias = torch.from_numpy(start.bias).to(like)[None, None]
        head = build_head(method.head, weight, bias, data.counts, [v])
        loss = losses.build_loss(
            method.loss, torch.from_numpy(data.counts), [v], dtype=like.dtype, device=like.device
        )
        recipe = engine.Recipe(
            lr=[v["lr"]],
            weight_decay=[v["weight_decay"]],
            **{name: v[name] for name in ("momentum", "batch_size", "epochs", "schedule", "sampler")},
        )
        engine.train(data, head, loss, recipe, [self.seed], like=like, progress=self.progress)
        weight, bias = head.folded()
        return weight[0, 0].cpu().numpy(), bias[0, 0].cpu().numpy()

    def _posthoc(self, linear: Linear, counts: np.ndarray, **override: Any) -> Linear:
        name, v = self.values.method.posthoc, {**self.values.values, **override}
        if name == "tau-norm":
            return posthoc.tau_norm(*linear, v["tau"], keep_bias=v["bias"] == "keep")
        if name == "logit-adjust":
            return posthoc.logit_adjust(*linear, counts, v["tau"])
        return linear

    def _choose(self, data: Features) -> dict[str, Any]:
        """Fill in the open value by mean class accuracy on validation samples."""
        name, grid = table.CHOSEN[self.values.method.name]
        fitted, x, labels, where = self._validation(data)
        linear = self._trained(fitted, self._start(fitted))
        scores = []
        for value in grid:
            weight, bias = self._posthoc(linear, fitted.counts, **{name: value})
            scores.append(mean_class_accuracy((x @ weight.T + bias).argmax(1), labels))
        best = int(np.argmax(scores))
        self.values.choose(name, grid[best], "chosen on validation")
        return {
            "chosen": [name],
            "by": "mean class accuracy",
            "on": where,
            "grid": list(grid),
            "scores": [round(score, 6) for score in scores],
        }

    def _validation(self, data: Features) -> tuple[Features, np.ndarray, np.ndarray, str]:
        """What to fit on while choosing, and the samples to choose on: features [n, D], labels [n]."""
        if self.held is not None:
            held = Features.of(self.held, "first" if self.views_used == "first" else "random")
            return data, held.mean_view(), held.labels, "validation cache"
        train, cut = class_wise_cut(data.labels, self.seed)
        if not len(cut):
            raise InputError(
                "every class has one sample, so none can be held out to choose on",
                where=self.train.path,
                hint="give --val, or the value itself",
            )
        held = data.subset(cut)
        seen = " (seen by the backbone: only their order counts)" if self.train.head is not None else ""
        where = f"class-wise cut of {FRACTION:.0%} of the training samples{seen}"
        # what the backbone saw cannot be unseen, but a probe must not see the cut
        uses_all = self.init == "stage1" and self.train.head is not None and self.values.method.loss is None
        return data if uses_all else data.subset(train), held.mean_view(), held.labels, where
