"""Whether a method, its start and the features go together; asked before anything is fitted."""

from __future__ import annotations

import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.parts import NOT_LINEAR
from ltfix.stage2.methods.values import Values

KEEPS_ROWS = ("lws", "disalign", "etf")
"""Heads that leave the rows they start from as they are."""


def demand_sense(values: Values, options: Options, train: FeatureCache) -> None:
    """Refuse what would train noise, or what no head file could hold.

    Raises:
        UsageError: a start or a normalisation that this method cannot use.
        InputError: ``etf`` on a cache without the classifier it needs.
    """
    method, init = values.method, options.init
    keeps = method.head in KEEPS_ROWS or (method.loss is None and method.posthoc != "ncm")
    if init == "random" and keeps:
        raise UsageError(
            f"{method.name} keeps the rows it starts from, and these would be noise", where="--init"
        )
    if init in ("random", "class-mean") and values.values.get("metric") == "norm":
        raise UsageError(
            f"row norms say nothing of the classes with --init {init}", where="--metric norm", hint="use freq"
        )
    why = _against(values, options.normalize)
    if why is not None:
        raise UsageError(why, where=f"--normalize {options.normalize}", hint="use --normalize none")
    if method.head == "etf":
        if init not in (None, "stage1"):
            raise UsageError(
                "etf keeps the directions of stage 1", where=f"--init {init}", hint="leave it out"
            )
        _demand_etf(train)


def keeps_features(values: Values) -> bool:
    """Whether a method needs its features as they are, which is what ``normalize="auto"`` then means."""
    return _against(values, "standardize") is not None


def _against(values: Values, normalize: str) -> str | None:
    """Why a method cannot have its features normalised so; None: it can."""
    method = values.method
    if normalize not in ("standardize", "l2"):
        return None
    if method.head == "etf":
        return "etf keeps the geometry of its features"
    if method.head == "causal" and normalize == "standardize":
        return "the mean feature that causal takes out is zero then"
    capsule = values.values.get("cosine") == "capsule"
    centred = method.posthoc == "ncm" and values["transform"] != "un"
    if capsule or (normalize == "l2" and (method.head in NOT_LINEAR or centred)):
        return f"{method.name} has a transform of its own, which no head file holds beside a normalisation"
    return None


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
