"""From a backbone's name to a frozen network, its preprocessing and its stage-1 classifier."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from ltfix import runfile
from ltfix.backbones import experts as multi
from ltfix.backbones.checkpoint import Checkpoint, read_checkpoint
from ltfix.backbones.given import HUB, LOCAL, NOT_RUNS, PREFIX, is_run, open_run, refuse_file
from ltfix.backbones.layouts import Loaded, load_weights
from ltfix.backbones.network import Network, check_arguments, label_names, probe
from ltfix.backbones.opening import open_network, read_given
from ltfix.backbones.preprocess import (
    Columns,
    Preprocess,
    check_preprocess,
    refuse_pixels,
    resolve_preprocess,
)
from ltfix.errors import InputError, UsageError
from ltfix.heads.head import STAGE1, Head, load_head
from ltfix.records import record_of


@dataclasses.dataclass(slots=True, eq=False)
class Backbone:
    """A network that turns images into features, with the weights that it starts from or is used with.

    Attributes:
        model: normalised images [B, 3, S, S] to features [B, D]; in evaluation mode, and frozen unless it is
            to be trained.
        dim: D.
        head: the stage-1 classifier, its class names where they are known, or None.
        preprocess: from an image to the model's input.
        info: the manifest's ``backbone``: name, args, hash of the weights, versions.
        notes: what the user should know, one line each.
        network: what it was made of, for those who put a classifier back.
    """

    model: nn.Module
    dim: int
    head: Head | None
    preprocess: Preprocess
    info: dict[str, Any]
    notes: list[str]
    network: Network

    def features(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, S, S] to features [B, D]."""
        features: Tensor = self.model(images)
        return features


def load_backbone(
    name: str,
    *,
    checkpoint: Path | str | None = None,
    checkpoint_key: str | None = None,
    ignore_tensors: Sequence[str] = (),
    pretrained: bool = True,
    model_args: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
    experts: str | None = None,
    seed: int = 0,
) -> Backbone:
    """Load a backbone.

    Args:
        name: a timm name, ``torchvision:NAME``, or a run folder of train-backbone.
        checkpoint: safetensors or ``.pth`` to load instead of pretrained weights.
        checkpoint_key, ignore_tensors: where its state dict lies, and patterns of tensors to leave out.
        pretrained: without a checkpoint: the model's own weights (default) or random ones.
        model_args: for the model's constructor.
        preprocess: overrides: image_size, crop_pct, mean, std, interpolation (None: not given).
        experts: of a network of several: "mean" of their features, "concat" (default), or one, from "0".
        seed: of random weights.

    Raises:
        UsageError: unknown model, argument or expert; no pretrained weights exist.
        InputError: a checkpoint or run folder that is missing, torn or of another architecture.
        EnvironmentFault: pretrained weights cannot be downloaded.
    """
    overrides = {key: value for key, value in (preprocess or {}).items() if value is not None}
    arguments = dict(model_args or {})
    refuse_file(name)
    folder, shadow = _is_folder(name)
    if folder:
        if experts is not None:
            multi.check(experts, 1)
        backbone = _load_run(Path(name), checkpoint, arguments, overrides)
        backbone.notes += shadow
        return backbone
    loaded = read_given(checkpoint, checkpoint_key, ignore_tensors)
    notes = shadow + ([] if loaded is None else _check_architecture(loaded, name, arguments))

    def opened() -> Network:
        return open_network(name, pretrained and loaded is None, arguments, overrides, seed)

    network = opened()
    parts = [loaded] if loaded is None else multi.by_expert(loaded, network)
    if len(parts) == 1 and experts is not None:
        if not hasattr(network.extractor, "experts"):
            multi.check(experts, 1)
        network.extractor.experts = experts  # type: ignore[assignment]
    networks = [network, *(opened() for _ in parts[1:])]
    found = [
        assemble(name, each, part, arguments, overrides) for each, part in zip(networks, parts, strict=True)
    ]
    backbone = found[0] if len(found) == 1 else _joined(found, experts)
    if experts is not None:
        backbone.info["experts"] = experts
    backbone.notes[:0] = notes
    return backbone


def _joined(found: list[Backbone], experts: str | None) -> Backbone:
    """The backbones of a checkpoint's experts as one."""
    first, n = found[0], len(found)
    which = multi.check(experts, n)
    digests = "".join(each.info["weights_sha256"] for each in found).encode()
    notes = list(dict.fromkeys(note for each in found for note in each.notes))
    notes.append(f"{n} experts in {first.info['weights']}: {_TAKEN.get(which, f'number {which} is')} taken")
    return dataclasses.replace(
        first,
        model=multi.Experts([each.model for each in found], which),
        dim=first.dim * (n if which == "concat" else 1),
        head=multi.classifier([each.head for each in found], which),
        info={**first.info, "weights_sha256": hashlib.sha256(digests).hexdigest(), "experts": which},
        notes=notes,
    )


_TAKEN = {"mean": "the mean of their features is", "concat": "their features, side by side, are"}


