"""`fit`: a cache and a method in, heads out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ltfix._version import __version__
from ltfix.backbones.device import demand_bf16
from ltfix.errors import InputError, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2 import tune
from ltfix.stage2.coordinates import NORMALIZE, Coordinates, Linear
from ltfix.stage2.data import VIEWS_USED, Features
from ltfix.stage2.parts import INITS
from ltfix.stage2.runs import Fitter
from ltfix.stage2.select import BY, FRACTION, Validation, validation_samples
from ltfix.stage2.starts import Start, find_start
from ltfix.stage2.table import find_method
from ltfix.stage2.values import Values, resolve, with_loss

SELECT = ("last", "best-val")
STREAM = ("auto", "always", "never")
PRECISIONS = ("fp32", "bf16")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How to fit, whatever the method.

    Attributes:
        init: "stage1" (else the probe), "probe", "random" or "class-mean"; None: the method's own.
        views_used: "random" (one view per sample and step), "first" or "all" (each view a sample).
        feature_scale: "auto", "none" or a number: features are divided by it, the weight takes it back.
        normalize: "none", "standardize" or "l2".
        tune: search rate, feature scale and the method's own values on validation samples.
        select: "last" epoch, or "best-val": the length that validation samples like best.
        val_fraction, val_per_class: the class-wise cut that serves where no validation cache does; giving
            one of them asks for validation even where nothing is open.
        stream: "auto", "always" or "never": visit features block-wise, so that they need not fit in memory.
        device: where to train.
        precision: "fp32", or "bf16" for the matrix products where the processor has it.
    """

    init: str | None = None
    views_used: str = "random"
    feature_scale: str | float = "auto"
    normalize: str = "none"
    tune: bool = False
    select: str = "last"
    val_fraction: float | None = None
    val_per_class: int | None = None
    stream: str = "auto"
    device: str = "cpu"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("init", self.init, (None, *INITS)),
            ("views_used", self.views_used, VIEWS_USED),
            ("normalize", self.normalize, NORMALIZE),
            ("select", self.select, SELECT),
            ("stream", self.stream, STREAM),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                words = ", ".join(word for word in known if word)
                where = f"--{name.replace('_', '-')}"
                raise UsageError(f"{name} is {value!r}", where=where, hint=f"it may be {words}")
        if self.val_fraction is not None and not 0 < self.val_fraction < 1:
            raise UsageError(
                f"the fraction is {self.val_fraction:g}", where="--val-fraction", hint="between 0 and 1"
            )
        if self.val_per_class is not None and self.val_per_class < 1:
            raise UsageError(
                f"{self.val_per_class} samples a class", where="--val-per-class", hint="1 or more"
            )
        if self.feature_scale not in ("auto", "none"):
            try:
                ok = 0 < float(self.feature_scale) < float("inf")
            except ValueError:
                ok = False
            if not ok:
                raise UsageError(
                    f"the scale is {self.feature_scale!r}",
                    where="--feature-scale",
                    hint="auto, none or a number > 0",
                )


def fit(
    cache: FeatureCache | Path | str,
    method: str = "samn",
    *,
    val: FeatureCache | Path | str | None = None,
    seed: int = 0,
    loss: str | None = None,
    origins: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
    options: Options | None = None,
    **values: Any,
) -> Head:
    """Retrain the classifier on a training cache.

    Args:
        cache: features [N, V, D] and labels of the training split; its stage-1 classifier is the start of
            every method that continues from one.
        method: a name of ``ltfix.methods()``.
        val: validation features to choose on; without them a class-wise cut of the training samples
            serves where something is to be chosen. The test split is never read.
        loss: replaces the method's loss.
        origins: where each of ``values`` came from, for the record.
        options: an :class:`Options`; its fields may be given among ``values`` instead.
        values: the method's values (``ltfix methods NAME`` lists them): ``lr=1e-3``, ``tau=0.7``, …

    Returns:
        The head: linear methods folded to weight and bias.

    Raises:
        UsageError: an unknown method, value, loss or option, or parts that make no sense together.
        InputError: a cache that is wrong or does not fit, one class only, a fit that diverges.
    """
    return fit_seeds(
        cache,
        method,
        seeds=[seed],
        val=val,
        loss=loss,
        origins=origins,
        progress=progress,
        options=options,
        **values,
    )[0]


