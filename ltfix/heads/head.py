"""The head file: a linear classifier, and a transform where the method is not linear in x."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.tensorfile import load_tensors

FORMAT = "ltfix-head/1"
NORM_FLOOR = 1e-12
_TRANSFORM_TENSORS = {
    "l2": (),
    "capsule": (),
    "center+l2": ("center",),
    "disalign": ("confidence_weight", "confidence_bias", "logit_scale", "logit_bias"),
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A classifier over features: ``logits = T(x) @ weight.T + bias``.

    Attributes:
        weight: [K, D] float32.
        bias: [K] float32.
        method: the method that made it; "stage-1" for the classifier that came with a backbone.
        classes: the K class names, or None where unknown.
        counts: [K] int64 training samples per class, or None where unknown.
        transform: None for a linear head, else ``{"kind": …}`` with kind ``l2`` (``groups`` H: each
            block of D/H by its own norm), ``center+l2``, ``capsule`` (x / (1 + ‖x‖)) or ``disalign``
            (z + c·(logit_scale ⊙ z + logit_bias), c = sigmoid(confidence_weight·x + confidence_bias)).
        tensors: the transform's own arrays.
        meta: the rest of the file's metadata: values and where they came from, seed, selection, versions.
        path: the file it was read from.
    """

    weight: np.ndarray
    bias: np.ndarray
    method: str
    classes: tuple[str, ...] | None = None
    counts: np.ndarray | None = None
    transform: Mapping[str, Any] | None = None
    tensors: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    path: Path | None = None

    @property
    def n_classes(self) -> int:
        """K, the rows of ``weight``."""
        return int(self.weight.shape[0])

    @property
    def dim(self) -> int:
        """D, the columns of ``weight``."""
        return int(self.weight.shape[1])

    def __repr__(self) -> str:
        kind = "linear" if self.transform is None else self.transform["kind"]
        return f"Head({self.name!r}, method={self.method!r}, K={self.n_classes}, dim={self.dim}, {kind})"

    @property
    def name(self) -> str:
        """The file's stem, or the method where it has no file."""
        return self.path.stem if self.path is not None else self.method

    def logits(self, x: Any) -> Any:
        """Logits of features ``x`` [..., D] as [..., K], in numpy or torch as ``x`` is.

        They equal the method's own up to a constant per sample, in float32 (a torch tensor keeps
        its device; half precision is widened).

        Raises:
            InputError: the last axis of ``x`` is not D long.
        """
        if x.shape[-1] != self.dim:
            raise InputError(
                f"features of {x.shape[-1]} dimensions do not fit a head of {self.dim}", where=self.name
            )
        if isinstance(x, np.ndarray):
            return _apply(self, x.astype(np.float32, copy=False), lambda array: array)
        import torch

        wide = x if x.dtype == torch.float64 else x.float()
        return _apply(self, wide, lambda array: torch.as_tensor(array).to(wide))

    def save(self, path: Path | str) -> None:
        """Write the head file atomically; equal heads give equal bytes."""
        tensors = {
            "weight": self.weight.astype(np.float32),
            "bias": self.bias.astype(np.float32),
            **{name: np.asarray(value, np.float32) for name, value in self.tensors.items()},
        }
        files.write_safetensors(path, tensors, self.metadata())

    def metadata(self) -> dict[str, Any]:
        """What the file's one metadata key ``ltfix`` holds."""
        return {
            **self.meta,
            "format": FORMAT,
            "method": self.method,
            "classes": None if self.classes is None else list(self.classes),
            "counts": None if self.counts is None else [int(n) for n in self.counts],
            "transform": None if self.transform is None else dict(self.transform),
        }


