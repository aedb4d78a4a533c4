"""Every built-in part, one record each, in one table a kind. Strings and numbers only, no torch.

A record says all that the rest of the package knows of a part: where its function is, the values it takes and
its traits. A new part is its function and its record here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from ltfix.stage2.methods.parts import Part, Value

SCHEDULES = ("cosine", "constant")


def _records(kind: str, place: str) -> Callable[..., Part]:
    """Makes the records of one kind, whose functions stand in one place."""

    def record(name: str, build: str, values: Mapping[str, Value] | None = None, **traits: Any) -> Part:
        return Part(name, kind, place + build, values or {}, **traits)

    return record


_head = _records("head", "ltfix.stage2.layers.")
_loss = _records("loss", "ltfix.stage2.losses.")
_sampler = _records("sampler", "ltfix.stage2.loop.samplers:")
_start = _records("start", "ltfix.stage2.fitting.starts:")
_posthoc = _records("posthoc", "ltfix.stage2.fitting.posthoc:")
_number = functools.partial(Value, side_by_side=True)  # it may differ between runs that train together


def _table(*parts: Part) -> Mapping[str, Part]:
    return {part.name: part for part in parts}


SAMPLERS = _table(
    _sampler("instance", "instance", every_sample=True),
    _sampler("class-aware", "class_aware", balanced=True),
    _sampler("class-balanced", "class_balanced", balanced=True),
    _sampler("square-root", "square_root"),
    _sampler("progressive", "progressive"),
)

STARTS = _table(
    _start("stage1", "stage1", trained=True, simplex=True),
    _start("probe", "probe", trained=True),
    _start("random", "random", noise=True),
    _start("class-mean", "class_mean"),
)

HEADS = _table(
    _head("linear", "linear:Linear", free_rows=True),
    _head("etf", "linear:FixedRows", keeps_rows=True, raw_features=True, simplex=True),
    _head("lws", "linear:ScaledLogits", keeps_rows=True),
    _head(
        "scaled",
        "linear:ScaledLogits",
        {"lr_factor": Value(1.0, "rate of weight and bias, as a share of the scales'")},
    ),
    _head(
        "cosine",
        "rows:Cosine",
        {
            "cosine": Value(
                "learnable",
                "scale learned, fixed, in the loss (plain), or OLTR's capsule",
                ("learnable", "fixed", "plain", "capsule"),
            ),
            "s": _number(
                16.0, "the scale, or where it starts", positive=True, only="cosine=learnable|fixed|capsule"
            ),
        },
        when={"cosine=plain": {"cosines": True}, "cosine=capsule": {"raw_features": True}},
        transforms=True,
        directions=True,
    ),
    _head(
        "causal",
        "rows:Causal",
        {
            "causal_tau": Value(16.0, "scale τ", positive=True),
            "heads": Value(2, "blocks H that are normalised apart", positive=True),
            "causal_gamma": Value(1 / 32, "γ, added to the norm of a row"),
            "alpha": Value(3.0, "how much of the mean direction is taken out"),
            "mean_momentum": Value(0.9, "momentum of the mean feature", high=1),
        },
        transforms=True,
        directions=True,
        mean_feature=True,
    ),
    _head(
        "disalign",
        "linear:DisAlign",
        {"variant": Value("paper", "identity at the start, or the published code's", ("paper", "code"))},
        transforms=True,
        keeps_rows=True,
    ),
    _head(
        "samn",
        "rows:samn_head",
        {
            "metric": Value("freq", "class metric: training counts, or stage-1 row norms", ("freq", "norm")),
            "variant": Value("code", "as published in code, or as the paper's text reads", ("code", "paper")),
            "part": Value("both", "what is rescaled", ("both", "weight", "bias")),
            "scale": Value("exp", "exp(S) or S itself", ("exp", "mul")),
            "projection": Value("pava", "what keeps S monotone", ("pava", "none", "recursive")),
            "start": Value("minmax", "of S: the scaled metric, or softplus(1/a)", ("minmax", "inverse")),
        },
        when={"metric=norm": {"reads_norms": True}},
    ),
)

_TAU = _number(1.0, "strength of the prior", high=4)
_BETA = _number(0.9999, "β of the effective number; 1 weights by 1/n", high=1)
DRW: Mapping[str, Value] = {
    "drw_from": Value(1.0, "share of the epochs after which classes are re-weighted", high=1),
    "beta": dataclasses.replace(_BETA),
}
"""Deferred re-weighting, which every loss of class counts takes (``losses/loss.py``)."""

LOSSES = _table(
    _loss("ce", "softmax:cross_entropy"),
    _loss(
        "los",
        "softmax:over_smoothed",
        {
            "delta": _number(
                None, "smoothing; 0.98, and 0.99 for 1000 classes or more", high=1, by_classes=(0.98, 0.99)
            )
        },
    ),
    _loss(
        "las",
        "softmax:label_aware",
        {
            "eps_head": _number(0.4, "smoothing of the most frequent class", high=1),
            "eps_tail": _number(0.1, "smoothing of the rarest class", high=1),
            "shape": Value("concave", "smoothing between them", ("concave", "linear", "convex", "exp")),
            "power": _number(1.5, "exponent of the shape exp", only="shape=exp"),
            "las_form": Value("code", "smoothed over all classes, or over the others", ("code", "paper")),
        },
    ),
    _loss("balanced-softmax", "softmax:balanced_softmax", corrects_prior=True),
    _loss("logit-adjusted", "softmax:logit_adjusted", {"tau": _TAU}, corrects_prior=True),
    _loss(
        "vs",
        "softmax:vector_scaling",
        {"gamma": _number(0.3, "Δ_k = (n_max/n_k)^γ", high=2), "tau": _TAU},
        corrects_prior=True,
    ),
    _loss("lade", "lade:lade", {"lade_weight": _number(0.1, "of its penalty")}, corrects_prior=True),
    _loss(
        "grw", "softmax:reweighted", {"rho": _number(1.2, "weights ∝ prior^−ρ", high=4)}, corrects_prior=True
    ),
    _loss(
        "cb",
        "balanced:class_balanced",
        {
            "beta": _BETA,
            "form": Value(
                "softmax",
                "softmax CE, the published port's BCE on softmax, sigmoid, or focal",
                ("softmax", "bce", "sigmoid", "focal"),
            ),
            "mean": Value("weighted", "reduction of that form", ("weighted", "plain"), only="form=softmax"),
            "gamma": _number(2.0, "focusing of the focal form", high=10, only="form=focal"),
        },
        corrects_prior=True,
    ),
    _loss(
        "focal",
        "focal:focal",
        {
            "gamma": _number(1.0, "focusing", high=10),
            "definition": Value("softmax", "of the softmax (LDAM's code) or sigmoid", ("softmax", "sigmoid")),
        },
    ),
    _loss(
        "margin-linear",
        "softmax:linear_margin",
        {
            "max_margin": _number(0.5, "margin of the rarest class, in logits", high=100),
            "margin_power": _number(0.25, "margins ∝ n^−power", high=4),
        },
    ),
    _loss(
        "ldam",
        "softmax:ldam",
        {
            "max_margin": _number(0.5, "margin of the rarest class", high=2),
            "ldam_s": _number(30.0, "scale s of the cosine", positive=True),
            **DRW,
        },
        cosines=True,
    ),
)

_PROJECTED = "normalise_start=false"
CONSTRAINTS = _table(
    Part(
        "maxnorm",
        "constraint",
        "ltfix.stage2.loop.constraints:max_norm",
        {
            "every": Value("epoch", "when rows are projected", ("epoch", "step"), only=_PROJECTED),
            "normalise_start": Value("false", "unit rows at the start, in place of that", ("false", "true")),
        },
    )
)

POSTHOC = _table(
    _posthoc(
        "tau-norm",
        "tau_norm",
        {
            "tau": _number(
                None,
                "exponent of the row norm; else chosen on validation samples",
                high=4,
                grid=tuple(round(0.1 * i, 1) for i in range(21)),
            ),
            "bias": Value("drop", "drop it (Decoupling) or keep it (weight balancing)", ("drop", "keep")),
        },
        keeps_rows=True,
        corrects_prior=True,
        origin=True,
    ),
    _posthoc(
        "logit-adjust",
        "logit_adjust",
        {"tau": _number(1.0, "strength; 1 is Bayes-consistent for the balanced error", high=4)},
        keeps_rows=True,
        corrects_prior=True,
    ),
    _posthoc(
        "mult-la",
        "multiply_prior",
        {
            "tau": _number(
                None,
                "exponent of the prior; else chosen on validation samples",
                high=4,
                grid=tuple(round(0.05 * i, 2) for i in range(21)),
            ),
            "form": Value(
                "code",
                "whole logits (EWB's code), unit rows with the bias kept (EWB), or without (Kim & Kim)",
                ("code", "ewb", "kim"),
            ),
        },
        keeps_rows=True,
        corrects_prior=True,
        origin=True,
    ),
    _posthoc(
        "ncm",
        "nearest_class_mean",
        {
            "transform": Value(
                "cl2n", "features as they are, of unit norm, or centred first", ("un", "l2n", "cl2n")
            ),
            "distance": Value(
                "l2", "Euclidean, or the scaled dot product of the published code", ("l2", "cos")
            ),
        },
        when={"transform=un": {"transforms": False}},
        transforms=True,
        own_rows=True,
    ),
)

TRAINING: Mapping[str, Value] = {
    "lr": _number(5e-4, "learning rate", positive=True),
    "momentum": Value(0.9, "SGD momentum", high=1),
    "weight_decay": _number(0.0, "L2 penalty on what trains"),
    "batch_size": Value(64, "samples a step", positive=True),
    "epochs": Value(20, "passes over the features", positive=True),
    "schedule": Value("cosine", "learning rate over the epochs", SCHEDULES),
    "sampler": Value("instance", "how samples are drawn", tuple(SAMPLERS)),
    "posthoc": Value(
        "none",
        "what is done to the trained head",
        ("none", *(p.name for p in POSTHOC.values() if p.keeps_rows)),
    ),
}
"""How every trained method trains unless its entry says otherwise: the stage-2 recipe of SAMN and LOS."""

PARTS: Mapping[str, Mapping[str, Part]] = {
    "head": HEADS,
    "loss": LOSSES,
    "posthoc": POSTHOC,
    "constraint": CONSTRAINTS,
    "start": STARTS,
    "sampler": SAMPLERS,
}
