"""The residual network for tables: rows of numbers in, features out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from ltfix.backbones.network import Network, build
from ltfix.backbones.preprocess import Columns, Preprocess
from ltfix.errors import InputError, UsageError
from ltfix.images.numbers import numbers_of
from ltfix.images.split import Split

NAME = "mlp"


class ResidualLayer(nn.Module):
    """x + dropout(W₂ dropout(relu(W₁ bn(x)))) (Gorishniy et al. 2021, §3.2).

    Args:
        width: of input and output; 2·width within. drop_rate: of both dropouts.
    """

    def __init__(self, width: int, drop_rate: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.linear1, self.linear2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """[B, width] -> [B, width]."""
        y = F.dropout(F.relu(self.linear1(self.norm(x))), self.drop_rate, self.training)
        return x + F.dropout(self.linear2(y), self.drop_rate, self.training)


class ResidualMlp(nn.Module):
    """A linear layer, n residual layers, and a classifier on relu(bn(x)), the feature.

    Args:
        columns: names of the d columns that a row has. layers: n. width: D.
        num_classes: K; 0 is none. drop_rate: of the residual layers, in training.
    """

    def __init__(
        self,
        columns: Sequence[str],
        layers: int = 4,
        width: int = 256,
        num_classes: int = 2,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.first = nn.Linear(len(columns), width)
        self.layers = nn.Sequential(*(ResidualLayer(width, drop_rate) for _ in range(layers)))
        self.norm = nn.BatchNorm1d(width)
        self.fc = nn.Linear(width, num_classes) if num_classes else nn.Identity()

    def features(self, x: Tensor) -> Tensor:
        """[B, d] -> [B, D]."""
        return F.relu(self.norm(self.layers(self.first(x))))

    def forward(self, x: Tensor) -> Tensor:
        """[B, d] -> logits [B, K]."""
        logits: Tensor = self.fc(self.features(x))
        return logits


class _Features(nn.Module):
    """The same up to its feature."""

    def __init__(self, model: ResidualMlp) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """[B, d] -> [B, D]."""
        return self.model.features(x)


def open_mlp(*, pretrained: bool, arguments: Mapping[str, Any], seed: int) -> Network:
    """Build the network for a table (UsageError: other arguments, or pretrained weights)."""
    columns = arguments.get("columns")
    if columns is None:
        raise UsageError("it is trained on a table of numbers", where=NAME, hint="data=table:FILE")
    if pretrained:
        hint = "name the run folder that it was trained in"
        raise UsageError("the model has no pretrained weights", where=NAME, hint=hint)
    model = build(lambda: ResidualMlp(**arguments), NAME, pretrained=False, seed=seed)
    return Network(
        extractor=_Features(model),
        body=model,
        classifiers=("fc",),
        classifier=model.fc if isinstance(model.fc, nn.Linear) else None,
        logits=model,
        pretrained=False,
        trained=False,
        config={"columns": columns},
        name=NAME,
        arguments=arguments,
    )


def rows_for(split: Split, preprocess: Preprocess) -> np.ndarray | None:
    """The rows of a table as its network takes them, [N, d] float32; None for pictures and their networks.

    Raises:
        InputError: the one without the other, or a table with other columns.
    """
    table = numbers_of(split)
    if not isinstance(preprocess, Columns):
        if table is None:
            return None
        hint = "a run that was trained on a table takes them"
        raise InputError("rows of numbers are no pictures", where=split.root, hint=hint)
    if table is None:
        raise InputError("the network takes rows of numbers, not pictures", where=split.root)
    names, values = table
    if names != preprocess.columns:
        differ = f"{len(names)} columns, {names[0]} to {names[-1]}" if names else "no columns"
        ours = f"{len(preprocess.columns)}, {preprocess.columns[0]} to {preprocess.columns[-1]}"
        raise InputError(f"it has {differ}; the network takes {ours}, in its order", where=split.root)
    return preprocess.standardise(values)
