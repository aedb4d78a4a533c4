"""The moving average of a network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ltfix.backbones.layouts import put_state


class MovingAverage:
    """The exponential moving average of a network's weights and statistics, which is then what is kept.

    m ← d·m + (1 − d)·w after every update, with d = min(decay, (1 + t)/(10 + t)) at update t = 0, 1, …,
    so that the start is soon forgotten; whole numbers are copied.

    Args:
        network: starts as its copy.
        decay: d.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, t: int) -> None:
        """Take the network's weights in after update ``t``."""
        decay = min(self.decay, (1 + t) / (10 + t))
        for name, value in self.network.state_dict().items():
            mean = self.tensors[name]
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from an average of the same names."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network holds the average inside the block, and its own weights again after it."""
        own = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        put_state(self.network, self.tensors)
        try:
            yield
        finally:
            put_state(self.network, own)
