"""Seeds by name: every draw has its own generator, and none is torch's or numpy's global one."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from numbers import Integral

import torch

from ltfix.errors import UsageError


def list_seeds(seeds: int | Sequence[int]) -> list[int]:
    """So many seeds from 0 on, or these (UsageError: none, one twice, or no whole number)."""
    found = range(int(seeds)) if isinstance(seeds, int | Integral) else list(seeds)
    if not all(isinstance(seed, Integral) for seed in found):
        raise UsageError(f"seeds are whole numbers, found {seeds!r}", where="seeds")
    if not found or len(set(found)) < len(found):
        raise UsageError("seeds must differ, and there must be one", where="seeds")
    return [int(seed) for seed in found]


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed for one use, independent of every other name's."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator for one use: draws are the same whatever device trains."""
    return torch.Generator().manual_seed(derive(seed, *names))


@contextlib.contextmanager
def seeded(seed: int, *names: object, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it.

    For code that knows no generator: a model's initialisation, dropout, torchvision's transforms.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        value = derive(seed, *names)
        torch.default_generator.manual_seed(value)
        if devices:
            with torch.cuda.device(devices[0]):
                torch.cuda.manual_seed(value)
        yield
