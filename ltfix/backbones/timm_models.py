"""timm's models, ltfix's CIFAR networks among them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import timm
import torch
from timm.models import load_model_config_from_hf
from torch import Tensor, nn

from ltfix import files
from ltfix.backbones import cifar, experts  # noqa: F401  cifar registers its networks
from ltfix.backbones.given import HUB, LOCAL
from ltfix.backbones.network import Network, as_linear, build, check_arguments, main_output
from ltfix.errors import InputError, UsageError, nearest

WEIGHTS = (".safetensors", ".bin", ".pth", ".tar")
logging.getLogger("timm").addHandler(logging.NullHandler())  # else Python prints its warnings


class TimmFeatures(nn.Module):
    """A timm model up to its pre-logits; of one that gives several, ``experts`` says which."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.experts = model, ""

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, D]."""
        model: Any = self.model  # timm's own methods, which nn.Module's types do not know
        found = model.forward_head(model.forward_features(images), pre_logits=True)
        features: Tensor = experts.chosen(found, self.experts) if self.experts else main_output(found)
        return features.flatten(1) if features.ndim == 4 and features.shape[2:] == (1, 1) else features


def open_timm(
    name: str, *, pretrained: bool, arguments: Mapping[str, Any], image_size: int | None, seed: int
) -> Network:
    """Build a timm model.

    Args:
        name: ``architecture`` or ``architecture.tag``.
        pretrained: load the tag's weights, else draw random ones from ``seed``.
        arguments: for the model's constructor.
        image_size: handed to models that are built for one size.

    Raises:
        UsageError: unknown model, tag or argument, or no pretrained weights exist.
        EnvironmentFault: the weights cannot be downloaded.
    """
    check_name(name, pretrained)
    fixed = image_size is not None and "img_size" not in arguments and _one_size(name, pretrained)
    chosen = {**arguments, "img_size": image_size} if fixed else dict(arguments)

    def create() -> Any:
        if pretrained and "cache_dir" not in chosen and "TIMM_USE_OLD_CACHE" not in os.environ:
            _demand_cached(name)
        return timm.create_model(name, pretrained=pretrained, **chosen)

    with _fail_fast() if pretrained else contextlib.nullcontext():
        model: Any = build(create, name, pretrained=pretrained, seed=seed)
    if not hasattr(model, "forward_head"):
        raise UsageError("this timm model is no image classifier", where=name)
    config = _config(model, arguments)
    classifier = _classifier(model, config)
    return Network(
        extractor=TimmFeatures(model),
        body=model,
        classifiers=_classifier_names(model, classifier, config),
        classifier=as_linear(classifier),
        logits=model,
        pretrained=pretrained,
        # asked for another K, timm leaves a random classifier on pretrained weights
        trained=pretrained and getattr(model, "num_classes", None) == config.get("num_classes"),
        config=config,
        name=name,
        arguments=chosen,
        adapt=functools.partial(_adapt, name, chosen),
    )


def _config(model: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """timm's ``pretrained_cfg``, for the image size that the constructor was given."""
    config = dict(model.pretrained_cfg)
    if "img_size" in arguments:
        side = arguments["img_size"]
        config["input_size"] = (3, *side) if isinstance(side, list | tuple) else (3, side, side)
    return config


def _adapt(
    name: str, arguments: Mapping[str, Any], state: dict[str, Tensor], n_classes: int
) -> dict[str, Tensor]:
    """A state dict as timm loads it into this model: resampled position embeddings, translated names."""
    overlay = {"source": "", "state_dict": state, "num_classes": n_classes, "label_offset": 0}
    with torch.random.fork_rng(devices=[]):
        model = timm.create_model(
            name,
            pretrained=True,
            pretrained_cfg_overlay={**overlay, "custom_load": False},
            **{**arguments, "num_classes": n_classes},
        )
    fitting: dict[str, Tensor] = model.state_dict()
    return fitting


