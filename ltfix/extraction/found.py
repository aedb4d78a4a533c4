"""What lies where a cache is to go, held against the plan of that cache."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ltfix import files
from ltfix.compute import PRECISIONS
from ltfix.errors import InputError
from ltfix.extraction.request import Request
from ltfix.features.layout import SHARD_ROWS, CachePlan, changes, differences
from ltfix.features.manifest import DEPTHS, NAME, Contents, Manifest, read_manifest, read_partial
from ltfix.features.read import assemble
from ltfix.features.store import cache_state, refuse_unfinished
from ltfix.images.pictures import FilePictures
from ltfix.images.places import modified_at
from ltfix.images.split import Split
from ltfix.option import options_of

JobState = Literal["todo", "resume", "done", "taken"]
_UNTOLD = {  # what decides a cache and stands in no manifest
    "precision": PRECISIONS[1:],
    "device": ("cpu", "cuda", "mps"),
    "compile": (False, True),
    "on_error": options_of(Request)["on_error"].choices,
}

MOST_LOOKED_AT = 500_000
"""Of so many pictures the times are looked at again, which takes a second or two."""


def state_of(folder: Path, plan: CachePlan, overwrite: bool) -> JobState:
    """What is to be done about a planned cache; InputError where what is there cannot be read, or a finished
    one lacks a shard or the end of one."""
    found, fingerprint = cache_state(folder, overwrite=overwrite)
    same = fingerprint == plan.fingerprint or _differs_in_errors_alone(folder, plan, found)
    if found == "partial" and (same or not overwrite or _goes_on(folder, plan)):
        return "resume"  # overwrite is for what is finished; without it the writer says what differs
    if found == "absent" or overwrite:
        return "todo"
    if not same:
        return "taken"
    assemble(folder, read_manifest(folder))  # or it lacks something
    return "done"


def as_begun(folder: Path, plan: CachePlan, *, overwrite: bool) -> CachePlan:
    """The plan with as many samples a shard as what lies there, where that is the same cache or begins it."""
    state, fingerprint = cache_state(folder, overwrite=overwrite)
    if state == "absent" or (overwrite and state == "finished"):
        return plan
    found = read_partial(folder) if state == "partial" else read_manifest(folder)
    begun = dataclasses.replace(plan, shard_rows=found.shard_rows or plan.shard_rows)
    if not overwrite or begun.fingerprint == fingerprint or (state == "partial" and _goes_on(folder, begun)):
        return begun
    return plan


def _goes_on(folder: Path, plan: CachePlan) -> bool:
    """Whether a writer of this plan goes on with what another left unfinished there."""
    try:
        refuse_unfinished(folder, plan)
    except InputError:
        return False
    return True


def _differs_in_errors_alone(folder: Path, plan: CachePlan, found: str) -> bool:
    """Whether what is there is the plan's but for ``on_error``, and, if finished, nothing was left out."""
    before: Mapping[str, Any] = {}
    if found == "partial":
        before = read_partial(folder).decides
    elif found == "finished":
        manifest = read_manifest(folder)
        before = {} if manifest.skipped else _as_made(plan, manifest)
    return changes(before, plan.decisions).keys() == {"on_error"}


def _as_made(plan: CachePlan, manifest: Manifest) -> dict[str, Any]:
    """The decisions behind a finished cache, where all that its manifest says is as planned; else empty.

    The rest has few possible values: the fingerprint tells which they were.
    """
    features = [plan.dim, plan.views, plan.dtype, manifest.shard_rows or SHARD_ROWS]
    for values in itertools.product(*_UNTOLD.values()):
        found = {**plan.decisions, "features": features, **dict(zip(_UNTOLD, values, strict=True))}
        if files.sha256_json(found) == manifest.fingerprint:
            return found
    return {}


def difference(folder: Path, plan: CachePlan) -> tuple[str, str]:
    """In words, what a finished cache has otherwise than the plan; and what would keep it, if anything."""
    there, now = read_manifest(folder), plan.decisions
    before = _as_made(plan, there)
    if changes(before, now).keys() == {"on_error"}:
        return f"unreadable images are left out there: {len(there.skipped)}", "on_error=skip keeps it, "
    if not before:
        names = [field.name for field in dataclasses.fields(Contents)]
        before, now = ({name: getattr(of, name) for name in names} for of in (there, plan))
        now["preprocess"] = {**plan.preprocess, DEPTHS: there.preprocess.get(DEPTHS)}
        before["classes"], now["classes"] = there.classes, list(plan.classes) or None
    elif not there.skipped:
        before["on_error"] = now["on_error"]
    left = len(there.skipped)
    pictures = "its pictures differ (names or sizes)"
    pictures += f", {left} {'were' if left > 1 else 'was'} left out then" * bool(left)
    told = differences(before, now).replace("source.digest differs", pictures)
    return told or f"what it says of itself is the same: {there.created_by} made it otherwise", ""


def told_newer(folder: Path, split: Split) -> str | None:
    """A note where some pictures were written after the finished cache that is kept: replaced, it may be.

    Where all were, they are a copy or a checkout, which says nothing.
    """
    pictures, n = split.pictures, len(split)
    if not isinstance(pictures, FilePictures) or pictures.sizes is not None or n > MOST_LOOKED_AT:
        return None
    finished = modified_at(folder / NAME)
    newer = [row for row in range(n) if modified_at(pictures.where(split.row(row))) > finished]
    if not 0 < len(newer) < n:
        return None
    are, more = ("are", ", …") if len(newer) > 1 else ("is", "")
    told = f"{len(newer):,} of {n:,} pictures {are} newer than {folder}, with the same names and sizes"
    return f"{told}: kept ({pictures.where(split.row(newer[0]))}{more}); overwrite=True extracts anew"
