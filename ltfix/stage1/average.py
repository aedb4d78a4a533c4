"""How a step is computed: precision, memory format, reproducibility, and the average of weights."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ltfix.compute import resolve_precision
from ltfix.device import demand_bf16

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True, slots=True)
class Compute:
    """Where and in what a network is trained.

    Attributes:
        device: torch's.
        precision: "fp32", "bf16" or "fp16"; weights and their updates are float32 in all three.
        channels_last: memory format of images and convolutions.
    """

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and convolutions."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """The forward pass's context."""
        half = _TYPES.get(self.precision)
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)

    def scaler(self) -> GradScaler:
        """Loss scaling, which fp16 alone needs."""
        return GradScaler(self.device.type, enabled=self.precision == "fp16")

    @contextlib.contextmanager
    def reproducible(self) -> Iterator[None]:
        """The same result every time on one device; float32 means float32, without TF32."""
        matmul = torch.backends.cuda.matmul
        tf32 = matmul.allow_tf32
        matmul.allow_tf32 = False
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                yield
        finally:
            matmul.allow_tf32 = tf32


def choose_compute(device: torch.device, precision: str, channels_last: bool) -> Compute:
    """Resolve ``auto``: bf16 on a GPU that has it, else fp32.

    Raises:
        UsageError: an unknown precision.
        EnvironmentFault: bf16 on a processor that only emulates it.
    """
    found = resolve_precision(precision, device)
    if found == "bf16":
        demand_bf16(device)
    return Compute(device, found, channels_last)


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
        self.network.load_state_dict(self.tensors)
        try:
            yield
        finally:
            self.network.load_state_dict(own)
