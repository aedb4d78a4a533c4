"""The check before an export is published: the exported thing against ltfix's own logits."""

from __future__ import annotations

import contextlib

import numpy as np
import torch

from ltfix.errors import InputError
from ltfix.exporting.joined import Joined
from ltfix.exporting.opened import Exported
from ltfix.exporting.request import SAMPLES
from ltfix.images.split import Split

TOLERANCE = 1e-4
"""The largest difference of a logit, over the largest logit."""


def collect_probes(joined: Joined, pictures: Split | None, seed: int) -> tuple[np.ndarray, str]:
    """The pictures, 16 at most, or features of the cache; else noise.

    Returns:
        Crops [n, S, S, 3] uint8, or for a head alone features [n, D], and what they are in words.

    Raises:
        InputError: none of the pictures can be read.
    """
    rng, cache = np.random.default_rng(seed), joined.cache
    if joined.backbone is None:
        if cache is None:
            return rng.normal(size=(SAMPLES, joined.head.dim)).astype(np.float32), "noise"
        rows = np.arange(SAMPLES) * cache.n // SAMPLES
        return cache.rows(rows)[:, 0].astype(np.float32), f"{SAMPLES} features of the cache"
    if pictures is not None:
        return _crops(pictures, joined)
    side = joined.backbone.preprocess.image_size
    return rng.integers(0, 256, (SAMPLES, side, side, 3), np.uint8), "noise"


def _crops(pictures: Split, joined: Joined) -> tuple[np.ndarray, str]:
    crops = []
    for index in range(len(pictures)):
        with contextlib.suppress(InputError):  # one that cannot be read
            crops.append(joined.body().preprocess.crop(pictures.open(index)))
    if not crops:
        raise InputError("none of its pictures can be read", where=pictures.root)
    return np.stack(crops), f"{len(crops)} pictures of {pictures.root}"


def own_logits(joined: Joined, batch: np.ndarray) -> np.ndarray:
    """ltfix's logits [n, K] of crops or features, as evaluation computes them, in float32."""
    if joined.backbone is not None:
        with torch.inference_mode():
            images = joined.backbone.preprocess.normalize(torch.from_numpy(batch))
            batch = joined.backbone.features(images).float().numpy()
    found: np.ndarray = joined.head.logits(batch)
    return found


def check_difference(exported: Exported, batch: np.ndarray, own: np.ndarray) -> float:
    """The largest difference of logits [n, K] from ltfix's own, over the largest; InputError if too large."""
    found = np.concatenate([exported.logits(batch[:1]), exported.logits(batch[1:])])  # two batch sizes
    difference = float(np.abs(found - own).max() / max(np.abs(own).max(), 1e-12))
    if not difference <= TOLERANCE:  # NaN too
        raise InputError(
            f"the exported model's logits differ by {difference:.1e} from ltfix's, more than {TOLERANCE:.0e}",
            where=f"to={exported.format}",
            hint="nothing is written; another format may be able to express this model",
        )
    return difference
