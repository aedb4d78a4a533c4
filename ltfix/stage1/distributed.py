"""The processes of one training run, as ``torchrun`` starts them.

Every process computes a part of every batch; gradients are averaged, so an update is that of the whole
batch whatever the number of processes. Batch norm sees a process's own part, and its running statistics
are those of process 0, which alone writes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ltfix.compute import resolve_device
from ltfix.errors import LtfixError, UsageError
from ltfix.ranks import Ranks

T = TypeVar("T")


class Processes(Ranks):
    """Which of how many this process is, and what they do together; the first one writes and speaks."""

    def parts(self, step: slice, accumulate: int) -> list[slice]:
        """The positions of a batch that this process computes, in ``accumulate`` parts.

        All processes' parts are as equal as they can be and cover the batch in order.
        """
        pieces = split(step, self.size * accumulate)
        return pieces[self.rank * accumulate : (self.rank + 1) * accumulate]

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """A module whose gradients are averaged over the processes; for one process the module itself."""
        if self.size == 1:
            return module
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes, in place, and return it."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def by_first(self, act: Callable[[], T]) -> T:
        """Let process 0 act, and give its result, or the error that it raised, to every process."""
        if self.size == 1:
            return act()
        box: list[Any] = [None, None]
        if self.first:
            try:
                box[0] = act()
            except LtfixError as err:
                box[1] = err
        distributed.broadcast_object_list(box, 0)
        if box[1] is not None:
            raise box[1]
        result: T = box[0]
        return result


ALONE = Processes()


def split(step: slice, pieces: int) -> list[slice]:
    """Cut a slice into so many parts, whose lengths differ by at most one."""
    n = step.stop - step.start
    edges = [step.start + n * i // pieces for i in range(pieces + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


@contextlib.contextmanager
def joined(device: str) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that ``torchrun`` started together, and leave them at the end of the block.

    A process that was started alone stays alone. Gradients travel by NCCL between GPUs, by gloo between
    CPUs.

    Args:
        device: "auto", "cpu" or "cuda"; alone also "cuda:N" or "mps". Of several processes each gets a GPU
            of its own for "cuda" and, where there are GPUs, for "auto".

    Yields:
        Which process this is, and the device that it computes on.

    Raises:
        UsageError: several processes were given one device that they cannot share.
        EnvironmentFault: no such device.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size == 1:
        yield ALONE, resolve_device(device)
        return
    if ":" in device or device == "mps":
        raise UsageError(f"{size} processes cannot share {device}", where="device", hint="use auto or cpu")
    place = resolve_device(device)
    if place.type == "cuda":
        place = resolve_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(place)
    own = not distributed.is_initialized()
    if own:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, size), place
    finally:
        if own:
            distributed.destroy_process_group()
