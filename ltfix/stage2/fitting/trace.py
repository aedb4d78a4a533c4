"""What happens while heads are fitted: loss, accuracies and row norms, at the start and after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ltfix import files
from ltfix.evaluation.metrics import shot_accuracy
from ltfix.evaluation.scores import shot_means
from ltfix.evaluation.shots import group
from ltfix.stage2.fitting.context import Material
from ltfix.stage2.fitting.runs import AfterEpoch

FORMAT = "ltfix-trace/1"


class Trace:
    """Collects a line an epoch and seed while a :class:`~ltfix.stage2.fitting.runs.Fitter` is watched.

    Attributes:
        lines: ``seed``, ``epoch`` (0: the start), ``loss`` (the method's own, on up to 512 training samples),
            ``row_norm`` by shot and ``class_norm`` [K], and ``val``, accuracies as fractions, where there is
            a validation cache.
    """

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def add(self, epoch: AfterEpoch, material: Material, seeds: Sequence[int]) -> None:
        """The lines of one epoch, of the first setting of every seed."""
        losses = epoch.loss()[:, 0].tolist()
        for seed, heads, loss in zip(seeds, epoch.heads, losses, strict=True):
            shots = group(material.data.counts).of
            norms = np.linalg.norm(heads[0].weight.astype(np.float64), axis=1)
            line = {"format": FORMAT, "seed": seed, "epoch": epoch.done, "loss": loss}
            line["row_norm"] = shot_means(norms, shots)
            line["class_norm"] = [round(norm, 6) for norm in norms.tolist()]
            if material.held is not None:
                fold = material.folds()[0]
                line["val"] = shot_accuracy(fold.predict(heads[0]), fold.held.labels, material.data.counts)
            self.lines.append(line)

    def pack(self) -> bytes:
        """The bytes of a file of JSON lines."""
        return "".join(f"{files.to_json(line)}\n" for line in self.lines).encode()