def fit_seeds(
    cache: FeatureCache | Path | str,
    method: str = "samn",
    *,
    seeds: Sequence[int],
    val: FeatureCache | Path | str | None = None,
    loss: str | None = None,
    origins: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
    options: Options | None = None,
    **values: Any,
) -> list[Head]:
    """As :func:`fit`, one head per seed, trained side by side; choices are made once, with the first seed."""
    fields = {field.name for field in dataclasses.fields(Options)}
    chosen = {name: values.pop(name) for name in fields & set(values)}
    options = dataclasses.replace(options or Options(), **chosen)
    resolved = resolve(with_loss(find_method(method), loss), values, origins)
    train = cache if isinstance(cache, FeatureCache) else open_cache(cache)
    held = open_cache(val) if isinstance(val, Path | str) else val
    _check_caches(train, held)
    if options.precision == "bf16":
        demand_bf16(torch.device(options.device))
    return _Job(train, held, resolved, options, list(seeds), progress).run()


def _check_caches(train: FeatureCache, held: FeatureCache | None) -> None:
    if int((train.counts > 0).sum()) < 2:
        raise InputError("all samples are of one class", where=train.path, hint="a classifier needs two")
    if held is None:
        return
    if held.dim != train.dim:
        raise InputError(
            f"validation features have D = {held.dim}, training D = {train.dim}", where=held.path
        )
    if int(held.labels.max()) >= train.n_classes:
        largest = int(held.labels.max())
        raise InputError(f"validation label {largest} is not below K = {train.n_classes}", where=held.path)
    if held.classes and train.classes and held.classes != train.classes:
        raise InputError("validation and training classes differ", where=held.path)


