"""What a path is: a feature cache, a head, a training run or a checkpoint, as one JSON value."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files, runfile
from ltfix.errors import InputError
from ltfix.evaluation.shots import group
from ltfix.features import manifest as manifests
from ltfix.features.read import FeatureCache, open_cache
from ltfix.features.store import read_partial
from ltfix.heads.head import FORMAT as HEAD_FORMAT
from ltfix.heads.head import Head, load_head
from ltfix.tensorfile import ltfix_metadata

FORMAT = "ltfix-inspect/1"


def describe(path: Path | str, *, verify: bool = False) -> dict[str, Any]:
    """Say what lies at ``path``, reading headers and manifests, and of a cache the labels.

    Args:
        path: a folder or file.
        verify: also compare every hash that was recorded, and read every feature of a cache.

    Returns:
        ``format``, ``kind`` ("cache", "unfinished cache", "head", "run", "checkpoint" or "file"), ``path``,
        ``bytes`` and what the kind has (docs/format.md).

    Raises:
        InputError: it is missing, torn, nothing of ltfix, or not what was recorded.
    """
    path = Path(path)
    with files.os_errors(path):
        path.stat()
    found = _folder(path, verify) if path.is_dir() else _file(path, verify)
    return {"format": FORMAT, "path": str(path), "bytes": size_of(path), **found}


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    inside = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return sum(p.stat().st_size for p in inside)


def _folder(path: Path, verify: bool) -> dict[str, Any]:
    if (path / manifests.NAME).exists():
        return _cache(open_cache(path), verify)
    if (path / manifests.PARTIAL).exists():
        return _unfinished(path)
    if (path / runfile.NAME).exists():
        return _run(path)
    inside = sorted(
        p.name
        for p in path.iterdir()
        if (p / manifests.NAME).exists() or (p / runfile.NAME).exists() or p.suffix == ".safetensors"
    )
    raise InputError(
        "neither a feature cache nor a run",
        where=path,
        hint=f"did you mean {', '.join(str(path / name) for name in inside[:3])}?" if inside else None,
    )


def _file(path: Path, verify: bool) -> dict[str, Any]:
    if path.suffix == ".npz":
        return _cache(open_cache(path), verify)
    if path.suffix != ".safetensors":
        raise InputError(
            "not a kind of file that ltfix reads", where=path, hint="known: .safetensors, .npz, .pth, .pt"
        )
    tensors, metadata = safetensors_header(path)
    written = ltfix_metadata(metadata, path)
    if str(written.get("format", "")).startswith(HEAD_FORMAT.partition("/")[0] + "/"):
        return _head(load_head(path))
    if {"features", "labels"} <= tensors.keys():
        return _cache(open_cache(path), verify)
    return {"kind": "checkpoint", **checkpoint(tensors), "metadata": {**metadata, **written}}


def safetensors_header(path: Path) -> tuple[dict[str, tuple[str, list[int]]], dict[str, str]]:
    """Dtype and shape of every tensor, and the metadata, whatever the dtypes.

    Raises:
        InputError: torn, or not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with files.os_errors(path), safe_open(path, framework="np") as opened:
            names = opened.keys()
            views = {name: opened.get_slice(name) for name in names}
            shapes = {name: (str(view.get_dtype()), list(view.get_shape())) for name, view in views.items()}
            return shapes, dict(opened.metadata() or {})
    except SafetensorError as err:
        raise InputError(f"torn or not a safetensors file: {err}", where=path) from err


def checkpoint(tensors: dict[str, tuple[str, list[int]]]) -> dict[str, Any]:
    """The tensors of a checkpoint, in order, and how many values they hold."""
    return {
        "parameters": sum(math.prod(shape) for _, shape in tensors.values()),
        "tensors": [{"name": name, "dtype": d, "shape": shape} for name, (d, shape) in tensors.items()],
    }


def _cache(cache: FeatureCache, verify: bool) -> dict[str, Any]:
    head, manifest = cache.head, cache.manifest
    known = head is not None and head.counts is not None
    training = head.counts if head is not None and head.counts is not None else cache.counts
    found: dict[str, Any] = {
        "kind": "cache",
        "n": cache.n,
        "views": cache.views,
        "dim": cache.dim,
        "dtype": str(cache.shards[0].dtype),
        "classes": cache.n_classes,
        "class_names": None if cache.classes is None else list(cache.classes),
        "counts": cache.counts.tolist(),
        "shots": {**group(training).to_dict(), "of": "training counts" if known else "this cache's counts"},
        "stage1": None if head is None else _classifier(head),
        "fingerprint": cache.fingerprint,
    }
    if manifest is not None:
        kept = ("backbone", "preprocess", "source", "created_by", "skipped")
        found |= {key: getattr(manifest, key) for key in kept} | {"shards": len(manifest.shards)}
    if verify:
        found["verified"] = {"hashes": cache.verify(), "finite": True}
    return found


def _classifier(head: Head) -> dict[str, Any]:
    norms = np.linalg.norm(head.weight.astype(np.float64), axis=1)
    return {
        "method": head.method,
        "classes": head.n_classes,
        "dim": head.dim,
        "transform": None if head.transform is None else dict(head.transform),
        "weight_norm": {"least": float(norms.min()), "mean": float(norms.mean()), "most": float(norms.max())},
        "counts_known": head.counts is not None,
    }


def _head(head: Head) -> dict[str, Any]:
    counts = head.counts
    return {
        "kind": "head",
        **_classifier(head),
        "class_names": None if head.classes is None else list(head.classes),
        "counts": None if counts is None else counts.tolist(),
        "shots": None if counts is None else {**group(counts).to_dict(), "of": "training counts"},
        "sha256": None if head.path is None else files.sha256_file(head.path),
        "meta": dict(head.meta),
    }


def _unfinished(path: Path) -> dict[str, Any]:
    partial = read_partial(path)
    return {
        "kind": "unfinished cache",
        "shards": len(list(path.glob("shard-*.safetensors"))),
        "fingerprint": partial["fingerprint"],
        "run": partial["run"],
    }


def _run(path: Path) -> dict[str, Any]:
    run = runfile.read_run(path)
    counts, classes = run.content.get("counts"), run.content.get("classes")
    found: dict[str, Any] = {
        "kind": "run",
        "finished": run.finished,
        "class_names": classes,
        "counts": counts,
        "shots": None if counts is None else {**group(np.asarray(counts)).to_dict(), "of": "training counts"},
        "files": sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith(".")),
        "run": {
            key: value for key, value in run.content.items() if key not in ("classes", "counts", "format")
        },
    }
    classifier = path / runfile.CLASSIFIER
    found["stage1"] = _classifier(load_head(classifier)) if classifier.exists() else None
    return found
