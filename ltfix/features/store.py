"""Writing a feature cache folder: shard by shard, resumable, the manifest last."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ltfix import files
from ltfix._version import __version__
from ltfix.errors import InputError, UsageError
from ltfix.features import manifest as manifests
from ltfix.features.arrays import GIVEN, first_not_finite
from ltfix.features.cache import FeatureCache
from ltfix.features.layout import LOOSE, SHARD_ROWS, CachePlan, Shard, changes, differences
from ltfix.features.manifest import DEPTHS, PARTIAL, Contents, Manifest, ShardEntry, read_partial
from ltfix.features.read import assemble
from ltfix.features.shards import ShardFiles
from ltfix.heads.head import Head

_OWN_FILE = re.compile(
    r"manifest\.json|partial(-\d+)?\.json|samples\.(txt|jsonl)|(head|probe)\.safetensors|shard-\d+\.safetensors"
)


def cache_state(
    folder: Path, *, overwrite: bool = False
) -> tuple[Literal["absent", "partial", "finished"], str | None]:
    """What lies in ``folder``: nothing, an unfinished or a finished cache, with its fingerprint.

    A manifest beside partial.json is unfinished: its writer was stopped between its last two steps,
    and opening a :class:`CacheWriter` and publishing again completes it.

    Args:
        overwrite: what cannot be read is as good as absent, since it is to be replaced.

    Raises:
        InputError: its manifest or partial.json cannot be read.
    """
    with files.os_errors(folder):
        partial, manifest = (folder / PARTIAL).exists(), (folder / manifests.NAME).exists()
    with contextlib.suppress(*[InputError] if overwrite else []):
        if partial:
            return "partial", read_partial(folder).fingerprint
        if manifest:
            return "finished", manifests.read_manifest(folder).fingerprint
    return "absent", None


def finished_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished cache, or None; errors as of :func:`cache_state`."""
    return manifests.read_manifest(folder) if cache_state(folder)[0] == "finished" else None


def refuse_unfinished(folder: Path, plan: CachePlan) -> None:
    """What a writer of another plan left is in the way where going on with it would lose some of it.

    Raises:
        InputError: the plans differ in what no shard can tell, or they have no shard in common.
    """
    before, decided = read_partial(folder).decides, plan.decisions
    changed, usable = set(changes(before, decided)), ShardFiles(folder, plan).usable
    others = bool(changed & {"samples", "labels"}) and not any(map(usable, plan.shards()))
    if not changed <= LOOSE:
        what = f"an unfinished cache of another extraction is there; {differences(before, decided)}"
        hint = "the command that began it goes on with it; overwrite=True replaces it"
        raise InputError(what, where=folder, hint=hint)
    if others:
        split = plan.source.get("split")
        alone = f", with split={split} this split alone" if split else ""
        what = "an unfinished cache is there whose pictures have changed since (names or sizes)"
        hint = f"overwrite=True begins anew{alone}; put back as they were, it goes on"
        raise InputError(what, where=folder, hint=hint)


def as_stored(features: np.ndarray, plan: CachePlan, rows: np.ndarray) -> np.ndarray:
    """Features [n, V, D] in the plan's dtype; InputError names a sample that overflows or is not finite."""
    with np.errstate(over="ignore"):
        stored = features.astype(plan.dtype)
    row = first_not_finite(stored)
    if row is None:
        return stored
    what, hint = "a feature overflows float16", "use dtype=float32"
    if not np.isfinite(features[row]).all():
        what, hint = "a feature is NaN or Inf", GIVEN
        if plan.backbone:
            what, hint = "the backbone gave NaN or Inf", "check the checkpoint, or use precision=fp32"
    raise InputError(what, where=plan.samples[rows[row]], hint=hint)


