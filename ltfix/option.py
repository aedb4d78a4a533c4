"""Records of options: dataclasses whose fields say what they mean and what they may be.

The library reads such a record as any dataclass; the command line makes its options from the same fields. ::

    @dataclass(frozen=True, kw_only=True)
    class Cut(Checked):
        limit: int | None = option(None, "At most N samples a split.", metavar="N", low=1)
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from ltfix.errors import UsageError, cut

MOST_THREADS = 4096  # that a machine can be asked to start
KEY = "option"  # where a field's metadata has its Option


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """What one option means and what it may be.

    Attributes:
        help: one sentence; ``[default: …]`` at its end says what stands for a default of None.
        metavar: what stands for its value in help: ``FILE``, ``R,G,B``.
        choices: the words that it may be; none: any.
        low, high: the least and the largest number that it may be.
        flag: its long name where that is not the field's: ``model-arg`` for model_args.
        negatable: a switch that can also be switched off.
        unset: the word that stands for None: ``auto``.
        alone: of ``choices``, the one that is meant where none follows.
        joined: may be given again, or as a list; the text is all of them with commas between.
        path: how a text names a path: "data" as a source of images does, "model" where it may be the name
            of a model too, "name" where it may be any other, "place" where it may be a URL.
    """

    help: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    flag: str | None = None
    negatable: bool = False
    unset: str = ""
    alone: str = ""
    joined: bool = False
    path: Literal["", "data", "model", "name", "place"] = ""


def option(default: Any, help: str, **more: Any) -> Any:
    """A dataclass field with its default (``...``: it must be given) and the :class:`Option` that it is."""
    metadata = {KEY: Option(help, **more)}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def options_of(record: Any) -> dict[str, Option]:
    """The options of a record, or of its class, by field; its own before those that it inherits."""
    own = vars(record if isinstance(record, type) else type(record)).get("__annotations__", {})
    fields = [field for field in dataclasses.fields(record) if KEY in field.metadata]
    needed = dataclasses.MISSING
    fields.sort(key=lambda f: (f.default is not needed or f.default_factory is not needed, f.name not in own))
    return {field.name: field.metadata[KEY] for field in fields}


def check(name: str, value: Any, spec: Option) -> None:
    """Refuse a word or a number that an option cannot be (UsageError); None always passes."""
    if value is None:
        return
    if spec.choices and value not in spec.choices:
        hint = f"it may be {', '.join(spec.choices)}"
        raise UsageError(f"{name} is {cut(value)}", where=name, hint=hint)
    if isinstance(value, int | float) and not spec.low <= value <= spec.high:
        limits = {(False, True): f"at least {spec.low:g}", (True, False): f"at most {spec.high:g}"}
        hint = limits.get((math.isinf(spec.low), math.isinf(spec.high)), f"{spec.low:g} to {spec.high:g}")
        raise UsageError(f"{name} = {value:g} is out of range", where=name, hint=f"it must be {hint}")


def check_device(name: str) -> None:
    """Refuse a word that is no device (UsageError); whether this machine has it is not asked."""
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(f"unknown device {name!r}", where="device", hint="auto, cpu, cuda, cuda:N or mps")


class Checked:
    """A record that refuses wrong values as it is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, spec in options_of(self).items():
            if spec.alone and isinstance(given := getattr(self, name), bool):  # as the bare flag, or without
                object.__setattr__(self, name, spec.alone if given else None)
            check(name, getattr(self, name), spec)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions(Checked):
    """What everything that computes for long can be told.

    Attributes:
        seed: of everything random: equal seeds, equal bytes.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        threads: of the CPU; None: what the machine offers.
        overwrite: replace output that is there.
    """

    seed: int = option(0, "Seed of everything random; equal seeds, equal bytes.", low=0)
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    threads: int | None = option(
        None, "CPU threads; default: what the machine offers.", low=1, high=MOST_THREADS
    )
    overwrite: bool = option(False, "Replace output that is already there.")

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        check_device(self.device)
