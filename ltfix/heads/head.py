"""The head file: a linear classifier, and a transform where the method is not linear in x."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ltfix import files, notebook
from ltfix.errors import InputError
from ltfix.heads.arrays import demand_shapes, single, tensors_of
from ltfix.heads.transform import transformed_logits
from ltfix.heads.vectors import NORM_FLOOR, numpy_of
from ltfix.public import public
from ltfix.records import Count, Positive, record_of
from ltfix.tensorfile import load_tensors, ltfix_metadata

FORMAT = "ltfix-head/1"
CALIBRATED = "ltfix-head/2"  # of a head with a temperature, which an older ltfix would leave out in silence
STAGE1 = "stage-1"  # the method of a classifier that came with its backbone
EXPORTS = (".onnx", ".pt2")  # endings of what a head may have been exported to
PROBE = "probe"  # of the linear probe that stands in for it
INIT = "init"  # of a head that a fit was told to begin with
BEFORE = frozenset({STAGE1, PROBE, INIT})
"""The methods of classifiers that a repair begins with."""
_MAKE = "`ltfix fit` writes heads; in Python ltfix.Head(weight, bias).save(FILE) makes one of arrays"


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """A classifier over features: ``logits = (T(x) @ weight.T + bias) / temperature``.

    >>> import numpy as np, ltfix
    >>> head = ltfix.Head(np.eye(3), np.zeros(3), "mine", classes=("cat", "dog", "owl"))
    >>> head
    Head('mine', method='mine', K=3, dim=3, linear)
    >>> head.classes[head.logits(np.array([0.1, 0.2, 0.9])).argmax()]
    'owl'

    Attributes:
        weight, bias: [K, D] and [K] float32; given as lists or torch tensors they are copied.
        method: the method that made it; "stage-1" for the classifier that came with a backbone, "probe" for
            what stands in for it, "" where it is not known yet.
        classes, counts: the K class names and [K] int64 training samples of each; None where unknown.
        transform: None for a linear head, else ``{"kind": …}`` with kind ``l2`` (``groups`` H: each
            block of D/H by its own norm), ``center+l2`` (the same of x − center), ``standardize+l2``
            (of (x − center) / spread), ``capsule`` (x / (u + ‖x‖), ``unit`` u, 1 where absent) or
            ``disalign`` (z + c·(logit_scale ⊙ z + logit_bias),
            c = sigmoid(confidence_weight·x + confidence_bias)).
        tensors: the transform's own arrays.
        temperature: [K] float32, what the logit of each class is divided by, or None.
        meta: the rest of the file's metadata: values and where they came from, seed, selection, versions.
        path: the file it was read from.
        label: what :meth:`named` called it, in place of its file or method.

    Raises:
        InputError: the shapes do not fit each other.
    """

    weight: np.ndarray
    bias: np.ndarray
    method: str = ""
    classes: tuple[str, ...] | None = None
    counts: np.ndarray | None = None
    transform: Mapping[str, Any] | None = None
    tensors: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    temperature: np.ndarray | None = None
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    path: Path | None = None
    label: str = ""

    def __post_init__(self) -> None:
        """Take lists and tensors as arrays; refuse those that do not fit each other (InputError)."""
        for name in ("weight", "bias", "counts", "temperature"):
            if (given := getattr(self, name)) is not None and not isinstance(given, np.ndarray):
                object.__setattr__(self, name, np.array(numpy_of(given)))
        if self.classes is not None and not isinstance(self.classes, tuple):
            object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        demand_shapes(self.arrays, self.counts, self.classes, self.path or self.label or "Head")

    @property
    def n_classes(self) -> int:
        """K, the rows of ``weight``."""
        return int(self.weight.shape[0])

    @property
    def dim(self) -> int:
        """D, the columns of ``weight``."""
        return int(self.weight.shape[1])

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All its arrays by the names they have in the file."""
        own = {"weight": self.weight, "bias": self.bias, **self.tensors}
        return own if self.temperature is None else {**own, "temperature": self.temperature}

    @property
    def is_finite(self) -> bool:
        """Whether every number of it is finite: the run that made it did not diverge."""
        return all(bool(np.isfinite(array).all()) for array in self.arrays.values())

    def __repr__(self) -> str:
        kind = (self.transform or {"kind": "linear"})["kind"]
        return f"Head({self.name!r}, method={self.method!r}, K={self.n_classes}, dim={self.dim}, {kind})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        known = {"method": self.method, "K": self.n_classes, "D": self.dim, "seed": self.meta.get("seed")}
        values = {name: value["value"] for name, value in self.meta.get("values", {}).items()}
        return notebook.facts(f"Head {self.name}", {**known, **(self.transform or {}), **values})

    @property
    def name(self) -> str:
        """What it was :meth:`named`, else the file's stem, else the method, else "head"."""
        return self.label or (self.path.stem if self.path is not None else self.method or "head")

    def named(self, name: str) -> Head:
        """The same head, called so in tables: ``ltfix.fit(cache, "samn", lr=0.1).named("high rate")``."""
        return dataclasses.replace(self, label=name)

    def logits(self, x: Any) -> Any:
        """Logits of features ``x`` [..., D] as [..., K]: of a tensor as a tensor, of all else as an array.

        They equal the method's own, divided by the temperature, up to a constant per sample, in float32
        (a torch tensor keeps its device; half precision is widened).

        Raises:
            InputError: the last axis of ``x`` is not D long, or ``x`` holds no numbers.
        """
        x = x if hasattr(x, "detach") else self._numbers(x)
        if x.shape[-1:] != (self.dim,):
            told = f"features {list(x.shape)} do not fit a head of D = {self.dim}: [..., D] are needed"
            raise InputError(told, where=self.name)
        given = self.transform, self.arrays
        if isinstance(x, np.ndarray):
            with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 it is ±inf, as in torch
                return transformed_logits(x, *given, lambda array: array, np.exp)
        import torch

        wide = x if x.dtype == torch.float64 else x.float()
        return transformed_logits(wide, *given, lambda array: torch.as_tensor(array).to(wide), torch.exp)

    def _numbers(self, x: Any) -> np.ndarray:
        """As float32; InputError where it holds no real numbers."""
        try:
            found = np.asarray(x)
            if found.dtype.kind == "O":  # of a data frame with columns of several kinds
                found = found.astype(np.float64)
        except (TypeError, ValueError, OverflowError, RuntimeError) as err:
            raise InputError(f"features are no numbers [..., D]: {err}", where=self.name) from err
        if found.dtype.kind not in "fiub":
            raise InputError(f"features are no numbers [..., D], but {found.dtype}", where=self.name)
        with np.errstate(over="ignore"):
            return found.astype(np.float32, copy=False)

    def mean_logits(self, x: Any) -> Any:
        """Logits of features ``x`` [n, V, D], their mean over the V views, [n, K], as :meth:`logits`.

        Of a linear head they are those of the mean feature, which costs one product in place of V.
        """
        views = x.shape[1]
        if views > 1 and self.transform is None:
            if not hasattr(x, "detach"):
                return self.logits(x.mean(1, dtype=np.float32))
            return self.logits((x if x.element_size() == 8 else x.float()).mean(1))
        total = self.logits(x[:, 0])
        for view in range(1, views):
            total += self.logits(x[:, view])
        return total if views == 1 else total / np.float32(views)

    def predict(self, x: Any, *, names: bool = False) -> np.ndarray:
        """The likeliest class of features ``x`` [n, D], or [n, V, D] of V views: numbers [n], or names.

        Raises:
            InputError: the last axis of ``x`` is not D long, names are asked for that the head lacks, or a
                logit is not finite, as of features that are not.
        """
        x = numpy_of(x)
        if names and self.classes is None:
            raise InputError("the head knows no class names", where=self.name)
        z = self.mean_logits(x) if x.ndim > 2 else self.logits(x)
        lost = np.flatnonzero(~np.isfinite(z).all(-1))
        if len(lost):
            what = f"feature row {lost[0]} holds NaN or Inf, or gives such logits"
            raise InputError(what, where=self.name, hint="leave such rows out")
        found: np.ndarray = z.argmax(-1)
        return np.asarray(self.classes)[found] if names else found

    def save(self, path: Path | str, *, overwrite: bool = True) -> str:
        """Write the head file atomically; equal heads give equal bytes, whose SHA-256 is returned.

        A file that is there is replaced, unless ``overwrite=False``.

        Raises:
            UsageError, EnvironmentFault: something is there unasked, or it cannot be written.
            InputError: a value is not finite; nothing is written.
        """
        data = self.pack(path)
        files.write_bytes(path, data, overwrite=overwrite)
        return files.sha256_bytes(data)

    def pack(self, path: Path | str) -> bytes:
        """The bytes of the head file, which is to be ``path``; an InputError as of :meth:`save`."""
        _check(self, path)
        return files.pack({k: np.asarray(v, np.float32) for k, v in self.arrays.items()}, self.metadata())

    def metadata(self) -> dict[str, Any]:
        """What the file's one metadata key ``ltfix`` holds."""
        return {
            **self.meta,
            "format": FORMAT if self.temperature is None else CALIBRATED,
            "method": self.method,
            "classes": None if self.classes is None else list(self.classes),
            "counts": None if self.counts is None else [int(n) for n in self.counts],
            "transform": None if self.transform is None else dict(self.transform),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class _Transform:
    kind: str
    groups: Positive = 1
    unit: Annotated[float, msgspec.Meta(ge=NORM_FLOOR, le=1 / NORM_FLOOR)] = 1


@dataclasses.dataclass(frozen=True, slots=True)
class _Said:
    """The metadata of a head that says what its arrays are."""

    method: str = "unknown"
    classes: tuple[str, ...] | None = None
    counts: list[Count] | None = None
    transform: _Transform | None = None


@public
def load_head(path: Path | str) -> Head:
    """Read a head file.

    >>> import numpy as np, ltfix
    >>> sha256 = ltfix.Head(np.eye(3), np.zeros(3), "mine").save("my-head.safetensors")
    >>> ltfix.load_head("my-head.safetensors")
    Head('my-head', method='mine', K=3, dim=3, linear)

    Raises:
        InputError: missing, torn, not an ltfix head, of a newer format, or with wrong arrays; it is named.
    """
    path = Path(path)
    other = path.suffix in (".npz", *EXPORTS) and path.is_file()
    tensors, metadata = ({}, {}) if other else load_tensors(path)
    if "ltfix" not in metadata or "weight" not in tensors:
        what = "no weight, or no key ltfix"
        what = "an export; take the head that it was made of" if path.suffix in EXPORTS else what
        raise InputError(f"not a head file: {what}", where=path, hint=_MAKE)
    return head_of(tensors, ltfix_metadata(metadata, path), path)


def head_of(tensors: Mapping[str, np.ndarray], meta: dict[str, Any], path: Path | None) -> Head:
    """A head of checked tensors ``weight``, ``bias``, … and its metadata; errors as :func:`load_head`."""
    said = record_of(_Said, meta, path, CALIBRATED)
    own = {} if said.transform is None else tensors_of(said.transform.kind, tensors, path)
    weight = single(tensors["weight"], "weight", path)
    bias, temperature = tensors.get("bias", np.zeros(weight.shape[:1])), tensors.get("temperature")
    known = {"format", *(field.name for field in dataclasses.fields(_Said))}
    head = Head(
        weight=weight,
        bias=single(bias, "bias", path),
        method=said.method,
        classes=said.classes,
        counts=None if said.counts is None else np.asarray(said.counts, np.int64),
        transform=meta.get("transform"),
        tensors={name: single(value, name, path) for name, value in own.items()},
        temperature=None if temperature is None else single(temperature, "temperature", path),
        meta={key: value for key, value in meta.items() if key not in known},
        path=path,
    )
    _check(head, path)
    return head


def _check(head: Head, where: object) -> None:
    """An InputError names the array that has a value that is not finite, or that no head can have."""
    for name, value in head.arrays.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} holds values that are not finite", where=where)
    for name in ("spread", "temperature"):
        if not (np.asarray(head.arrays.get(name, 1.0)) > 0).all():
            raise InputError(f"{name} holds values that are not positive", where=where)
    groups = 1 if head.transform is None else record_of(_Transform, dict(head.transform), where).groups
    if head.dim % groups:
        raise InputError(f"D = {head.dim} does not divide into groups = {groups}", where=where)