@dataclasses.dataclass(slots=True)
class _Job:
    """One fit: coordinates and start, choices on validation samples, training, folding."""

    train: FeatureCache
    held: FeatureCache | None
    values: Values
    options: Options
    seeds: list[int]
    progress: Progress

    def run(self) -> list[Head]:
        data = Features.of(self.train, self.options.views_used, self.options.stream)
        n_classes = len(data.counts)
        if "delta" in self.values and self.values["delta"] is None:
            self.values = self.values.choose("default", delta=0.99 if n_classes >= 1000 else 0.98)
        if self.values.method.head == "etf":
            _demand_etf(self.train)
        selection, scale, stop = self._choose(data)
        fitter = self._fitter(data, scale)
        fitter.stop = stop
        runs = fitter.fit([self.values], self.seeds)
        empty = int((data.counts == 0).sum())
        if empty:
            self.progress.note(f"{empty} of {n_classes} classes have no training sample")
        return [
            self._head(row[0], seed, selection, fitter, empty)
            for row, seed in zip(runs, self.seeds, strict=True)
        ]

    def _head(self, linear: Linear, seed: int, selection: dict[str, Any], fitter: Fitter, empty: int) -> Head:
        method = self.values.method
        return Head(
            weight=linear.weight,
            bias=linear.bias,
            method=method.name,
            classes=self.train.classes,
            counts=self.train.counts,
            transform=linear.transform,
            tensors=linear.tensors,
            meta={
                "values": self.values.record(),
                "init": fitter.start.record(),
                "parts": {"head": method.head, "loss": method.loss, "posthoc": method.posthoc},
                "coordinates": fitter.coordinates.record(),
                "views_used": self.options.views_used,
                "seed": seed,
                "selection": selection,
                "cache": self.train.fingerprint,
                "empty_classes": empty,
                "versions": {"ltfix": __version__, "torch": torch.__version__},
            },
        )

    def _fitter(self, data: Features, scale: float = 1.0) -> Fitter:
        coordinates = Coordinates.of(data.some_rows(), self.options.feature_scale, self.options.normalize)
        coordinates = dataclasses.replace(coordinates, scale=coordinates.scale * scale)
        start = self._start(data, coordinates)
        return Fitter(data, start, coordinates, self._device, self.progress, self.options.precision)

    def _start(self, data: Features, coordinates: Coordinates) -> Start:
        return find_start(
            self.options.init or self.values.method.init,
            self.train.head,
            data,
            coordinates,
            device=self._device,
            progress=self.progress,
        )

    @property
    def _device(self) -> torch.device:
        return torch.device(self.options.device)

    def _choose(self, data: Features) -> tuple[dict[str, Any], float, int | None]:
        """Fill in what is open; the selection's record, the multiple of the scale, the epochs to run."""
        o, method = self.options, self.values.method
        tried = tune.candidates(self.values, o.tune)
        by_epoch = o.select == "best-val" and method.loss is not None
        asked = self.held is not None or o.val_fraction is not None or o.val_per_class is not None
        if len(tried) == 1 and not by_epoch and not asked:
            return {"epoch": "last"}, 1.0, None
        validation = validation_samples(
            data,
            self.held,
            seed=self.seeds[0],
            seen=self.train.head is not None,
            fraction=o.val_fraction or FRACTION,
            per_class=o.val_per_class,
            progress=self.progress,
        )
        record: dict[str, Any] = {"by": BY, "on": validation.where}
        scale = 1.0
        if len(tried) > 1:
            searched = o.tune and method.loss is not None and o.feature_scale == "auto"
            scales = tune.SCALES if searched else (1.0,)
            self.values, scale, record = tune.choose(
                lambda multiple: self._fitter(validation.train, multiple),
                validation,
                tried,
                scales,
                self.seeds[0],
            )
        record["epoch"] = "last"
        stop = None
        if by_epoch:
            fitter = self._fitter(validation.train, scale)
            stop, scores = tune.best_epoch(fitter, validation, self.values, self.seeds[0])
            record |= {"epoch": stop, "epoch_scores": [round(score, 6) for score in scores]}
        if method.loss is not None:
            record |= self._compare_with_start(validation, scale, stop)
        return record, scale, stop

    def _compare_with_start(self, validation: Validation, scale: float, stop: int | None) -> dict[str, Any]:
        """Whether the fit beats what it started from on the validation samples; says so where it does not."""
        fitter = self._fitter(validation.train, scale)
        fitter.stop = stop
        start = fitter.start.linear
        if start is None:
            return {}
        fitted = validation.score(fitter.fit([self.values], self.seeds[:1])[0][0])
        before = validation.score(fitter.coordinates.back(start))
        if fitted < before:
            advice = "" if self.options.tune else "; --tune searches for values that suit these features"
            self.progress.note(
                f"{self.values.method.name} is worse on the validation samples than where it started: "
                f"{BY} {100 * fitted:.1f} against {100 * before:.1f}{advice}"
            )
        return {"score": round(fitted, 6), "start_score": round(before, 6)}


def _demand_etf(train: FeatureCache) -> None:
    """Refuse a start that is no simplex: the fixed directions must be those the backbone learned.

    Raises:
        InputError: no stage-1 classifier, D < K − 1, or rows that are not a simplex ETF.
    """
    hint = "train one with `ltfix train-backbone --recipe etf-fr`; elsewhere a fixed ETF is at chance"
    if train.head is None:
        raise InputError("etf needs the stage-1 ETF classifier of its backbone", where=train.path, hint=hint)
    k, dim = train.head.weight.shape
    if dim < k - 1:
        raise InputError(f"etf needs D ≥ K − 1, found D = {dim}, K = {k}", where=train.path, hint=hint)
    unit = train.head.weight / np.linalg.norm(train.head.weight, axis=1, keepdims=True).clip(1e-12)
    cosines = (unit @ unit.T)[~np.eye(k, dtype=bool)]
    if np.abs(cosines + 1 / (k - 1)).max() > 1e-2:
        raise InputError("its stage-1 classifier is no simplex ETF", where=train.path, hint=hint)
