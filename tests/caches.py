"""Small caches and heads that several test files write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.features.cache import FeatureCache
from ltfix.features.layout import CachePlan, Shard
from ltfix.features.store import CacheWriter
from ltfix.heads.head import Head


def make_plan(n: int = 25, n_classes: int = 3, **changes: Any) -> CachePlan:
    """A plan of ``n`` samples in shards of ten."""
    values: dict[str, Any] = {
        "samples": [f"class-{i % n_classes}/{i:03}.png" for i in range(n)],
        "labels": np.arange(n) % n_classes,
        "classes": [f"class-{k}" for k in range(n_classes)],
        "dim": 4,
        "views": 2,
        "dtype": "float16",
        "backbone": {"name": "resnet18", "weights_sha256": "0" * 64},
        "preprocess": {"size": 32, "mean": [0.5, 0.5, 0.5]},
        "source": {"kind": "folder", "digest": "1" * 64},
        "decides": {"precision": "fp32"},
        "run": {"batch_size": 8, "threads": 2},
        "shard_rows": 10,
    }
    return CachePlan(**{**values, **changes})


def make_features(plan: CachePlan) -> np.ndarray:
    """[n, V, D] float32, the same for the same plan."""
    shape = (len(plan.samples), plan.views, plan.dim)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def make_head(n_classes: int = 3, dim: int = 4, **changes: Any) -> Head:
    """A random linear head, "stage-1" by default."""
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {
        "weight": rng.normal(size=(n_classes, dim)).astype(np.float32),
        "bias": rng.normal(size=n_classes).astype(np.float32),
        "method": "stage-1",
    }
    return Head(**{**values, **changes})


def fill(
    writer: CacheWriter, shards: Sequence[Shard] | None = None, skipped: frozenset[int] = frozenset()
) -> None:
    """Write the given (else all pending) shards of a writer, without the skipped samples."""
    features = make_features(writer.plan)
    for shard in writer.pending() if shards is None else shards:
        kept = [i for i in range(shard.start, shard.stop) if i not in skipped]
        left_out = [i for i in range(shard.start, shard.stop) if i in skipped]
        writer.write_shard(shard, features[kept], left_out)


def write_cache(folder: Path, head: Head | None = None, **changes: Any) -> FeatureCache:
    """A finished cache folder."""
    writer = CacheWriter(folder, make_plan(**changes))
    fill(writer)
    return writer.publish(head)


def write_bare(path: Path, metadata: object | None = None, **tensors: Any) -> Path:
    """One safetensors file, by default a valid bare cache of six samples; None leaves a tensor out."""
    values = {"features": np.ones((6, 1, 4), np.float32), "labels": np.arange(6) % 3, **tensors}
    kept = {name.replace("__", "."): value for name, value in values.items() if value is not None}
    files.write_safetensors(path, kept, metadata)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
