"""How to fit, whatever the method."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ltfix.errors import Unused, UsageError, cut, nearby
from ltfix.option import Checked, RunOptions, option
from ltfix.public import IN_PYTHON
from ltfix.stage2.methods.catalog import STARTS
from ltfix.stage2.methods.presets import AUTO, DATASETS

CALIBRATE = ("one", "shots")
UNITS = {"s": 1, "m": 60, "h": 3600, "p": 1}


def read_budget(text: str) -> tuple[float, str]:
    """What tuning may take (else UsageError): a number, and of what, "s" for seconds or "p" for passes."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.replace(".", "", 1).isdecimal():
        raise UsageError(f"the budget is {text!r}", where="budget", hint="90s, 10m, 2h, or 500p for passes")
    return float(number) * UNITS[unit], "p" if unit == "p" else "s"


def refuse_options(names: Iterable[str], where: str, beside: str) -> None:
    """Refuse options of a whole run among values (UsageError); ``beside`` says how two go side by side."""
    for name in names:
        if name in WHOLE_RUN:
            hint = f"give it to each of two runs; {beside}"
            raise UsageError(f"{name} is no value of a method, but of the whole run", where=where, hint=hint)


@dataclasses.dataclass(frozen=True, slots=True)
class Options(Checked):
    """How to fit, whatever the method; what each option means and may be stands beside it.

    In Python ``init`` may be a :class:`~ltfix.heads.head.Head` too; None is the method's own start. With
    ``tune``, ``normalize="auto"`` and ``feature_scale="auto"`` are open: what validation samples like is
    taken; else "auto" standardizes where dimensions are of different units. The weight takes the scale
    back. A pass of the ``budget`` is one of a setting over the samples; None: what tuning needs. Giving
    ``val_fraction`` or ``val_per_class`` asks for validation even where nothing is open. ``device`` is
    "auto", "cpu", "cuda", "cuda:N" or "mps"; "bf16" is for those that have such products.

    Raises:
        UsageError: a value that is none of these.
    """

    init: str | Any | None = option(
        None,
        "Start: stage1 (else the probe), probe, random, class-mean, or a head.  [default: the method's]",
        metavar="KIND|HEAD",
        path="model",
    )
    preset: str | None = option(
        None,
        "Values published for cifar10, cifar100, places-lt, imagenet-lt or inat; auto: for the one that the "
        "backbone's recipe, D and K are most like.",
        metavar="[auto|SET]",
        choices=(AUTO, *DATASETS),
        alone="auto",
    )
    views_used: str = option(
        "random",
        "Views: one at random per sample and step, first, or all.",
        metavar="KIND",
        choices=("random", "first", "all"),
    )
    feature_scale: str | float = option(
        "auto", "Divide features by this while fitting.", metavar="auto|none|C"
    )
    normalize: str = option(
        "auto",
        "Of features: auto, none, standardize or l2.",
        metavar="KIND",
        choices=("auto", "none", "standardize", "l2"),
    )
    tune: bool = option(False, "Choose rate, feature scale and a method's values on validation.")
    budget: str | None = option(
        None, "Tune in about this time, or so many passes of a setting (500p).", metavar="90s|10m|2h|500p"
    )
    select: str = option(
        "last", "Keep the last epoch, or the best on validation.", choices=("last", "best-val")
    )
    val_fraction: float | None = option(None, "Cut this share of every class from train.  [default: 0.2]")
    val_per_class: int | None = option(None, "Cut so many samples a class from train.", low=1)
    calibrate: str | None = option(
        None,
        "Divide logits by a temperature chosen on validation: one, or one a shot group.",
        metavar="[one|shots]",
        choices=CALIBRATE,
        alone="one",
    )
    average: bool = option(
        True,
        "Of method auto: average what is taken with the class means, by its rule.",
        negatable=True,
    )
    stream: str = option(
        "auto",
        "Read features block-wise: auto (above 8 GiB), always, never.",
        metavar="WHEN",
        choices=("auto", "always", "never"),
    )
    no_cache: bool = option(
        False, "Solve the linear probe again, and do not keep it beside the training features."
    )
    device: str = "cpu"
    precision: str = option(
        "fp32",
        "Type of the matrix products; bf16 needs a GPU, or a CPU that has such (x86: AMX).",
        choices=("fp32", "bf16"),
    )

    def beside(self, values: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """These options with those that are among ``values``, and the values that are none."""
        own = {name: value for name, value in values.items() if name in self.__dataclass_fields__}
        return dataclasses.replace(self, **own), {k: v for k, v in values.items() if k not in own}

    def told(self, values: Mapping[str, Any]) -> str:
        """Of which values the fits are, in words; ``values`` are those that were given."""
        found = "tuned" if self.tune else "published values"
        if values:
            found += f" but for {', '.join(f'{name}={value}' for name, value in values.items())}"
        if self.init is not None:
            found += f", init {Path(getattr(self.init, 'name', self.init)).name}"
        return found if self.precision == "fp32" else f"{found}, in {self.precision}"

    def demand_used(self) -> None:
        """Refuse what does nothing beside a named method: a budget untuned, average=False (Unused)."""
        if not self.average:
            raise Unused("method auto alone averages heads", where="average")
        if self.budget is not None and not self.tune:
            raise Unused("nothing is tuned, so no budget is kept", where="budget", hint="add tune=True")

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        for name in ("tune", "average", "no_cache"):
            if (given := getattr(self, name)) not in (True, False):
                raise UsageError(f"{name} is {cut(given)}", where=name, hint="True or False")
        for name in ("val_fraction", "val_per_class"):
            if isinstance(given := getattr(self, name), str):
                raise UsageError(f"{name} is {cut(given)}", where=name, hint="a number")
        text = isinstance(self.init, str | Path)
        if self.init is not None and not (
            self.init in STARTS or Path(self.init).is_file() if text else hasattr(self.init, "pack")
        ):
            hint = f"{', '.join(STARTS)}, or a head: its file, in Python ltfix.Head(weight, bias)"
            hint = (nearby(Path(self.init)) if text else None) or hint
            raise UsageError(f"init is {cut(self.init)}", where="init", hint=hint)
        if self.budget is not None:
            read_budget(self.budget)
        if self.val_fraction is not None and not 0 < self.val_fraction < 1:
            raise UsageError(
                f"the fraction is {self.val_fraction:g}", where="val_fraction", hint="between 0 and 1"
            )
        if self.feature_scale not in ("auto", "none"):
            try:
                ok = 0 < float(self.feature_scale) < float("inf")
            except ValueError:
                ok = False
            if not ok:
                hint = "auto, none or a number > 0"
                raise UsageError(f"the scale is {self.feature_scale!r}", where="feature_scale", hint=hint)


WHOLE_RUN = frozenset({*Options.__dataclass_fields__, *RunOptions.__dataclass_fields__, *IN_PYTHON, "val"})
"""What is said of a whole run, not of a method."""
