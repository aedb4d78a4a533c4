"""The table of stage-1 recipes: strings and numbers only, so listing them needs no torch.

A recipe is head × loss × sampler, as a stage-2 method is, and its losses and samplers are stage 2's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ltfix.errors import Unused
from ltfix.stage2.methods.catalog import DRW, LOSSES, SAMPLERS
from ltfix.stage2.methods.parts import Part, Value
from ltfix.stage2.methods.values import LossLike, find_loss

SCHEDULES = ("cosine", "constant", "steps", "gentle-steps")
OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DECAYED = ("all", "conv", "conv-fixed-bn")

COMMON: Mapping[str, Value] = {
    "epochs": Value(200, "passes over the training images", positive=True),
    "batch_size": Value(64, "images an update, over all processes", positive=True),
    "lr": Value(0.01, "learning rate at its highest", positive=True),
    "optimizer": Value("sgd", "SGD, or AdamW, whose decay is no part of the gradient", OPTIMIZERS),
    "momentum": Value(0.9, "SGD momentum", high=1, only="optimizer=sgd"),
    "nesterov": Value(False, "Nesterov's momentum", only="optimizer=sgd"),
    "weight_decay": Value(5e-3, "L2 penalty on what is decayed"),
    "decay": Value(
        "all", "decay every parameter, convolutions alone, or these with batch-norm scales fixed", DECAYED
    ),
    "bn_scale": Value(1.0, "the scale of every batch norm with decay conv-fixed-bn", positive=True),
    "schedule": Value("cosine", "learning rate over the epochs", SCHEDULES),
    "warmup_epochs": Value(0, "epochs of linearly rising rate, part of epochs"),
    "sampler": Value("instance", "how images are drawn", tuple(SAMPLERS)),
    **DRW,
    "augment": Value(
        "crop,flip",
        "crop, flip, resized-crop, color-jitter, randaugment, autoaugment, in their order; or none",
    ),
    "crop_pad": Value(4, "pixels of zeros around an image before crop", high=1024),
    "mixup": Value(0.0, "α of MixUp within a batch; 0 is off"),
    "cutmix": Value(0.0, "α of CutMix within a batch; 0 is off; with MixUp, one of the two a step"),
    "clip_grad": Value(0.0, "largest norm of an update's gradient; 0 is no limit"),
    "dropout": Value(0.0, "share that is dropped in training, in models that have drop_rate", high=1),
    "ema": Value(0.0, "decay of the moving average of weights that is kept; 0 is off", high=1),
    "accumulate": Value(1, "parts that a batch is computed in, one after another", positive=True),
    "precision": Value("auto", "of the forward pass; auto: bf16 on a GPU that has it", PRECISIONS),
    "channels_last": Value(True, "memory format of images and convolutions"),
    "compile": Value(False, "compile the backbone with torch.compile"),
}
"""What every recipe has, at its default for CIFAR: the setting of weight balancing, LOS and SAMN."""

_COSINE = {"schedule": "cosine"}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cifar": {},
    "imagenet-lt": {
        "epochs": 90,
        "batch_size": 512,
        "lr": 0.2,
        "weight_decay": 5e-4,
        "augment": "resized-crop,flip,color-jitter",
    },
    "inat": {
        "epochs": 90,
        "batch_size": 512,
        "lr": 0.2,
        "weight_decay": 1e-4,
        "augment": "resized-crop,flip",
    },
    "table": {
        "epochs": 100,
        "batch_size": 128,
        "lr": 1e-3,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "schedule": "cosine",
        "warmup_epochs": 0,
        "augment": "none",
    },
}
"""What differs on larger images, as Kang et al. 2020 (decoupling) have it, and on tables of numbers."""

PAPERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "samn": {
        "cifar": {**_COSINE, "epochs": 200, "batch_size": 64, "lr": 0.01, "weight_decay": 5e-3},
        "imagenet-lt": {**_COSINE, "epochs": 135, "batch_size": 128, "lr": 0.1, "weight_decay": 2e-4},
        "inat": {**_COSINE, "epochs": 120, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-3},
    },
    "los": {
        "cifar": {**_COSINE, "epochs": 200, "batch_size": 64, "lr": 0.01, "weight_decay": 5e-3},
        "imagenet-lt": {
            **_COSINE,
            "epochs": 200,
            "batch_size": 128,
            "lr": 0.03,
            "augment": "resized-crop,flip,color-jitter",
        },
        "inat": {**_COSINE, "epochs": 200, "batch_size": 256, "lr": 0.1},
    },
}
"""How papers trained their backbones, by data set (a name of ``PRESETS``); this wins over a recipe."""
LATER = frozenset({*DRW, "optimizer", "dropout"})
"""Values that runs of 0.1 did not have; at their defaults they decide nothing, so that these runs go on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """One way to train a backbone.

    Attributes:
        name, summary, source: what it is called, does, and where it was published.
        head: the classifier's form: "linear", "cosine" or "etf".
        loss: a loss of stage 2, by name or its part, whose values the recipe takes too.
        objective: "classify", or "glmc" for its two mixed views.
        heads: the classifiers' names.
        test_head: the classifier that is evaluated and handed to stage 2.
        own: the values that only this recipe takes.
        defaults: what it changes in ``COMMON``.
        presets: what it changes where a preset is used.
    """

    name: str
    summary: str
    source: str
    head: str = "linear"
    loss: str | Part = "ce"
    objective: str = "classify"
    heads: tuple[str, ...] = ("fc",)
    test_head: str = "fc"
    own: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def part(self) -> Part:
        """The record of its loss."""
        return LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def with_loss(self, loss: LossLike | None) -> Recipe:
        """The recipe with another loss of stage 2 (else UsageError) on its classifier: cosine, or linear."""
        if loss is None or loss == self.part.name:
            return self
        if self.objective != "classify":
            what = f"recipe {self.name} has a loss of its own, of two mixed views"
            raise Unused(what, where="loss")
        part = find_loss(loss)
        head = ("cosine" if part.cosines else "linear") if self.head in ("cosine", "linear") else self.head
        kept = {
            name: value
            for name, value in self.defaults.items()
            if name in {**COMMON, **part.values, **self.own}
        }
        return dataclasses.replace(self, loss=part, head=head, defaults=kept)

    def values(self, preset: str = "cifar") -> dict[str, Value]:
        """Every value the recipe takes, with its default under a preset: ``inat``, or ``samn/inat``."""
        paper, _, data = preset.rpartition("/")
        published = PAPERS[paper][data] if paper else PRESETS["table"] if data == "table" else {}
        changed = {**PRESETS[data], **self.defaults, **self.presets.get(data, {}), **published}
        taken = {**COMMON, **self.part.values, **self.own}
        return {
            name: dataclasses.replace(value, default=changed.get(name, value.default))
            for name, value in taken.items()
            if name not in DRW or self.objective == "classify"
        }

    def to_dict(self, preset: str = "cifar") -> dict[str, Any]:
        """The row of ``ltfix recipes`` as JSON."""
        defaults = {name: value.default for name, value in self.values(preset).items()}
        return {"name": self.name, "summary": self.summary, "source": self.source, "defaults": defaults}

    def presets_given(self) -> dict[str, dict[str, Any]]:
        """What every preset but the first changes in the recipe's defaults; mixed views are of no table."""
        first, *others = (*PRESETS, *(f"{paper}/{data}" for paper, rows in PAPERS.items() for data in rows))
        others = [name for name in others if name != "table" or self.objective == "classify"]
        base = self.to_dict(first)["defaults"]
        found = {name: self.to_dict(name)["defaults"] for name in others}
        return {
            name: {key: value for key, value in values.items() if value != base[key]}
            for name, values in found.items()
        }


