"""What the model libraries have in common: a network as a map from images to features."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ltfix.backbones.given import LOCAL
from ltfix.backbones.layouts import Adapt
from ltfix.errors import EnvironmentFault, InputError, LtfixError, UsageError

Built = TypeVar("Built")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A model before its checkpoint.

    Attributes:
        extractor: images [B, 3, S, S] to features [B, D].
        body: the module whose names a checkpoint has.
        classifiers: names of the classifier modules within ``body``.
        classifier: what follows the feature, or None where that is not one nn.Linear.
        logits: images to logits [B, K], to check that the classifier is all that follows.
        pretrained: whether the body holds pretrained weights.
        trained: whether ``classifier`` does.
        config: preprocessing as timm's ``pretrained_cfg`` has it.
        name, arguments: what the library's constructor was given.
        adapt: the library's own way to make a state dict fit that does not; see ``load_weights``.
    """

    extractor: nn.Module
    body: nn.Module
    classifiers: tuple[str, ...]
    classifier: nn.Linear | None
    logits: Callable[[Tensor], Tensor]
    pretrained: bool
    trained: bool
    config: dict[str, Any]
    name: str = ""
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    adapt: Adapt | None = None


_FILES = re.compile(r"(^|_)(file|path|dir|url|weights)$")
_STEERING = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_filter_fn", "pretrained_model_args",
    "pretrained_strict", "kwargs_filter", "model_name", "scriptable", "exportable", "no_jit", "features_only",
    "feature_cfg", "feature_cls", "out_indices", "weights_backbone",
}  # fmt: skip
MOST_CLASSES = 1_000_000


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of a model's constructor that name a file or say how weights are loaded.

    What is read is decided by ``checkpoint`` and ``pretrained`` alone, so that no argument, and no file that
    holds arguments, makes a library open or unpickle another.

    Raises:
        UsageError: naming the argument; or a number of classes that no classifier has.
    """
    for name, value in arguments.items():
        if name in _STEERING or _FILES.search(name):
            what = f"{name} is not taken: it names a file, or steers how the model is made"
            raise UsageError(what, where="model_arg", hint="weights come from checkpoint=FILE")
        if name == "num_classes" and not (
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_CLASSES
        ):
            what = f"num_classes must be a whole number from 0 to {MOST_CLASSES}"
            raise UsageError(what, where="model_arg")


def as_linear(module: object) -> nn.Linear | None:
    """A linear layer, or a 1×1 convolution as the linear layer that it is on pooled features; else None."""
    if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1:
        shape = module.in_channels, module.out_channels
        linear = nn.Linear(*shape, bias=module.bias is not None, device="meta")
        linear.weight = nn.Parameter(module.weight.detach().flatten(1))
        if module.bias is not None:
            linear.bias = nn.Parameter(module.bias.detach())
        return linear
    return module if isinstance(module, nn.Linear) else None


def label_names(config: Mapping[str, Any], n_classes: int | None) -> tuple[str, ...] | None:
    """The names of a model's K classes, as timm's ``label_names`` has them by row, or None."""
    names = config.get("label_names")
    if isinstance(names, dict):  # number: name, in JSON a text
        names = [names[key] for key in sorted(names, key=lambda key: (len(str(key)), str(key)))]
    if not isinstance(names, list | tuple) or len(names) != n_classes:
        return None
    return tuple(map(str, names))


def main_output(outputs: Any) -> Any:
    """The first of a model's outputs where there are several: auxiliary classifiers follow the main one."""
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


def build(create: Callable[[], Built], name: str, *, pretrained: bool, seed: int) -> Built:
    """Run a library's constructor with a seed of its own and turn what it raises into one clear line.

    Raises:
        UsageError: an argument that the model does not take.
        InputError: pretrained weights that do not fit the model.
        EnvironmentFault: pretrained weights that cannot be had.
    """
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            torch.default_generator.manual_seed(seed)
            return create()
    except (LtfixError, MemoryError):
        raise
    except Exception as err:  # hub, http and file errors of several libraries, and the models' own
        raise _explain(err, name, pretrained) from err


def _explain(err: Exception, name: str, pretrained: bool) -> LtfixError:
    said = " ".join(str(err).split())[:160] or type(err).__name__
    wrong = isinstance(err, TypeError | AssertionError | KeyError | NotImplementedError | ValueError)
    if not pretrained or (wrong and not isinstance(err, OSError)):
        return UsageError(f"the model cannot be built: {said}", where=name, hint="see model_args=…")
    if name.startswith(LOCAL):
        return InputError(f"its weights cannot be read, or do not fit: {said}", where=name)
    if "loading state_dict" in str(err):
        return InputError(f"its pretrained weights do not fit: {said}", where=name, hint="see model_args=…")
    if type(err).__name__ == "LocalEntryNotFoundError":  # the hub client's, in three sentences
        said = "no connection, and they are not in the local cache"
    hint = "give checkpoint=FILE, or pretrained=False for random ones"
    return EnvironmentFault(f"its pretrained weights could not be downloaded: {said}", where=name, hint=hint)


@torch.inference_mode()
def probe(network: Network, image_size: int) -> tuple[int, bool]:
    """Send one grey image through: D, and whether the classifier alone turns features into logits.

    Raises:
        InputError: the model does not take images of this size, or its features are no vectors.
    """
    columns = network.config.get("columns")
    shape = (1, 3, image_size, image_size) if columns is None else (1, len(columns))
    image = torch.full(shape, 0.1)
    try:
        features = network.extractor(image)
    except LtfixError:
        raise
    except Exception as err:  # shape errors of every kind
        said = " ".join(str(err).split())[:160]
        raise InputError(f"the model fails on images of {image_size} × {image_size} pixels: {said}") from err
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise InputError("the model does not give one feature vector an image")
    linear = network.classifier
    if linear is None or linear.in_features != features.shape[1]:
        return features.shape[1], False
    expected, found = network.logits(image).flatten(1), linear(features)
    same = expected.shape == found.shape and torch.allclose(expected, found, rtol=1e-3, atol=1e-3)
    return features.shape[1], bool(same)
