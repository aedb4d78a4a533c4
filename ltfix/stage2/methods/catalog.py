"""Every built-in part, one record each, in one table a kind. Strings and numbers only, no torch.

A record says all that the rest of the package knows of a part: where its function is, the values it takes and
its traits. A new part is its function and its record here.
"""

from __future__ import annotations

from collections.abc import Mapping

from ltfix.stage2.methods.parts import Part, Value

SCHEDULES = ("cosine", "constant")
_LAYERS = "ltfix.stage2.layers."
_LOSSES = "ltfix.stage2.losses."
_SAMPLERS = "ltfix.stage2.loop.samplers:"
_STARTS = "ltfix.stage2.fitting.starts:"
_POSTHOC = "ltfix.stage2.fitting.posthoc:"


def _table(*parts: Part) -> Mapping[str, Part]:
    return {part.name: part for part in parts}


SAMPLERS = _table(
    Part("instance", "sampler", _SAMPLERS + "instance", every_sample=True),
    Part("class-aware", "sampler", _SAMPLERS + "class_aware", balanced=True),
    Part("class-balanced", "sampler", _SAMPLERS + "class_balanced", balanced=True),
    Part("square-root", "sampler", _SAMPLERS + "square_root"),
    Part("progressive", "sampler", _SAMPLERS + "progressive"),
)

STARTS = _table(
    Part("stage1", "start", _STARTS + "stage1", trained=True, simplex=True),
    Part("probe", "start", _STARTS + "probe", trained=True),
    Part("random", "start", _STARTS + "random", noise=True),
    Part("class-mean", "start", _STARTS + "class_mean"),
)

TRAINING: Mapping[str, Value] = {
    "lr": Value(5e-4, "learning rate", positive=True, side_by_side=True),
    "momentum": Value(0.9, "SGD momentum", high=1),
    "weight_decay": Value(0.0, "L2 penalty on what trains", side_by_side=True),
    "batch_size": Value(64, "samples a step", positive=True),
    "epochs": Value(20, "passes over the features", positive=True),
    "schedule": Value("cosine", "learning rate over the epochs", SCHEDULES),
    "sampler": Value("instance", "how samples are drawn", tuple(SAMPLERS)),
}
"""How every trained method trains unless its entry says otherwise: the stage-2 recipe of SAMN and LOS."""

