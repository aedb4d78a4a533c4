"""How to fit, whatever the method."""

from __future__ import annotations

import dataclasses

from ltfix.errors import UsageError
from ltfix.stage2.methods.catalog import STARTS

VIEWS_USED = ("random", "first", "all")
NORMALIZE = ("auto", "none", "standardize", "l2")
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
        normalize: "none", "standardize" or "l2"; "auto": standardize where
            dimensions are of different units, else none; with ``tune`` what validation likes.
        tune: search rate, feature scale and the method's own values on validation samples.
        select: "last" epoch, or "best-val": the length that validation samples like best.
        val_fraction, val_per_class: the class-wise cut that serves where no validation cache does; giving
            one of them asks for validation even where nothing is open.
        stream: "auto", "always" or "never": visit features block-wise, so that they need not fit in memory.
        device: where to train: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "fp32", or "bf16" for the matrix products where the processor has it.

    Raises:
        UsageError: a value that is none of these.
    """

    init: str | None = None
    views_used: str = "random"
    feature_scale: str | float = "auto"
    normalize: str = "auto"
    tune: bool = False
    select: str = "last"
    val_fraction: float | None = None
    val_per_class: int | None = None
    stream: str = "auto"
    device: str = "cpu"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("init", self.init, (None, *STARTS)),
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
