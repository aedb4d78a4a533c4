"""What the backbone computes in, and how many images at once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch

from ltfix.errors import UsageError, nearest

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# pixels and images of one batch; beyond it a CPU falls out of its cache and into the allocator
_BATCH = {"cuda": (256 * 224**2, 1024), "mps": (64 * 224**2, 256), "cpu": (16 * 224**2, 64)}


@dataclasses.dataclass(frozen=True, slots=True)
class Compute:
    """Where and in what the backbone computes.

    Attributes:
        device: torch's.
        precision: "fp32", "bf16" or "fp16".
    """

    device: torch.device
    precision: str

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """No gradients, autocast where the precision asks for it, and the same result every time.

        float32 means float32: TF32, which cuDNN would use by default, is off.
        """
        half = _TYPES.get(self.precision)
        autocast = torch.autocast(self.device.type, dtype=half, enabled=half is not None)
        matmul = torch.backends.cuda.matmul
        tf32 = matmul.allow_tf32
        matmul.allow_tf32 = False
        try:
            with (
                torch.inference_mode(),
                autocast,
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                ),
            ):
                yield
        finally:
            matmul.allow_tf32 = tf32


def resolve_precision(name: str, device: torch.device) -> str:
    """``auto`` is bf16 on a GPU that has it, else fp32.

    Raises:
        UsageError: unknown precision.
    """
    if name not in PRECISIONS:
        raise UsageError("unknown precision", where=name, hint=nearest(name, PRECISIONS))
    if name != "auto":
        return name
    has = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has else "fp32"


def default_batch_size(device: torch.device, image_size: int, views: int) -> int:
    """Images a batch: a power of two of about as many pixels on every image size."""
    pixels, most = _BATCH.get(device.type, _BATCH["cpu"])
    fit = max(1, min(most, pixels // image_size**2) // views)
    return 1 << (fit.bit_length() - 1)
