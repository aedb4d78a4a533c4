"""What the model libraries have in common: a network as a map from images to features."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ltfix.errors import EnvironmentFault, InputError, LtfixError, UsageError


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
    """

    extractor: nn.Module
    body: nn.Module
    classifiers: tuple[str, ...]
    classifier: nn.Linear | None
    logits: Callable[[Tensor], Tensor]
    pretrained: bool
    trained: bool
    config: dict[str, Any]


def build(create: Callable[[], nn.Module], name: str, *, pretrained: bool, seed: int) -> nn.Module:
    """Run a library's constructor with a seed of its own and turn what it raises into one clear line.

    Raises:
        UsageError: an argument that the model does not take.
        InputError: pretrained weights that do not fit the model.
        EnvironmentFault: pretrained weights that cannot be had.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return create()
    except (LtfixError, MemoryError):
        raise
    except Exception as err:  # hub, http and file errors of several libraries, and the models' own
        raise _explain(err, name, pretrained) from err


def _explain(err: Exception, name: str, pretrained: bool) -> LtfixError:
    said = " ".join(str(err).split())[:160] or type(err).__name__
    if isinstance(err, TypeError | AssertionError | KeyError | NotImplementedError) or not pretrained:
        return UsageError(f"the model cannot be built: {said}", where=name, hint="see model_args=…")
    if "loading state_dict" in str(err):
        return InputError(f"its pretrained weights do not fit: {said}", where=name, hint="see model_args=…")
    if type(err).__name__ == "LocalEntryNotFoundError":  # the hub client's, in three sentences
        said = "no connection, and they are not in the local cache"
    return EnvironmentFault(
        f"its pretrained weights could not be downloaded: {said}",
        where=name,
        hint="give checkpoint=FILE, or pretrained=False for random ones",
    )


@torch.inference_mode()
def probe(network: Network, image_size: int) -> tuple[int, bool]:
    """Send one grey image through: D, and whether the classifier alone turns features into logits.

    Raises:
        InputError: the model does not take images of this size, or its features are no vectors.
    """
    image = torch.full((1, 3, image_size, image_size), 0.1)
    try:
        features = network.extractor(image)
    except Exception as err:  # shape errors of every kind
        said = " ".join(str(err).split())[:160]
        raise InputError(f"the model fails on images of {image_size} × {image_size} pixels: {said}") from err
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise InputError("the model does not give one feature vector an image")
    linear = network.classifier
    if linear is None or linear.in_features != features.shape[1]:
        return features.shape[1], False
    expected, found = network.logits(image), linear(features)
    same = expected.shape == found.shape and torch.allclose(expected, found, rtol=1e-3, atol=1e-3)
    return features.shape[1], bool(same)


def freeze(module: nn.Module) -> None:
    """Evaluation mode and no gradients: batch-norm statistics and weights stay as they are."""
    module.eval().requires_grad_(False)
