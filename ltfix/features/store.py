"""Writing a feature cache folder: shard by shard, resumable, the manifest last."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ltfix import files
from ltfix._version import __version__
from ltfix.errors import InputError, UsageError
from ltfix.features import manifest as manifests
from ltfix.features.manifest import Manifest
from ltfix.features.read import FeatureCache, open_cache
from ltfix.heads.head import Head
from ltfix.tensorfile import load_tensors

PARTIAL = "partial.json"
SHARD_ROWS = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class CachePlan:
    """All that is known of a cache before its first feature.

    Attributes:
        samples: N source-relative paths in order. labels: [N] int64. classes: class names.
        dim, views, dtype: D, V, "float16" or "float32".
        backbone, preprocess, source: provenance for the manifest (JSON values, no absolute paths).
        decides: every further choice that decides the bytes; with the above it makes the fingerprint.
        run: choices that a resumed run takes over (resolved batch size, threads, device kind, precision).
        shard_rows: samples a shard.
    """

    samples: Sequence[str]
    labels: np.ndarray
    classes: Sequence[str]
    dim: int
    views: int
    dtype: str
    backbone: dict[str, Any]
    preprocess: dict[str, Any]
    source: dict[str, Any]
    decides: dict[str, Any]
    run: dict[str, Any]
    shard_rows: int = SHARD_ROWS

    def decisions(self) -> dict[str, Any]:
        """What the fingerprint is taken of, by name, so that a difference can be named."""
        return {
            "samples": files.sha256_json(list(self.samples)),
            "labels": files.sha256_bytes(np.ascontiguousarray(self.labels, np.int64).tobytes()),
            "classes": files.sha256_json(list(self.classes)),
            "features": [self.dim, self.views, self.dtype, self.shard_rows],
            "backbone": self.backbone,
            "preprocess": self.preprocess,
            "source": self.source,
            **self.decides,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """Samples ``start``..``stop`` of the plan, one file."""

    index: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"shard-{self.index:05d}.safetensors"


State = Literal["absent", "partial", "finished"]


def cache_state(folder: Path) -> tuple[State, str | None]:
    """What lies in ``folder``: nothing, an unfinished or a finished cache, with its fingerprint."""
    if (folder / manifests.NAME).exists():
        return "finished", manifests.read_manifest(folder).fingerprint
    if (folder / PARTIAL).exists():
        return "partial", files.read_json(folder / PARTIAL).get("fingerprint")
    return "absent", None


class CacheWriter:
    """Writes one cache folder; opened on an unfinished one it goes on where that stopped.

    Attributes:
        resumed: an unfinished cache of the same plan was found.
        run: ``plan.run``, or on resume what the first start had resolved.

    Raises:
        UsageError: the folder holds a finished cache (or other files) and ``overwrite`` is false.
        InputError: it holds an unfinished cache of another plan; the difference is named.
        EnvironmentFault: it cannot be written.
    """

    def __init__(self, folder: Path | str, plan: CachePlan, *, overwrite: bool = False) -> None:
        self.folder, self.plan = Path(folder), plan
        self.fingerprint = files.sha256_json(plan.decisions())
        if overwrite:
            self._clear()
        state, _ = cache_state(self.folder)
        if state == "finished":
            raise UsageError(
                "a finished feature cache is there", where=self.folder, hint="--overwrite replaces it"
            )
        self.resumed = state == "partial"
        if self.resumed:
            self.run = self._read_partial()
        else:
            self._refuse_foreign_files()
            self.run = dict(plan.run)
            decided = plan.decisions()
            files.write_json(
                self.folder / PARTIAL,
                {"fingerprint": self.fingerprint, "decides": decided, "run": self.run},
            )
        files.sweep(self.folder)

    def shards(self) -> list[Shard]:
        """All shards of the plan."""
        n, rows = len(self.plan.samples), self.plan.shard_rows
        return [Shard(i, start, min(start + rows, n)) for i, start in enumerate(range(0, n, rows))]

    def pending(self) -> list[Shard]:
        """The shards that are not written yet."""
        return [shard for shard in self.shards() if not (self.folder / shard.file).exists()]

    def write_shard(self, shard: Shard, features: np.ndarray, skipped: Sequence[int] = ()) -> None:
        """Write the features [stop - start - skipped, V, D] of one shard atomically.

        Args:
            shard: one of :meth:`pending`.
            features: float array; cast to the plan's dtype.
            skipped: sample indices in start..stop that have no row.

        Raises:
            InputError: a value overflows float16 or is not finite; the sample is named.
        """
        kept = np.setdiff1d(np.arange(shard.start, shard.stop), np.asarray(skipped, np.int64))
        expected = (len(kept), self.plan.views, self.plan.dim)
        if features.shape != expected:
            raise ValueError(f"features must be {expected}, found {features.shape}")
        with np.errstate(over="ignore"):
            stored = features.astype(self.plan.dtype)
        bad = ~np.isfinite(stored).reshape(len(kept), -1).all(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            overflow = bool(np.isfinite(features[row]).all())
            raise InputError(
                "a feature overflows float16" if overflow else "the backbone gave NaN or Inf",
                where=self.plan.samples[kept[row]],
                hint="use --dtype float32" if overflow else "check the checkpoint, or use --precision fp32",
            )
        files.write_safetensors(
            self.folder / shard.file,
            {"features": stored, "labels": self.plan.labels[kept].astype(np.int64)},
            {"skipped": [int(i) for i in skipped]},
        )

    def publish(self, head: Head | None) -> FeatureCache:
        """Write samples.txt, the stage-1 classifier and, last, the manifest; return the finished cache."""
        entries, labels, skipped = [], [], []
        for shard in self.shards():
            path = self.folder / shard.file
            tensors, metadata = load_tensors(path)
            labels.append(np.array(tensors["labels"]))
            skipped += files.parse_json(metadata.get("ltfix", "{}"), path).get("skipped", [])
            entries.append({"file": shard.file, "n": len(labels[-1]), "sha256": files.sha256_file(path)})
        plan, left_out = self.plan, set(skipped)
        kept = [sample for i, sample in enumerate(plan.samples) if i not in left_out]
        if not kept:
            raise InputError("no image could be read", where=self.folder)
        files.write_text(self.folder / "samples.txt", "".join(f"{sample}\n" for sample in kept))
        if head is not None:
            head.save(self.folder / "head.safetensors")
        manifest = Manifest(
            n=len(kept),
            dim=plan.dim,
            views=plan.views,
            dtype=plan.dtype,
            classes=list(plan.classes),
            counts=np.bincount(np.concatenate(labels), minlength=len(plan.classes)).tolist(),
            shards=entries,
            backbone=plan.backbone,
            preprocess=plan.preprocess,
            source=plan.source,
            fingerprint=self.fingerprint,
            created_by=f"ltfix {__version__}",
            skipped=[plan.samples[i] for i in skipped],
        )
        files.write_json(self.folder / manifests.NAME, manifest.to_dict())
        files.remove(self.folder / PARTIAL)
        return open_cache(self.folder)

    def _read_partial(self) -> dict[str, Any]:
        path = self.folder / PARTIAL
        partial = files.read_json(path)
        if partial.get("fingerprint") != self.fingerprint:
            before, now = partial.get("decides", {}), self.plan.decisions()
            differing = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            raise InputError(
                f"an unfinished cache of another extraction is there; {', '.join(differing)} differ",
                where=self.folder,
                hint="run its command again, or --overwrite",
            )
        return dict(partial["run"])

    def _refuse_foreign_files(self) -> None:
        with files.os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            found = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        if found:
            raise UsageError(
                f"the folder holds other files ({', '.join(found[:3])})",
                where=self.folder,
                hint="choose an empty folder with --out",
            )

    def _clear(self) -> None:
        for name in (manifests.NAME, PARTIAL, "samples.txt", "head.safetensors"):
            files.remove(self.folder / name)
        for path in self.folder.glob("shard-*.safetensors"):
            files.remove(path)
