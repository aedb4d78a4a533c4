"""`fit`: a cache and a method in, heads out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltfix.errors import UsageError
from ltfix.features.cache import FeatureCache
from ltfix.features.read import open_cache
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import find_method
from ltfix.stage2.methods.values import resolve, with_loss
from ltfix.stage2.tuning import auto
from ltfix.stage2.tuning.job import Job

__all__ = ["Options", "fit", "fit_seeds"]


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
        method: a name of ``ltfix.methods()``, or "auto": all are tuned and one is chosen on validation
            samples (:mod:`ltfix.stage2.tuning.auto`).
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
    resolved = None
    if method != auto.NAME:
        resolved = resolve(with_loss(find_method(method), loss), values, origins)
    elif values or loss is not None:
        given = ", ".join([*values, *(["loss"] if loss is not None else [])])
        raise UsageError(f"method auto chooses {given} itself", where="--method auto", hint="leave it out")
    train = cache if isinstance(cache, FeatureCache) else open_cache(cache)
    held = open_cache(val) if isinstance(val, Path | str) else val
    material = Material(train, held, options, seeds[0], progress)
    if resolved is None:
        return auto.fit_auto(material, seeds)
    job = Job(material, resolved)
    return job.train(job.choose(), seeds)