HEADS = _table(
    Part("linear", "head", _LAYERS + "linear:Linear", free_rows=True),
    Part("etf", "head", _LAYERS + "linear:FixedRows", keeps_rows=True, raw_features=True, simplex=True),
    Part("lws", "head", _LAYERS + "linear:ScaledLogits", keeps_rows=True),
    Part(
        "scaled",
        "head",
        _LAYERS + "linear:ScaledLogits",
        {"lr_factor": Value(1.0, "rate of weight and bias, as a share of the scales'")},
    ),
    Part(
        "cosine",
        "head",
        _LAYERS + "rows:Cosine",
        {
            "cosine": Value(
                "learnable",
                "scale learned, fixed, in the loss (plain), or OLTR's capsule",
                ("learnable", "fixed", "plain", "capsule"),
            ),
            "s": Value(
                16.0,
                "the scale, or where it starts",
                positive=True,
                only="cosine=learnable|fixed|capsule",
                side_by_side=True,
            ),
        },
        when={"cosine=plain": {"cosines": True}, "cosine=capsule": {"raw_features": True}},
        transforms=True,
        directions=True,
    ),
    Part(
        "causal",
        "head",
        _LAYERS + "rows:Causal",
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
    Part(
        "disalign",
        "head",
        _LAYERS + "linear:DisAlign",
        {"variant": Value("paper", "identity at the start, or the published code's", ("paper", "code"))},
        transforms=True,
        keeps_rows=True,
    ),
    Part(
        "samn",
        "head",
        _LAYERS + "rows:samn_head",
        {
            "metric": Value("freq", "class metric: training counts, or stage-1 row norms", ("freq", "norm")),
            "variant": Value("code", "as published in code, or as the paper's text reads", ("code", "paper")),
            "part": Value("both", "what is rescaled", ("both", "weight", "bias")),
            "scale": Value("exp", "exp(S) or S itself", ("exp", "mul")),
        },
        when={"metric=norm": {"reads_norms": True}},
    ),
)

_TAU = Value(1.0, "strength of the prior", high=4, side_by_side=True)
_BETA = Value(0.9999, "β of the effective number; 1 weights by 1/n", high=1, side_by_side=True)

LOSSES = _table(
    Part("ce", "loss", _LOSSES + "softmax:cross_entropy"),
    Part(
        "los",
        "loss",
        _LOSSES + "softmax:over_smoothed",
        {
            "delta": Value(
                None,
                "label smoothing; 0.98, and 0.99 for 1000 classes or more",
                high=1,
                by_classes=(0.98, 0.99),
                side_by_side=True,
            )
        },
    ),
    Part(
        "las",
        "loss",
        _LOSSES + "softmax:label_aware",
        {
            "eps_head": Value(0.4, "smoothing of the most frequent class", high=1, side_by_side=True),
            "eps_tail": Value(0.1, "smoothing of the rarest class", high=1, side_by_side=True),
            "shape": Value("concave", "smoothing between them", ("concave", "linear", "convex", "exp")),
            "power": Value(1.5, "exponent of the shape exp", only="shape=exp", side_by_side=True),
            "las_form": Value("code", "smoothed over all classes, or over the others", ("code", "paper")),
        },
    ),
    Part("balanced-softmax", "loss", _LOSSES + "softmax:balanced_softmax", corrects_prior=True),
    Part("logit-adjusted", "loss", _LOSSES + "softmax:logit_adjusted", {"tau": _TAU}, corrects_prior=True),
    Part(
        "vs",
        "loss",
        _LOSSES + "softmax:vector_scaling",
        {"gamma": Value(0.3, "Δ_k = (n_max/n_k)^γ", high=2, side_by_side=True), "tau": _TAU},
        corrects_prior=True,
    ),
    Part(
        "lade",
        "loss",
        _LOSSES + "lade:lade",
        {"lade_weight": Value(0.1, "weight of the regulariser", side_by_side=True)},
        corrects_prior=True,
    ),
    Part(
        "grw",
        "loss",
        _LOSSES + "softmax:reweighted",
        {"rho": Value(1.2, "weights ∝ prior^−ρ", high=4, side_by_side=True)},
        corrects_prior=True,
    ),
    Part(
        "cb",
        "loss",
        _LOSSES + "balanced:class_balanced",
        {
            "beta": _BETA,
            "form": Value(
                "softmax",
                "softmax CE, the published port's BCE on softmax, sigmoid, or focal",
                ("softmax", "bce", "sigmoid", "focal"),
            ),
            "mean": Value(
                "weighted", "reduction of the softmax form", ("weighted", "plain"), only="form=softmax"
            ),
            "gamma": Value(2.0, "focusing of the focal form", high=10, only="form=focal", side_by_side=True),
        },
        corrects_prior=True,
    ),
    Part(
        "focal",
        "loss",
        _LOSSES + "focal:focal",
        {
            "gamma": Value(1.0, "focusing", high=10, side_by_side=True),
            "definition": Value(
                "softmax", "focal of the softmax (LDAM's code) or sigmoid", ("softmax", "sigmoid")
            ),
        },
    ),
    Part(
        "ldam",
        "loss",
        _LOSSES + "margin:ldam",
        {
            "max_margin": Value(0.5, "margin of the rarest class", high=2, side_by_side=True),
            "ldam_s": Value(30.0, "scale s of the cosine", positive=True, side_by_side=True),
            "drw_from": Value(1.0, "share of the epochs after which classes are re-weighted", high=1),
            "beta": _BETA,
        },
        cosines=True,
    ),
)

CONSTRAINTS = _table(
    Part(
        "maxnorm",
        "constraint",
        "ltfix.stage2.loop.constraints:max_norm",
        {"every": Value("epoch", "when rows are projected", ("epoch", "step"))},
    ),
)

POSTHOC = _table(
    Part(
        "tau-norm",
        "posthoc",
        _POSTHOC + "tau_norm",
        {
            "tau": Value(
                None,
                "exponent of the row norm; else chosen on validation samples",
                high=4,
                grid=tuple(round(0.1 * i, 1) for i in range(21)),
                side_by_side=True,
            ),
            "bias": Value("drop", "drop it (Decoupling) or keep it (weight balancing)", ("drop", "keep")),
        },
        keeps_rows=True,
        origin=True,
    ),
    Part(
        "logit-adjust",
        "posthoc",
        _POSTHOC + "logit_adjust",
        {
            "tau": Value(
                1.0, "strength; 1 is Bayes-consistent for the balanced error", high=4, side_by_side=True
            )
        },
        keeps_rows=True,
    ),
    Part(
        "mult-la",
        "posthoc",
        _POSTHOC + "multiply_prior",
        {
            "tau": Value(
                None,
                "exponent of the prior; else chosen on validation samples",
                high=4,
                grid=tuple(round(0.05 * i, 2) for i in range(21)),
                side_by_side=True,
            ),
            "form": Value(
                "code",
                "whole logits (EWB's code), unit rows with the bias kept (EWB), or without (Kim & Kim)",
                ("code", "ewb", "kim"),
            ),
        },
        keeps_rows=True,
        origin=True,
    ),
    Part(
        "ncm",
        "posthoc",
        _POSTHOC + "nearest_class_mean",
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
    ),
)

PARTS: Mapping[str, Mapping[str, Part]] = {
    "head": HEADS,
    "loss": LOSSES,
    "posthoc": POSTHOC,
    "constraint": CONSTRAINTS,
    "start": STARTS,
    "sampler": SAMPLERS,
}
