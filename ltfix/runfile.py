"""``run.json``: what a training run says of itself, and the files that lie beside it in the run's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ltfix import files
from ltfix.errors import InputError
from ltfix.records import Count, Positive, record_of

FORMAT = "ltfix-run/1"
NAME = "run.json"
METRICS = "metrics.jsonl"
BACKBONE = "backbone.safetensors"
CLASSIFIER = "classifier.safetensors"


@dataclasses.dataclass(frozen=True, slots=True)
class _Provenance:
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Data:
    """The images: their source, and how they were cut."""

    kind: str | None = None
    root: str | None = None
    imbalance_factor: Annotated[float, msgspec.Meta(ge=1)] | None = None
    imbalance_type: Literal["exp", "step"] = "exp"
    imbalance_order: Literal["shuffle", "first"] = "shuffle"
    imbalance_seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    val_from_rest: Positive | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Values:
    augment: str = ""
    crop_pad: Count = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """The keys of a ``run.json`` that something reads."""

    finished: bool = False
    model: str | None = None
    model_args: dict[str, Any] | None = None
    preprocess: dict[str, Any] | None = None
    provenance: _Provenance | None = None
    classes: list[str] | None = None
    counts: list[Count] | None = None
    dim: Positive | None = None
    data: _Data | None = None
    values: _Values = _Values()


@dataclasses.dataclass(frozen=True, slots=True)
class RunDescription:
    """The content of a ``run.json`` whose known keys are of their kinds.

    Attributes:
        path: the file.
        content: all that it says.
        finished: whether training ended. Every run writes this key when it begins, so a file without it is
            no finished run's.
    """

    path: Path
    content: dict[str, Any]
    finished: bool

    def demand_finished(self) -> None:
        """Refuse a run whose training has not ended (InputError)."""
        if not self.finished:
            hint = "run the same train-backbone again"
            raise InputError("the training run is unfinished", where=self.path.parent, hint=hint)

    def demand(self, keys: Collection[str]) -> None:
        """Refuse a file that lacks one of ``keys`` (InputError)."""
        for key in keys:
            if self.content.get(key) is None:
                raise InputError(f"the run lacks {key}", where=self.path)


def read_run(folder: Path) -> RunDescription:
    """What the run in ``folder`` says of itself.

    Raises:
        InputError: there is no ``run.json``, it is of a newer format, or a key is of the wrong kind; the
            file and the key are named.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(
            f"not a run folder: it has no {NAME}" if folder.exists() else "no such run folder", where=folder
        )
    content = files.read_json(path)
    return RunDescription(path, content, record_of(_Known, content, path, FORMAT).finished)
