"""What turns decoded pictures into logits: a head on the body of its cache, or an export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np

from ltfix.backbones.load import Backbone
from ltfix.backbones.preprocess import Preprocess
from ltfix.compute import Compute
from ltfix.errors import UsageError
from ltfix.exporting.opened import Exported
from ltfix.extraction.decode import DecodedBatch
from ltfix.extraction.forward import Forward
from ltfix.features.cache import FeatureCache
from ltfix.features.provenance import made_by
from ltfix.heads.head import Head
from ltfix.images.views import Views, parse_views

Answers = Iterator[tuple[DecodedBatch, np.ndarray | None]]


class Classifier(Protocol):
    """From pictures to logits.

    Attributes:
        preprocess: from a picture to its pixels. views: of every picture.
    """

    preprocess: Preprocess
    views: Views

    def over(self, batches: Iterable[DecodedBatch], size: int) -> Answers:
        """Every batch with its logits [B, K], None where no picture of it could be read.

        B is ``size`` at most.
        """


class HeadOnBody:
    """A head on its body; pictures have the views, and features the dtype, of its cache, else
    the views that the head knows.

    Args:
        head: the classifier. body: what makes its features. cache: of which both are, if it is known.
        compute: where the body is run, and in what.
    """

    def __init__(self, head: Head, body: Backbone, cache: FeatureCache | None, compute: Compute) -> None:
        manifest = None if cache is None else cache.manifest
        self.head, self.preprocess = head, body.preprocess
        views = (made_by(head) if manifest is None else manifest.preprocess).get("views", "center")
        self.views = parse_views(views).of_split("test")  # random ones are to train on
        self._dtype = "float32" if manifest is None else manifest.dtype
        self._forward = Forward(body, compute)

    def over(self, batches: Iterable[DecodedBatch], size: int) -> Answers:
        """See :class:`Classifier`; logits are the mean over the views, as in evaluation."""
        for batch, features in self._forward.over(batches, size, len(self.views)):
            if features is None:
                yield batch, None
                continue
            x = features.reshape(len(batch.index), len(self.views), -1).astype(self._dtype)
            if len(self.views) > 1:
                yield batch, self.head.mean_logits(x)
            else:  # in torch's threads: numpy's own would spin beside those that decode
                import torch

                yield batch, self.head.logits(torch.from_numpy(x[:, 0])).numpy()


class ExportOnPixels:
    """An export, opened as its users open it (UsageError: it takes features)."""

    def __init__(self, exported: Exported) -> None:
        if exported.preprocess is None:
            hint = "give a feature cache, or export the whole model"
            raise UsageError("the export takes features, not pictures", where=exported.path, hint=hint)
        self.exported, self.preprocess, self.views = exported, exported.preprocess, Views(("center",))

    def over(self, batches: Iterable[DecodedBatch], size: int) -> Answers:
        """See :class:`Classifier`."""
        for batch in batches:
            yield batch, None if batch.pixels is None else self.exported.logits(batch.pixels[:, 0])