def check_name(name: str, pretrained: bool) -> None:
    """Refuse names that timm lacks, or has no pretrained weights of (UsageError); the nearest are told."""
    if name.startswith(LOCAL):
        _folder_config(Path(name.removeprefix(LOCAL)))
    if name.startswith(HUB):
        return
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_models()
        owner, _, rest = name.rpartition("/")
        hint = f"timm's own name is {rest}; on the hub: hf-hub:{name}" if owner == "timm" else None
        raise UsageError("unknown model", where=name, hint=hint or nearest(architecture, known))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UsageError(f"{architecture} has no weights {tag!r}", where=name, hint=nearest(tag, tags))
    if pretrained and not timm.models.is_model_pretrained(name):
        hint = "give checkpoint=FILE, or pretrained=False"
        raise UsageError("the model has no pretrained weights", where=name, hint=hint)


def _one_size(name: str, pretrained: bool) -> bool:
    """Whether the model is built for one image size, and so takes another as an argument."""
    if name.startswith(HUB):
        with _fail_fast():
            config, architecture = build(lambda: _hub_config(name), name, pretrained=pretrained, seed=0)
        if config.get("fixed_input_size"):
            return True
        name = architecture  # exports do not always say it
    own = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(own is not None and own.fixed_input_size)


def _hub_config(name: str) -> tuple[dict[str, Any], str]:
    """The preprocessing and the architecture that a model of the hub or of a folder says it has."""
    if name.startswith(LOCAL):
        found = _folder_config(Path(name.removeprefix(LOCAL)))
        return found.get("pretrained_cfg", found), found["architecture"]
    config, architecture, arguments = load_model_config_from_hf(name.partition(":")[2])
    check_arguments(arguments or {})
    return config, architecture


def _folder_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a ``local-dir:``, whose weights are files.

    Raises:
        InputError: no such folder, a ``config.json`` that describes no model, or weights that are no file.
        UsageError: its arguments name files.
    """
    path = folder / "config.json"
    config = files.read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise InputError("it names no architecture", where=path)
    if not all(isinstance(config.get(key, {}), dict) for key in ("model_args", "pretrained_cfg")):
        raise InputError("model_args and pretrained_cfg must be objects", where=path)
    check_arguments(config.get("model_args", {}))
    for weights in sorted(folder.iterdir()):
        if weights.suffix in WEIGHTS:
            files.demand_regular(weights)
    return config


def _classifier(model: Any, config: Mapping[str, Any]) -> object:
    """A model's classifier, or several; within a head that pools too, the layer that classifies."""
    classifier = model.get_classifier()
    named = config.get("classifier")
    if isinstance(classifier, nn.Module) and isinstance(named, str):
        pools = "pre_logits" in inspect.signature(classifier.forward).parameters
        return dict(model.named_modules()).get(named, classifier) if pools else classifier
    return classifier


def _classifier_names(model: nn.Module, classifier: object, config: Mapping[str, Any]) -> tuple[str, ...]:
    ours = classifier if isinstance(classifier, tuple | list) else [classifier]
    found = [name for name, module in model.named_modules() if any(module is own for own in ours) and name]
    named = config.get("classifier") or ()
    return tuple(dict.fromkeys([*found, *([named] if isinstance(named, str) else named)]))


@contextlib.contextmanager
def _fail_fast() -> Iterator[None]:
    """Without a network the hub's client retries for most of a minute: then use its cache alone."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(urlsplit(constants.ENDPOINT).hostname)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _demand_cached(name: str) -> None:
    """Without a network, refuse weights that the hub's cache lacks before seconds go into building the model.

    Raises:
        LocalEntryNotFoundError: as the hub's client would after it.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    own = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if constants.HF_HUB_OFFLINE and own is not None and own.hf_hub_id and not own.file:
        folder = f"models--{own.hf_hub_id.partition('@')[0].replace('/', '--')}"
        if not (Path(constants.HF_HUB_CACHE) / folder).is_dir():
            raise LocalEntryNotFoundError("not in the cache")


def _reachable(host: str | None) -> bool:
    if host is None or urllib.request.getproxies():  # a proxy resolves names itself
        return True
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
