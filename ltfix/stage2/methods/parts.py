"""What methods are made of, and the values each part takes. Strings and numbers only, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest

SAMPLERS = ("instance", "class-aware", "class-balanced", "square-root", "progressive")
SCHEDULES = ("cosine", "constant")
INITS = ("stage1", "probe", "random", "class-mean")
PLAIN_HEADS = ("linear", "etf", "lws", "scaled", "samn")  # they fold into a plain linear layer
BALANCED_SAMPLERS = ("class-aware", "class-balanced")
CORRECTING = ("balanced-softmax", "logit-adjusted", "vs", "lade", "grw", "cb")
NOT_LINEAR = ("cosine", "causal", "disalign")
LARGEST = 1e38  # what float32 still holds


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One value a part takes: its default, what it means, and the words or the range it may have.

    A default of None is found when fitting; ``grid`` holds what is then tried on validation samples.
    ``only`` names the choice it goes with, ``form=focal``: with another it would do nothing.
    """

    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = LARGEST
    positive: bool = False
    grid: tuple[float, ...] = ()
    only: str = ""

    @property
    def allowed(self) -> str:
        """What it may be, in words: ``freq, norm``, ``0 to 1``, ``above 0``."""
        if self.choices:
            return ", ".join(self.choices)
        if self.high < LARGEST:
            return f"{self.low:g} to {self.high:g}"
        return "above 0" if self.positive else f"{self.low:g} or more"


TRAINING: Mapping[str, Value] = {
    "lr": Value(5e-4, "learning rate", positive=True),
    "momentum": Value(0.9, "SGD momentum", high=1),
    "weight_decay": Value(0.0, "L2 penalty on what trains"),
    "batch_size": Value(64, "samples a step", positive=True),
    "epochs": Value(20, "passes over the features", positive=True),
    "schedule": Value("cosine", "learning rate over the epochs", SCHEDULES),
    "sampler": Value("instance", "how samples are drawn", SAMPLERS),
}
"""How every trained method trains unless its entry says otherwise: the stage-2 recipe of SAMN and LOS."""

HEADS: Mapping[str, Mapping[str, Value]] = {
    "linear": {},
    "etf": {},
    "lws": {},
    "scaled": {"lr_factor": Value(1.0, "rate of weight and bias, as a share of the scales'")},
    "cosine": {
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
        ),
    },
    "causal": {
        "causal_tau": Value(16.0, "scale τ", positive=True),
        "heads": Value(2, "blocks H that are normalised apart", positive=True),
        "causal_gamma": Value(1 / 32, "γ, added to the norm of a row"),
        "alpha": Value(3.0, "how much of the mean direction is taken out"),
        "mean_momentum": Value(0.9, "momentum of the mean feature", high=1),
    },
    "disalign": {
        "variant": Value("paper", "identity at the start, or the published code's", ("paper", "code"))
    },
    "samn": {
        "metric": Value("freq", "class metric: training counts, or stage-1 row norms", ("freq", "norm")),
        "variant": Value("code", "as published in code, or as the paper's text reads", ("code", "paper")),
        "part": Value("both", "what is rescaled", ("both", "weight", "bias")),
        "scale": Value("exp", "exp(S) or S itself", ("exp", "mul")),
    },
}

_TAU = Value(1.0, "strength of the prior", high=4)
_BETA = Value(0.9999, "β of the effective number; 1 weights by 1/n", high=1)

LOSSES: Mapping[str, Mapping[str, Value]] = {
    "ce": {},
    "los": {"delta": Value(None, "label smoothing; 0.98, and 0.99 for 1000 classes or more", high=1)},
    "las": {
        "eps_head": Value(0.4, "smoothing of the most frequent class", high=1),
        "eps_tail": Value(0.1, "smoothing of the rarest class", high=1),
        "shape": Value("concave", "smoothing between them", ("concave", "linear", "convex", "exp")),
        "power": Value(1.5, "exponent of the shape exp", only="shape=exp"),
        "las_form": Value("code", "smoothed over all classes, or over the others", ("code", "paper")),
    },
    "balanced-softmax": {},
    "logit-adjusted": {"tau": _TAU},
    "vs": {"gamma": Value(0.3, "Δ_k = (n_max/n_k)^γ", high=2), "tau": _TAU},
    "lade": {"lade_weight": Value(0.1, "weight of the regulariser")},
    "grw": {"rho": Value(1.2, "weights ∝ prior^−ρ", high=4)},
    "cb": {
        "beta": _BETA,
        "form": Value(
            "softmax",
            "softmax CE, the published port's BCE on softmax, sigmoid, or focal",
            ("softmax", "bce", "sigmoid", "focal"),
        ),
        "mean": Value(
            "weighted", "reduction of the softmax form", ("weighted", "plain"), only="form=softmax"
        ),
        "gamma": Value(2.0, "focusing of the focal form", high=10, only="form=focal"),
    },
    "focal": {
        "gamma": Value(1.0, "focusing", high=10),
        "definition": Value(
            "softmax", "focal of the softmax (LDAM's code) or sigmoid", ("softmax", "sigmoid")
        ),
    },
    "ldam": {
        "max_margin": Value(0.5, "margin of the rarest class", high=2),
        "ldam_s": Value(30.0, "scale s of the cosine", positive=True),
        "drw_from": Value(1.0, "share of the epochs after which classes are re-weighted", high=1),
        "beta": _BETA,
    },
}

POSTHOC: Mapping[str, Mapping[str, Value]] = {
    "tau-norm": {
        "tau": Value(
            None,
            "exponent of the row norm; else chosen on validation samples",
            high=4,
            grid=tuple(round(0.1 * i, 1) for i in range(21)),
        ),
        "bias": Value("drop", "drop it (Decoupling) or keep it (weight balancing)", ("drop", "keep")),
    },
    "logit-adjust": {"tau": Value(1.0, "strength; 1 is Bayes-consistent for the balanced error", high=4)},
    "mult-la": {
        "tau": Value(
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
    "ncm": {
        "transform": Value(
            "cl2n", "features as they are, of unit norm, or centred first", ("un", "l2n", "cl2n")
        ),
        "distance": Value("l2", "Euclidean, or the scaled dot product of the published code", ("l2", "cos")),
    },
}


def clash(head: str, loss: str | None, sampler: str | None, cosine: str | None) -> str | None:
    """Why these parts make no sense together, or None.

    Args:
        cosine: the cosine head's form, where that is the head.
    """
    if loss == "ldam" and (head != "cosine" or cosine != "plain"):
        return "LDAM's margins and its scale s are for cosines: it needs the cosine head in its plain form"
    if head == "cosine" and cosine == "plain" and loss != "ldam":
        return "the plain cosine head leaves its scale to LDAM's loss: use --set cosine=learnable or fixed"
    if sampler in BALANCED_SAMPLERS and loss in CORRECTING:
        return f"the loss {loss} and the sampler {sampler} would each correct the prior: use one of them"
    return None


def check_parts(name: str, head: str, loss: str | None, posthoc: str | None) -> None:
    """Refuse a method whose parts do not exist or cannot go together, as another package may define one.

    Raises:
        UsageError: the part is named.
    """
    for kind, part, known in (
        ("head", head, HEADS),
        ("loss", loss, LOSSES),
        ("post-hoc step", posthoc, POSTHOC),
    ):
        if part is not None and part not in known:
            raise UsageError(f"method {name} names an unknown {kind} {part!r}", hint=nearest(part, known))
    if posthoc is not None and head in NOT_LINEAR:
        raise UsageError(f"method {name}: {posthoc} needs a linear head, {head} is none")