class CacheWriter:
    """Writes one cache folder; opened on an unfinished one it goes on where that stopped.

    Shards never change once written, and each carries the fingerprint, so several writers of the same plan
    may share the work, and a writer whose folder another plan took over stops. A shard is taken over
    if its bytes are those that were written and it was made from what the plan would make it from; so a plan
    that differs in some images, or in what to do about unreadable ones, goes on with all others.

    Attributes:
        resumed: an unfinished cache was found, of the same plan or one whose shards this one can use.
        run: ``plan.run``, or on resume what the first start had resolved.
        doubted: shards that are there and are not taken over, as :meth:`pending` last found.

    Raises:
        UsageError: the folder holds a finished cache (or other files) and ``overwrite`` is false.
        InputError: it holds an unfinished cache of another plan; the difference is named.
        EnvironmentFault: it cannot be written.
    """

    def __init__(self, folder: Path | str, plan: CachePlan, *, overwrite: bool = False) -> None:
        self.folder, self.plan, self.doubted = Path(folder), plan, 0
        self.fingerprint = plan.fingerprint
        self._files = ShardFiles(self.folder, plan)
        plan.check()
        state, found = cache_state(self.folder, overwrite=overwrite)
        if state == "absent":
            self._refuse_other_files(overwrite)
        if overwrite:
            self._clear()
            state = "absent"
        if state == "finished":
            raise UsageError(
                "a finished feature cache is there", where=self.folder, hint="overwrite=True replaces it"
            )
        self.resumed = state == "partial"
        if self.resumed and found != self.fingerprint:
            self._take_over()
        if not self.resumed:
            self._begin(plan.run)
        self.run: dict[str, Any] = read_partial(self.folder).run
        files.sweep(self.folder)

    def pending(self) -> list[Shard]:
        """The shards that are not written yet, by this run or the one it resumes; all others are read."""
        missing = [shard for shard in self.plan.shards() if not self._files.is_written(shard)]
        self.doubted = sum((self.folder / shard.file).exists() for shard in missing)
        return missing

    def forget(self, shards: Sequence[Shard]) -> None:
        """Remember nothing of shards that are to be made again, so that other writers miss them, too."""
        for shard in shards:
            files.remove(self.folder / shard.record)
        if shards:
            files.remove(self.folder / manifests.NAME)

    def missing(self) -> list[Shard]:
        """The shards that no writer has finished, as far as the names of files tell."""
        return [shard for shard in self.plan.shards() if not self.has(shard)]

    def has(self, shard: Shard) -> bool:
        """Whether a shard was finished, by this writer or another, as far as the names of files tell."""
        return self._files.knows(shard) or (self.folder / manifests.NAME).exists()

    def write_shard(
        self,
        shard: Shard,
        features: np.ndarray,
        skipped: Sequence[int] = (),
        remarks: Iterable[str] = (),
    ) -> None:
        """Write the features [stop - start - skipped, V, D] of one shard atomically.

        Args:
            shard: one of :meth:`pending`.
            features: float array; cast to the plan's dtype.
            skipped: sample indices in start..stop that have no row.
            remarks: how its images were read, for the manifest.

        Raises:
            InputError: a value overflows float16 or is not finite (the sample is named), or another
                extraction has taken over the folder.
            EnvironmentFault: it cannot be written.
        """
        kept = np.setdiff1d(np.arange(shard.start, shard.stop), np.asarray(skipped, np.int64))
        expected = (len(kept), self.plan.views, self.plan.dim)
        if features.shape != expected or len(kept) + len(set(skipped)) != shard.stop - shard.start:
            raise ValueError(f"features must be {expected}, found {features.shape}, {len(skipped)} skipped")
        stored = as_stored(features, self.plan, kept)
        self._check_owner()
        if not self._files.is_written(shard):
            labels = np.asarray(self.plan.labels)[kept].astype(np.int64)
            self._files.write(shard, {"features": stored, "labels": labels}, skipped, remarks)

    def publish(self, head: Head | None) -> FeatureCache:
        """Write samples.txt, the stage-1 classifier and, last, the manifest; return the finished cache.

        Everything a reader checks is checked before the manifest appears.

        Raises:
            InputError: a shard is missing or not of this plan, no sample is left, or the head does not
                fit; the cache stays unfinished.
            EnvironmentFault: it cannot be written.
        """
        self._check_owner()
        entries, skipped, remarks = [], [], set[str]()
        for shard in self.plan.shards():
            record, left_out = self._files.finished(shard)
            rows = shard.stop - shard.start - len(left_out)
            entries.append(ShardEntry(shard.file, rows, record.sha256))
            skipped += left_out
            remarks |= set(record.remarks)
        kept: np.ndarray = np.delete(np.arange(len(self.plan.samples)), skipped)
        if not len(kept):
            raise InputError("no image could be read", where=self.folder)
        names = [*(self.plan.samples[row] for row in kept), ""]
        files.write_text(self.folder / manifests.SAMPLES, "\n".join(names))
        columns = None
        if self.plan.kept is not None:
            text = "".join(f"{self.plan.kept[row]}\n" for row in kept)
            files.write_text(self.folder / manifests.COLUMNS, text)
            columns = files.sha256_bytes(text.encode())
        if head is not None:
            head.save(self.folder / manifests.HEAD)
        plan = self.plan
        known = {field.name: getattr(plan, field.name) for field in dataclasses.fields(Contents)}
        if remarks:
            known["preprocess"] = {**plan.preprocess, DEPTHS: sorted(remarks)}
        manifest = Manifest(
            n=len(kept),
            classes=list(plan.classes) or None,
            counts=np.bincount(np.asarray(plan.labels)[kept], minlength=len(plan.classes)).tolist(),
            shards=entries,
            fingerprint=self.fingerprint,
            created_by=f"ltfix {__version__}",
            skipped=[*plan.skipped, *(plan.samples[i] for i in skipped)],
            columns=columns,
            shard_rows=None if plan.shard_rows == SHARD_ROWS else plan.shard_rows,
            **known,
        )
        cache = assemble(self.folder, manifest)
        files.write_json(self.folder / manifests.NAME, manifest.to_dict())
        for shard in self.plan.shards():
            files.remove(self.folder / shard.record)
        files.remove(self.folder / PARTIAL)
        files.sweep(self.folder)
        return cache

    def discard(self) -> None:
        """Remove what was written of this plan, and the folder if it is empty then."""
        if cache_state(self.folder)[1] == self.fingerprint:
            self._clear()
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def _check_owner(self) -> None:
        """A second process may have finished this very cache, or replaced it by another."""
        if cache_state(self.folder)[1] != self.fingerprint:
            raise InputError("another extraction has taken over this folder", where=self.folder)

    def _begin(self, run: dict[str, Any]) -> None:
        """Write partial.json; of several writers that begin at once, one does, and all go by what it says."""
        start = {"fingerprint": self.fingerprint, "decides": self.plan.decisions, "run": run}
        with contextlib.suppress(UsageError):
            files.write_json(self.folder / PARTIAL, start, overwrite=self.resumed)

    def _take_over(self) -> None:
        """Go on with what a writer of another plan left, if nothing else of it is lost."""
        refuse_unfinished(self.folder, self.plan)
        run = read_partial(self.folder).run
        files.remove(self.folder / manifests.NAME)
        self._begin(run)

    def _refuse_other_files(self, overwrite: bool) -> None:
        with files.os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            found = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        if overwrite:  # interrupted while overwriting, a writer leaves shards alone
            found = [name for name in found if not _OWN_FILE.fullmatch(name)]
        if found:
            own = all(map(_OWN_FILE.fullmatch, found))
            hint = "overwrite=True replaces it" if own else "choose an empty folder by out=DIR"
            what = "a feature cache without its manifest is there" if own else "the folder holds other files"
            raise UsageError(f"{what} ({', '.join(found[:3])})", where=self.folder, hint=hint)

    def _clear(self) -> None:
        """The manifest goes first, so no reader takes what is left for a cache."""
        files.remove(self.folder / manifests.NAME)
        with files.os_errors(self.folder):
            for path in sorted(self.folder.iterdir()):
                if _OWN_FILE.fullmatch(path.name) and path.name != PARTIAL:
                    files.remove(path)
        files.remove(self.folder / PARTIAL)