def _apply(head: Head, x: Any, like: Any) -> Any:
    """The transform and the linear layer, in operators that numpy and torch share."""
    kind = None if head.transform is None else head.transform["kind"]
    tensors = {name: like(value) for name, value in head.tensors.items()}
    t = x
    if kind == "center+l2":
        t = t - tensors["center"]
    if kind in ("l2", "center+l2"):
        groups = int((head.transform or {}).get("groups", 1))
        blocks = t.reshape(*t.shape[:-1], groups, head.dim // groups)
        t = (blocks / _norm(blocks).clip(NORM_FLOOR)).reshape(t.shape)
    elif kind == "capsule":
        t = t / (1 + _norm(t))
    z = t @ like(head.weight).T + like(head.bias)
    if kind == "disalign":
        gate = (x @ tensors["confidence_weight"] + tensors["confidence_bias"])[..., None]
        confidence = 1 / (1 + math.e ** (-gate.clip(-80.0, 80.0)))
        z = z + confidence * (tensors["logit_scale"] * z + tensors["logit_bias"])
    return z


def _norm(x: Any) -> Any:
    return (x * x).sum(-1, keepdims=True) ** 0.5


def load_head(path: Path | str) -> Head:
    """Read a head file.

    Raises:
        InputError: missing, torn, not an ltfix head, of a newer format, or with wrong shapes,
            dtypes or values that are not finite; the file is named.
    """
    path = Path(path)
    tensors, metadata = load_tensors(path)
    if "ltfix" not in metadata or "weight" not in tensors:
        raise InputError("not a head file", where=path, hint="heads are written by `ltfix fit`")
    return head_of(tensors, files.parse_json(metadata["ltfix"], path), path)


def head_of(tensors: Mapping[str, np.ndarray], meta: dict[str, Any], path: Path | None) -> Head:
    """Build and check a head from tensors ``weight``, ``bias``, … and its metadata.

    Raises:
        InputError: as :func:`load_head`.
    """
    check_format(str(meta.get("format", "")), FORMAT, path)
    weight = np.asarray(tensors["weight"])
    if weight.ndim != 2:
        raise InputError(f"weight must be [K, D], found {list(weight.shape)}", where=path)
    n_classes, dim = weight.shape
    bias = np.asarray(tensors.get("bias", np.zeros(n_classes, np.float32)))
    counts, classes = meta.get("counts"), meta.get("classes")
    transform = meta.get("transform")
    kind = transform["kind"] if transform else None
    if kind is not None and kind not in _TRANSFORM_TENSORS:
        raise InputError(f"unknown transform {kind!r}", where=path, hint="made by a newer ltfix?")
    extra = {name: tensors[name] for name in _TRANSFORM_TENSORS.get(kind or "", ()) if name in tensors}
    shapes = {
        "bias": (bias.shape, (n_classes,)),
        "counts": ((n_classes,) if counts is None else (len(counts),), (n_classes,)),
        "classes": ((n_classes,) if classes is None else (len(classes),), (n_classes,)),
        **{name: (value.shape, _expected(name, n_classes, dim)) for name, value in extra.items()},
    }
    for name, (found, expected) in shapes.items():
        if tuple(found) != expected:
            raise InputError(
                f"{name} must be {list(expected)} for a weight of {[n_classes, dim]}, found {list(found)}",
                where=path,
            )
    for name, value in {"weight": weight, "bias": bias, **extra}.items():
        if not np.isfinite(value).all():
            raise InputError(f"{name} holds values that are not finite", where=path)
    known = {"format", "method", "classes", "counts", "transform"}
    return Head(
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32),
        method=str(meta.get("method", "unknown")),
        classes=None if classes is None else tuple(classes),
        counts=None if counts is None else np.asarray(counts, np.int64),
        transform=transform,
        tensors=extra,
        meta={key: value for key, value in meta.items() if key not in known},
        path=path,
    )


def _expected(name: str, n_classes: int, dim: int) -> tuple[int, ...]:
    shapes: dict[str, tuple[int, ...]] = {
        "center": (dim,),
        "confidence_weight": (dim,),
        "confidence_bias": (),
    }
    return shapes.get(name, (n_classes,))


def check_format(found: str, expected: str, where: object) -> None:
    """Refuse another kind of file, or a newer version of this kind.

    Raises:
        InputError: saying which.
    """
    kind, _, version = found.partition("/")
    wanted, _, newest = expected.partition("/")
    if kind != wanted or not version.isdigit():
        raise InputError(f"its format is {found!r}, expected {expected!r}", where=where)
    if int(version) > int(newest):
        raise InputError(
            f"its format {found!r} is newer than this ltfix reads ({expected!r})",
            where=where,
            hint="update ltfix",
        )
