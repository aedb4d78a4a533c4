"""The stage-2 methods: one entry each, strings and numbers only, so listing them needs no torch.

To add a method, add an entry; a new head, loss or post-hoc step is one function in its module and one
line in the parts below, which say what values it takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ltfix.errors import UsageError, nearest

ENTRY_POINTS = "ltfix.methods"

TRAINING: Mapping[str, Any] = {
    "lr": 5e-4,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "batch_size": 64,
    "epochs": 20,
    "schedule": "cosine",
    "sampler": "instance",
}
"""How every trained method trains unless its entry says otherwise: the stage-2 recipe of SAMN and LOS."""


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One value a part takes: its default, what it means, and the words or the range it may have."""

    default: Any
    meaning: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


HEADS: Mapping[str, Mapping[str, Value]] = {
    "linear": {},
    "samn": {
        "metric": Value("freq", "class metric: training counts, or stage-1 row norms", ("freq", "norm")),
        "variant": Value("code", "as published in code, or as the paper's text reads", ("code", "paper")),
        "part": Value("both", "what is rescaled", ("both", "weight", "bias")),
        "scale": Value("exp", "exp(S) or S itself", ("exp", "mul")),
    },
}

LOSSES: Mapping[str, Mapping[str, Value]] = {
    "ce": {},
    "los": {
        "delta": Value(
            None, "label smoothing; default 0.98, and 0.99 for 1000 classes or more", low=0, high=1
        )
    },
}

POSTHOC: Mapping[str, Mapping[str, Value]] = {
    "tau-norm": {
        "tau": Value(None, "exponent of the row norm; default: chosen on validation samples", low=0, high=4),
        "bias": Value("drop", "drop it (Decoupling) or keep it (weight balancing)", ("drop", "keep")),
    },
    "logit-adjust": {
        "tau": Value(1.0, "strength; 1 is Bayes-consistent for the balanced error", low=0, high=4),
    },
}

SAMPLERS = ("instance",)
SCHEDULES = ("cosine", "constant")
INITS = ("stage1", "probe", "random", "class-mean")

CHOSEN: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "tau-norm": ("tau", tuple(round(0.1 * i, 1) for i in range(21))),
}
"""Values that are chosen on validation samples when not given: method -> name and grid."""


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """A stage-2 method: head × loss × sampler × post-hoc, with its published defaults.

    Attributes:
        name, summary, source: what it is called, does, and where it was published.
        head, loss: names of the parts; ``loss`` is None for a method without training.
        posthoc: what is done to the trained (or the given) linear head at the end, or None.
        init: what training starts from: "stage1" (else the probe), "probe", "random" or "class-mean".
        defaults: what differs from the parts' own defaults and from ``TRAINING``.
    """

    name: str
    summary: str
    source: str
    head: str = "linear"
    loss: str | None = "ce"
    posthoc: str | None = None
    init: str = "stage1"
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def values(self) -> dict[str, Value]:
        """Every value the method takes, with the default it has here."""
        found = (
            {}
            if self.loss is None
            else {name: Value(value, _MEANING[name]) for name, value in TRAINING.items()}
        )
        found |= {**HEADS[self.head], **(LOSSES[self.loss] if self.loss else {})}
        found |= POSTHOC[self.posthoc] if self.posthoc else {}
        return {
            name: dataclasses.replace(value, default=self.defaults.get(name, value.default))
            for name, value in found.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The row of ``ltfix methods --format json``."""
        defaults = {name: value.default for name, value in self.values().items()}
        return {"name": self.name, "summary": self.summary, "source": self.source, "defaults": defaults}


_MEANING = {
    "lr": "learning rate",
    "momentum": "SGD momentum",
    "weight_decay": "L2 penalty on what trains",
    "batch_size": "samples a step",
    "epochs": "passes over the features",
    "schedule": "learning rate over the epochs (cosine, constant)",
    "sampler": "how samples are drawn",
}

_METHODS = (
    Method(
        "ce",
        "linear head, cross-entropy: the linear probe, or stage 1 continued",
        "baseline; recipe of SAMN (2026) and LOS (ICLR 2025)",
    ),
    Method(
        "samn",
        "row norms and bias gains learned under a monotone constraint (PAVA)",
        "SAMN, CVPR 2026; github.com/Zhangshuojackpot/SAMN",
        head="samn",
    ),
    Method(
        "los",
        "label over-smoothing: cross-entropy against nearly uniform labels",
        "LOS, Sun et al., ICLR 2025; github.com/Thinklab-SJTU/LOS",
        loss="los",
    ),
    Method(
        "tau-norm",
        "rows divided by a power of their norm; no training",
        "Kang et al., ICLR 2020 (Decoupling)",
        loss=None,
        posthoc="tau-norm",
    ),
    Method(
        "logit-adjust",
        "log prior subtracted from the logits; no training",
        "Menon et al., ICLR 2021 (eq. 9)",
        loss=None,
        posthoc="logit-adjust",
    ),
)


def methods() -> list[Method]:
    """The built-in methods, in the order of the documentation."""
    return list(_METHODS)


def find_method(name: str) -> Method:
    """The method of that name: built in, else from an installed package's entry point ``ltfix.methods``.

    Raises:
        UsageError: there is none; the nearest names are offered.
    """
    known = {method.name: method for method in _METHODS}
    if name in known:
        return known[name]
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        found: Method = point.load()
        return found
    raise UsageError(f"unknown method {name!r}", where="--method", hint=nearest(name, known))
