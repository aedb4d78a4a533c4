"""What the engine asks of a trainable head.

All shapes carry S seeds and M settings, which train side by side: weight [S, M, K, D], logits
[S, B, M, K], dz = B·∂L/∂z of the same shape. The engine calls ``logits`` and ``step`` in turn;
``folded`` and ``transform`` say what linear layer, of which transform of x, the head comes to.

Heads stand in ``linear.py`` and ``rows.py``, each named by its record in
``methods/catalog.py``. Each is made of weight [S, M, K, D] and bias [S, M, K], where each run
starts, with counts [K], the training samples per class, and with the values of each of the M settings;
what shapes the head (words, numbers of blocks) is taken from the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from ltfix.stage2.layers.sgd import Sgd


class Parametrisation(Protocol):
    """A trainable head for the engine."""

    def logits(self, x: Tensor) -> Tensor:
        """[S, B, M, K] of features [S, B, D]; keeps what :meth:`step` needs."""

    def step(self, x: Tensor, dz: Tensor, sgd: Sgd) -> None:
        """Pull ``dz`` back to the parameters and take one SGD step."""

    @property
    def transform(self) -> Mapping[str, Any] | None:
        """What is done to x before the linear layer, as a head file has it."""

    def folded(self) -> dict[str, Tensor]:
        """The head file's tensors that it comes to: weight, bias and its transform's, [S, M, ...] each."""