_LDAM_CIFAR = {
    "lr": 0.1,
    "batch_size": 128,
    "weight_decay": 2e-4,
    "warmup_epochs": 5,
    "schedule": "steps",
}
_LARGE = {"schedule": "cosine", "warmup_epochs": 0}
_DECOUPLED = {name: {**PRESETS[name], **_LARGE} for name in ("imagenet-lt", "inat")}
_MISLAS_LARGE = {**_LARGE, "batch_size": 256, "lr": 0.1, "mixup": 0.2}
_GLMC_LARGE = {
    "batch_size": 120,
    "lr": 0.1,
    "warmup_epochs": 10,
    "augment": "resized-crop,flip,color-jitter,randaugment",
    "resample_weighting": 0.2,
    "label_weighting": 1.0,
    "contrast_weight": 10.0,
    "projection": 256,
}

RECIPES = (
    Recipe(
        "ce",
        "cross-entropy with strong weight decay: the backbone that SAMN, LOS and weight balancing start from",
        "Alshammari et al., CVPR 2022 (weight balancing); large images: Kang et al., ICLR 2020 (decoupling)",
    ),
    Recipe(
        "mixup",
        "cross-entropy on pairs of mixed images: MiSLAS's stage 1",
        "Zhong et al., CVPR 2021; github.com/dvlab-research/MiSLAS",
        defaults={**_LDAM_CIFAR, "schedule": "gentle-steps", "mixup": 1.0},
        presets={
            "imagenet-lt": {**_DECOUPLED["imagenet-lt"], **_MISLAS_LARGE, "epochs": 180},
            "inat": {**_DECOUPLED["inat"], **_MISLAS_LARGE, "epochs": 200},
        },
    ),
    Recipe(
        "balanced-softmax",
        "cross-entropy of logits plus log counts; for the rest as ce, so that backbones compare",
        "Ren et al., NeurIPS 2020 (BALMS)",
        loss="balanced-softmax",
    ),
    Recipe(
        "ldam-drw",
        "label-distribution-aware margins on a cosine classifier, re-weighted in the last fifth of epochs",
        "Cao et al., NeurIPS 2019; github.com/kaidic/LDAM-DRW (published for small images)",
        head="cosine",
        loss="ldam",
        defaults={**_LDAM_CIFAR, "drw_from": 0.8},
        presets=_DECOUPLED,
    ),
    Recipe(
        "cb",
        "cross-entropy weighted by effective numbers; with drw_from 0.8 the same as ce-drw",
        "Cui et al., CVPR 2019; github.com/kaidic/LDAM-DRW (published for small images)",
        loss="cb",
        defaults=_LDAM_CIFAR,
        presets=_DECOUPLED,
    ),
    Recipe(
        "ce-drw",
        "cross-entropy, re-weighted by effective numbers in the last fifth of epochs",
        "Cao et al., NeurIPS 2019; github.com/kaidic/LDAM-DRW (published for small images)",
        defaults={**_LDAM_CIFAR, "drw_from": 0.8},
        presets=_DECOUPLED,
    ),
    Recipe(
        "logit-adjusted",
        "cross-entropy of logits plus τ log prior; for the rest as ce, so that backbones compare",
        "Menon et al., ICLR 2021 (eq. 10)",
        loss="logit-adjusted",
    ),
    Recipe(
        "glmc",
        "MixUp and CutMix views kept consistent; a plain and a re-balanced classifier, in turn",
        "Du et al., CVPR 2023; github.com/ynu-yangpeng/GLMC (values of CIFAR-100 at imbalance factor 100)",
        objective="glmc",
        heads=("fc", "fc_cb"),
        test_head="fc_cb",
        own={
            "resample_weighting": Value(
                0.0, "q: second images drawn ∝ n^−q a sample (IF 50 and 10: 0.2)", high=4
            ),
            "label_weighting": Value(1.2, "ω: labels of the re-balanced classifier weigh n^−ω", high=4),
            "contrast_weight": Value(4.0, "weight of the consistency of the views (IF 50: 6)"),
            "projection": Value(128, "width of projector and predictor", positive=True, high=65_536),
        },
        presets={
            "imagenet-lt": {**_DECOUPLED["imagenet-lt"], **_GLMC_LARGE, "epochs": 135, "weight_decay": 2e-4},
            "inat": {**_DECOUPLED["inat"], **_GLMC_LARGE, "epochs": 120, "batch_size": 128},
        },
    ),
    Recipe(
        "etf-fr",
        "fixed simplex directions with a trained bias, and a penalty on the features' norms; needs D ≥ K",
        "EWB-FDR: Hasegawa & Sato, ICLR 2024",
        head="etf",
        own={"feature_decay": Value(0.01, "λ_F: half of it times the mean squared feature norm is added")},
        defaults={"epochs": 320},
        presets={"imagenet-lt": {"epochs": 90}, "inat": {"epochs": 90}},
    ),
)
