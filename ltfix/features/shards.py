"""The shard files of an unfinished cache, and what is remembered of each: no file is believed unchecked.

The records are gone once the cache is finished: its bytes do not depend on how it came about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ltfix import files
from ltfix.errors import InputError
from ltfix.features import manifest as manifests
from ltfix.features.layout import CachePlan, Shard
from ltfix.features.manifest import DEPTHS
from ltfix.records import Count, read_record, record_of
from ltfix.tensorfile import load_tensors, ltfix_metadata


@dataclasses.dataclass(frozen=True, slots=True)
class ShardRecord:
    """One shard, as it was written.

    Attributes:
        sha256: of the file's bytes.
        inputs: what they were made from, see `CachePlan.inputs`.
        remarks: how its images were read, where that needs saying.
    """

    sha256: str
    inputs: str
    remarks: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class ShardOrigin:
    """What a shard's metadata says: the fingerprint of its cache, and the samples that it leaves out."""

    fingerprint: str
    skipped: list[Count]


class ShardFiles:
    """The shards of one plan in one folder.

    Args:
        folder: of the cache.
        plan: what they are made from, whose fingerprint each carries.
    """

    def __init__(self, folder: Path, plan: CachePlan) -> None:
        self.folder, self.plan, self.fingerprint = folder, plan, plan.fingerprint
        self._known: set[int] = set()  # written, or looked into, in this process

    def write(
        self,
        shard: Shard,
        tensors: Mapping[str, np.ndarray],
        skipped: Sequence[int],
        remarks: Iterable[str],
    ) -> None:
        """Write a shard, then what is remembered of it."""
        origin = ShardOrigin(self.fingerprint, sorted({int(i) for i in skipped}))
        sha256 = files.write_safetensors(self.folder / shard.file, tensors, dataclasses.asdict(origin))
        record = ShardRecord(sha256, self.plan.inputs(shard, bool(len(skipped))), sorted(remarks))
        files.write_json(self.folder / shard.record, dataclasses.asdict(record))
        self._known.add(shard.index)

    def knows(self, shard: Shard) -> bool:
        """Whether a shard is remembered, which is the last step of writing it; its file is not looked at."""
        return shard.index in self._known or (self.folder / shard.record).exists()

    def is_written(self, shard: Shard) -> bool:
        """Whether a shard need not be written; one that another plan wrote gets this one's fingerprint."""
        if shard.index in self._known:
            return True
        record = self.usable(shard)
        if record is None:
            return False
        tensors, origin = self._load(shard)
        if origin.fingerprint != self.fingerprint:
            self.write(shard, tensors, origin.skipped, record.remarks)
        self._known.add(shard.index)
        return True

    def usable(self, shard: Shard) -> ShardRecord | None:
        """The record of a shard whose bytes are those that were written, from what the plan would use."""
        path = self.folder / shard.file
        with files.os_errors(self.folder):
            if not path.exists():
                return None
        try:
            record = self._record(shard)
            if record is None or files.sha256_file(path) != record.sha256:
                return None
            skipped = bool(self._load(shard)[1].skipped)
        except InputError:  # no writer leaves half a shard: the disk or somebody else did
            return None
        return record if record.inputs == self.plan.inputs(shard, skipped) else None

    def finished(self, shard: Shard) -> tuple[ShardRecord, list[int]]:
        """A shard to be published, as it was written for this plan (else InputError), and its skipped."""
        path, inside = self.folder / shard.file, range(shard.start, shard.stop)
        origin = self._load(shard)[1]
        if origin.fingerprint != self.fingerprint or not all(i in inside for i in origin.skipped):
            raise InputError("the shard belongs to another extraction", where=path)
        record = self._record(shard)
        if record is None or files.sha256_file(path) != record.sha256:
            hint = "run the same command again"
            raise InputError("its bytes are not those that were written", where=path, hint=hint)
        return record, origin.skipped

    def _record(self, shard: Shard) -> ShardRecord | None:
        """What is remembered of a shard; the manifest says it where a writer was stopped at the very end."""
        path = self.folder / shard.record
        if path.exists():
            return read_record(ShardRecord, path)
        if not (self.folder / manifests.NAME).exists():
            return None
        manifest = manifests.read_manifest(self.folder)
        if manifest.fingerprint != self.fingerprint:
            return None
        known = {entry.file: entry.sha256 for entry in manifest.shards}
        inputs = self.plan.inputs(shard, bool(self._load(shard)[1].skipped))
        said = {"sha256": known.get(shard.file, ""), "inputs": inputs}
        said["remarks"] = manifest.preprocess.get(DEPTHS, [])
        return record_of(ShardRecord, said, self.folder / manifests.NAME)

    def _load(self, shard: Shard) -> tuple[dict[str, np.ndarray], ShardOrigin]:
        path = self.folder / shard.file
        tensors, metadata = load_tensors(path)
        return tensors, record_of(ShardOrigin, ltfix_metadata(metadata, path), path)