def assemble(
    name: str,
    network: Network,
    loaded: Checkpoint | None,
    arguments: dict[str, Any],
    overrides: dict[str, Any],
    *,
    trains: bool = False,
) -> Backbone:
    """A network with its weights and preprocessing: frozen, with its own classifier, unless it ``trains``."""
    network.extractor.eval()
    read, metadata = Loaded(_own_classifier(network), []), dict[str, str]()
    if loaded is not None:
        read = load_weights(network.body, loaded, network.classifiers, network.adapt)
        metadata = dict(loaded.metadata)
    preprocess = resolve_preprocess(network.config, metadata, overrides, loaded.path if loaded else name)
    dim, linear = probe(network, preprocess.image_size)
    info = _info(name, network, loaded, arguments)
    backbone = Backbone(network.extractor, dim, None, preprocess, info, read.notes, network)
    if trains:
        return backbone
    backbone.model.requires_grad_(False)
    found = read.head
    if found is not None and linear and found[0].shape[1] == dim:
        names = None if loaded else label_names(network.config, len(found[0]))  # a checkpoint's are not known
        backbone.head = Head(_array(found[0]), _array(found[1]), STAGE1, names)
    elif found is not None:
        backbone.notes.append("its classifier is more than one linear layer on the feature and is left out")
    elif loaded is not None:
        backbone.notes.append("the checkpoint holds no classifier: the cache has no stage-1 head")
    return backbone


def _info(
    name: str, network: Network, loaded: Checkpoint | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    source = loaded.path.name if loaded is not None else "pretrained" if network.pretrained else "random"
    return {
        "name": LOCAL + Path(name.removeprefix(LOCAL)).name if name.startswith(LOCAL) else name,
        "args": arguments,
        "weights": source,
        "weights_sha256": hash_weights(network.body, network.classifiers),
        "timm": timm.__version__,
        "torch": torch.__version__,
    }


def hash_weights(body: nn.Module, classifiers: tuple[str, ...]) -> str:
    """SHA-256 over name, shape and float32 bytes of every tensor that features depend on."""
    digest = hashlib.sha256()
    outside = tuple(f"{name}." for name in classifiers)
    for name, value in sorted(body.state_dict().items()):
        if name.startswith(outside) or name.endswith(".num_batches_tracked"):
            continue
        digest.update(f"{name} {list(value.shape)}\n".encode())
        digest.update(_array(value).tobytes())
    return digest.hexdigest()


def _array(value: Tensor) -> np.ndarray:
    array: np.ndarray = value.detach().float().cpu().contiguous().numpy()
    return array


def _own_classifier(network: Network) -> tuple[Tensor, Tensor] | None:
    """Weight [K, D] and bias [K] of a trained classifier that came with the model's own weights."""
    linear = network.classifier
    if linear is None or not network.trained:
        return None
    return linear.weight, torch.zeros(linear.out_features) if linear.bias is None else linear.bias


def _check_architecture(loaded: Checkpoint, name: str, arguments: dict[str, Any]) -> list[str]:
    """Architectures can share every name and shape and still differ in padding: trust the file's word.

    Raises:
        InputError: the file says it is of another architecture, and no model_args bridge the two.
    """
    said = loaded.metadata.get("timm_model")
    if not said:
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            found = json.loads(loaded.metadata.get("pretrained_cfg", "{}")).get("architecture")
            said = None if found is None else str(found)
    ours = name.removeprefix(PREFIX).partition(".")[0]
    if said is None or said.partition(".")[0] == ours or name.startswith(HUB):
        return []
    what = f"the checkpoint says it is of {said}, not of {name}"
    if not arguments:
        raise InputError(
            what, where=loaded.path, hint=f"use backbone={said}, or bridge the two by model_args=…"
        )
    return [what]


def _is_folder(name: str) -> tuple[bool, list[str]]:
    """Whether a run folder is meant, and what to say where a model has the same name."""
    model = timm.is_model(name.partition(".")[0])
    if is_run(name):
        return True, [f"the run folder {name} is taken, not the model of that name"] if model else []
    if name.startswith(NOT_RUNS) or not Path(name).is_dir():
        return False, []
    told = f"the model {name} is taken, not the folder of that name, which is no run"
    return not model, [told] if model else []


def _load_run(
    folder: Path, checkpoint: Path | str | None, arguments: dict[str, Any], overrides: dict[str, Any]
) -> Backbone:
    """A run folder: its model, arguments, preprocessing, weights and the classifier it is tested with."""
    run = open_run(folder, checkpoint).content
    own, path = overrides, folder / runfile.NAME
    asked = bool(own or arguments)
    arguments, overrides = {**run["model_args"], **arguments}, {**run["preprocess"], **own}
    try:
        check_arguments(run["model_args"])
        kind = Columns if "columns" in run["preprocess"] else Preprocess
        if kind is Columns:
            refuse_pixels(own)
        check_preprocess(record_of(kind, run["preprocess"], path))
        network = open_network(run["model"], False, arguments, overrides, seed=0)
    except UsageError as err:
        if asked:
            raise
        raise InputError(f"the run's network cannot be built: {err.what}", where=path) from err
    weights = read_checkpoint(folder / runfile.BACKBONE)
    backbone = assemble(run["model"], network, weights, arguments, overrides)
    backbone.info["run"] = folder.resolve().name
    backbone.notes = []
    classifier = folder / runfile.CLASSIFIER
    if classifier.exists():
        classes = tuple(run["classes"]) if run.get("classes") else None
        backbone.head = dataclasses.replace(load_head(classifier), classes=classes)
    return backbone
