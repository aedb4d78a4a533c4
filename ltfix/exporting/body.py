"""The body that a head belongs to: what its cache recorded, or what was named, and never another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix.backbones.given import LOCAL, demand_backbone
from ltfix.errors import InputError, UsageError
from ltfix.exporting.request import BodyRequest
from ltfix.features.cache import FeatureCache
from ltfix.features.provenance import PIXELS, made_by
from ltfix.heads.head import Head
from ltfix.records import record_of

if TYPE_CHECKING:
    from ltfix.backbones.load import Backbone

_GIVE = "name the body with backbone=…, and its weights with checkpoint=FILE"


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedBody:
    """What a manifest or a stage-1 head says of its backbone; see ``Backbone.info``."""

    name: str | None = None
    args: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: str | None = None
    weights_sha256: str | None = None
    run: str | None = None
    experts: str | None = None


def load_body(head: Head, cache: FeatureCache | None, request: BodyRequest) -> Backbone:
    """The backbone whose features the head classifies, with the preprocessing of its cache.

    Args:
        cache: as :func:`own_cache` gives it.

    Raises:
        UsageError: neither the cache nor the request says which.
        InputError: a recorded file or run is not to be found, D differs, or the weights are not those of the
            cache or the head.
    """
    where = head.path or head.name
    made = made_by(head)  # all but the body's name, which a stage-1 head alone has
    own = record_of(RecordedBody, {**made, **head.meta.get("backbone", {})}, where)
    manifest = None if cache is None else cache.manifest
    record = own if manifest is None else record_of(RecordedBody, manifest.backbone, cache)
    preprocess = made if manifest is None else manifest.preprocess
    named, key, ignore = _named(record, cache, request), request.checkpoint_key, request.ignore_tensors
    demand_backbone(named["name"], named["checkpoint"], key, ignore)

    from ltfix.backbones.load import load_backbone
    from ltfix.backbones.preprocess import Columns

    backbone = load_backbone(
        **named,
        checkpoint_key=key,
        ignore_tensors=ignore,
        experts=record.experts,
        preprocess={name: preprocess.get(name) for name in PIXELS},
        seed=request.seed,
    )
    if isinstance(backbone.preprocess, Columns):
        what = "the head is of a table's network, which takes no pictures"
        raise InputError(what, where=where, hint="ltfix predict takes a cache of its rows")
    name, found = backbone.info["name"], backbone.info["weights_sha256"]
    if backbone.dim != head.dim:
        told = f"the head has D = {head.dim}, the features of {name} have D = {backbone.dim}"
        raise InputError(told, where=where, hint=_GIVE)
    if any(known.weights_sha256 not in (None, found) for known in (own, record)):
        told = f"these weights of {name} are not those that the features were made with"
        raise InputError(told, where=request.checkpoint or backbone.info["weights"], hint=_GIVE)
    return backbone


def own_cache(
    head: Head, cache: FeatureCache | None, request: BodyRequest, *, alone: bool = False
) -> FeatureCache | None:
    """The cache, unless the head was fitted on another one that was not made alike: then it tells nothing of
    the head's body.

    Args:
        alone: the head needs no body.

    Raises:
        InputError: it was, and no body is named.
    """
    if cache is None or head.meta.get("cache") in (None, cache.identity):
        return cache
    made = made_by(head)
    if made.get("weights_sha256") is not None and made == made_by(cache) and not alone:
        return cache
    if alone or request.backbone is not None:
        return None
    told = f"the head {head.path or head.name} was not fitted on these features"
    hint = f"name those that it was, cache=CACHE; where they are gone, {_GIVE}"
    raise InputError(told, where=cache.path, hint=hint)


def _named(record: RecordedBody, cache: FeatureCache | None, request: BodyRequest) -> dict[str, Any]:
    """Name, checkpoint and arguments for `load_backbone`: as requested, else as recorded."""
    where, run = None if cache is None else cache.path, None
    if record.run is not None and request.backbone is None:
        run = _find("backbone=", f"runs/{record.run}", where, request)
    name = request.backbone or (record.name if run is None else str(run))
    if name is not None and name.startswith(LOCAL) and request.backbone is None:
        name = f"{LOCAL}{_find(f'backbone={LOCAL}', name.removeprefix(LOCAL), where, request)}"
    if name is None:
        first = "name the features that the head was fitted on, cache=CACHE; or " if cache is None else ""
        told = "it is not known of which backbone the features are"
        raise UsageError(told, where=where, hint=first + _GIVE)
    arguments = {**record.args, **request.model_args}
    named: dict[str, Any] = {"name": name, "model_args": arguments, "checkpoint": request.checkpoint}
    if request.backbone is None and run is None and request.checkpoint is None:
        if record.weights not in (None, "pretrained", "random"):
            named["checkpoint"] = _find("checkpoint=", str(record.weights), where, request)
        named["pretrained"] = record.weights != "random"
    return {"pretrained": request.pretrained, **named}


def _find(option: str, path: str, cache: Path | None, request: BodyRequest) -> Path:
    """What the cache recorded by name: where it is said, here, in or by the project (else InputError)."""
    folders = [Path(), *([] if cache is None else cache.resolve().parents[:3])]
    said = [Path(str(one).removeprefix(LOCAL)) for one in request.said]
    name = Path(path).name
    for place in (*(one for one in said if one.name == name), *(folder / path for folder in folders)):
        if place.exists():
            return place
    told = f"the features are of {path}, which is not here"
    raise InputError(told, where=cache, hint=f"say where it is: {option}DIR/{name}")
