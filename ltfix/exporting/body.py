"""The body that a head belongs to: what its cache recorded, or what was named, and never another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltfix.backbones.load import Backbone, load_backbone
from ltfix.errors import InputError, UsageError
from ltfix.exporting.request import ExportRequest
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head

_GIVE = "name the body with backbone=…, and its weights with checkpoint=FILE"
_PREPROCESS = ("image_size", "crop_pct", "mean", "std", "interpolation", "crop_mode")


def load_body(head: Head, cache: FeatureCache | None, request: ExportRequest) -> Backbone:
    """The backbone whose features the head classifies, with the preprocessing of its cache.

    Raises:
        UsageError: neither the cache nor the request says which; a recorded file or run is not to be found.
        InputError: the head is of another cache, D differs, or the weights are not those of the cache.
    """
    manifest = None if cache is None or _is_foreign(head, cache, request) else cache.manifest
    record = {} if manifest is None else manifest.backbone
    preprocess = {} if manifest is None else manifest.preprocess
    backbone = load_backbone(
        **_named(record, cache, request),
        checkpoint_key=request.checkpoint_key,
        ignore_tensors=request.ignore_tensors,
        preprocess={name: preprocess.get(name) for name in _PREPROCESS},
        seed=request.seed,
    )
    if backbone.dim != head.dim:
        raise InputError(
            f"the head has D = {head.dim}, the features of {backbone.info['name']} have D = {backbone.dim}",
            where=head.path or head.name,
            hint=_GIVE,
        )
    recorded = record.get("weights_sha256", head.meta.get("backbone", {}).get("weights_sha256"))
    if recorded not in (None, backbone.info["weights_sha256"]):
        raise InputError(
            f"these weights of {backbone.info['name']} are not those that the features were made with",
            where=request.checkpoint or backbone.info["weights"],
            hint=_GIVE,
        )
    return backbone


def _is_foreign(head: Head, cache: FeatureCache, request: ExportRequest) -> bool:
    """Whether the head was fitted on another cache, whose body is not this one's record.

    Raises:
        InputError: it was, and no body is named.
    """
    fitted = head.meta.get("cache")
    if fitted in (None, cache.fingerprint):
        return False
    if request.backbone is not None:
        return True
    raise InputError(
        f"the head {head.path or head.name} was fitted on another cache",
        where=cache.path,
        hint="give the cache it was fitted on: cache=CACHE",
    )


def _named(record: Mapping[str, Any], cache: FeatureCache | None, request: ExportRequest) -> dict[str, Any]:
    """Name, checkpoint and arguments for `load_backbone`: as requested, else as recorded."""
    arguments = {**record.get("args", {}), **request.model_args}
    given = {"name": request.backbone, "checkpoint": request.checkpoint, "model_args": arguments}
    if request.backbone is not None:
        run = Path(request.backbone).is_dir()
        return {**given, "model_args": request.model_args if run else arguments}
    name, weights = record.get("name"), record.get("weights")
    if not isinstance(name, str) or not isinstance(weights, str):
        where = None if cache is None else cache.path
        raise UsageError("it is not known of which backbone the features are", where=where, hint=_GIVE)
    if isinstance(record.get("run"), str):
        folder = _find(Path("runs") / record["run"], cache)
        return {"name": str(folder), "checkpoint": request.checkpoint, "model_args": request.model_args}
    if weights in ("pretrained", "random") or request.checkpoint is not None:
        return {**given, "name": name, "pretrained": weights == "pretrained"}
    return {**given, "name": name, "checkpoint": _find(Path(weights), cache)}


def _find(path: Path, cache: FeatureCache | None) -> Path:
    """A run or a file that the cache recorded by its name, in the working folder or the cache's project."""
    folders = [Path(), *([] if cache is None else cache.path.resolve().parents[:2])]
    for folder in folders:
        if (folder / path).exists():
            return folder / path
    raise UsageError(f"the features are of {path}, which is not here", where="checkpoint", hint=_GIVE)
