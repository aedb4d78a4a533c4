"""Where and in what torch computes: the device, the precision, the memory format and the threads."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from ltfix.errors import EnvironmentFault, UsageError, nearest
from ltfix.option import MOST_THREADS, check_device

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CPU_GROUPS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")  # the controller's names in version 1
Module = TypeVar("Module", bound=nn.Module)
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
# pixels and images of one batch; beyond it a CPU falls out of its cache and into the allocator
_LANES = 64
_BATCH = {"cuda": (256 * 224**2, 1024), "mps": (64 * 224**2, 256), "cpu": (16 * 224**2, 64)}


class _Rounding:
    """torch's setting that float32 matrices are multiplied in bfloat16: of the process, not of a thread."""

    def __init__(self) -> None:
        self.changed, self.inside, self.apart, self.before = threading.Condition(), 0, 0, ""

    @contextlib.contextmanager
    def rounded(self) -> Iterator[None]:
        """On while any thread is inside."""
        with self.changed:
            self.changed.wait_for(lambda: not self.apart)
            if not self.inside:
                self.before = torch.get_float32_matmul_precision()
                torch.set_float32_matmul_precision("medium")
            self.inside += 1
        try:
            yield
        finally:
            with self.changed:
                self.inside -= 1
                if not self.inside:
                    torch.set_float32_matmul_precision(self.before)
                self.changed.notify_all()

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """As it was: waits until no thread rounds, and lets none begin."""
        with self.changed:
            self.apart += 1
            self.changed.wait_for(lambda: not self.inside)
        try:
            yield
        finally:
            with self.changed:
                self.apart -= 1
                self.changed.notify_all()


_ROUNDING = _Rounding()


@dataclasses.dataclass(frozen=True, slots=True)
class Compute:
    """Where and in what a network or a head is run or trained.

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

    def place(self, module: Module) -> Module:
        """The module itself, moved to the device and laid out in the memory format."""
        return module.to(self.device).to(memory_format=self.memory_format)

    def autocast(self) -> torch.autocast:
        """The context of a forward pass in the precision."""
        half = _HALF.get(self.precision)
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)

    def scaler(self) -> GradScaler:
        """Loss scaling, which fp16 alone needs."""
        return GradScaler(self.device.type, enabled=self.precision == "fp16")

    @contextlib.contextmanager
    def reproducible(self) -> Iterator[None]:
        """The same result every time on one device; float32 means float32, without TF32."""
        if self.device.type == "cpu":  # several threads may be here, and these are the process's
            yield
            return
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

    def batch_type(self, like: torch.dtype) -> torch.dtype:
        """Of the batches that meet float32 weights in a matrix product; a CPU rounds them in the product."""
        return torch.bfloat16 if self.precision == "bf16" and self.device.type != "cpu" else like

    def products(self) -> AbstractContextManager[None]:
        """Products of float32 matrices in the precision: with bf16 a CPU rounds the factors, not the sums.

        A product that rounds while it reads is faster than one of rounded copies, most so with small batches,
        whose weights take longer to copy than to multiply. All threads are held off meanwhile that ask for
        :func:`exact_products`, so nothing may be waited for inside.
        """
        rounded = self.precision == "bf16" and self.device.type == "cpu"
        return _ROUNDING.rounded() if rounded else contextlib.nullcontext()

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """A reproducible forward pass in the precision, without gradients."""
        with torch.inference_mode(), self.autocast(), self.reproducible():
            yield


def exact_products() -> AbstractContextManager[None]:
    """Products of float32 matrices in float32, whatever other threads do."""
    return _ROUNDING.exact()


def choose_compute(
    device: torch.device,
    precision: str = "auto",
    *,
    channels_last: bool = False,
    emulated: bool = False,
    products: bool = False,
) -> Compute:
    """The record for a device and a precision; ``auto`` is bf16 on a GPU that has it, else fp32.

    Args:
        emulated: allow bf16 where the processor only emulates it, which is slower than fp32.
        products: it is for :meth:`Compute.products`, not for a network under :meth:`Compute.autocast`.

    Raises:
        UsageError: an unknown precision.
        EnvironmentFault: bf16 on a processor without it, or without such products.
    """
    if precision not in PRECISIONS:
        raise UsageError("unknown precision", where=precision, hint=nearest(precision, PRECISIONS))
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" and _has_bf16(device) else "fp32"
    if precision == "bf16" and products and device.type == "cpu":
        if not rounds_products():
            raise EnvironmentFault(
                "torch multiplies float32 matrices in float32 alone on this processor",
                where="precision=bf16",
                hint="use fp32, which gives the same here",
            )
    elif precision == "bf16" and not emulated and not _has_bf16(device):
        raise EnvironmentFault("this processor has no bfloat16", where="precision=bf16", hint="use fp32")
    return Compute(device, precision, channels_last)


@functools.cache
def rounds_products() -> bool:
    """Whether :meth:`Compute.products` in bf16 rounds on this machine's CPU, as a product tells.

    The processor's flags do not: oneDNN has the kernels for AMX, and none for avx512_bf16 alone.
    """
    factor = torch.full((1, 256, 256), 1 + 2**-10, dtype=torch.float32, device="cpu")  # 1 in bfloat16
    with _ROUNDING.rounded():
        return bool(torch.bmm(factor, factor)[0, 0, 0] == 256)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "mps" or _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """What the kernel says of an x86 processor's flags; an Arm one's feature is spelled the same."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def resolve_device(name: str) -> torch.device:
    """The device called ``auto`` (a GPU if there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or
    ``mps``.

    Raises:
        UsageError: another word.
        EnvironmentFault: this machine has no such device.
    """
    check_device(name)
    kind, _, number = name.partition(":")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= there:
        raise EnvironmentFault(
            f"there is no device {name}", where="device", hint="use device=auto or device=cpu"
        )
    return torch.device(name)


def widest(device: torch.device) -> torch.dtype:
    """What sums are kept in: float64, which an mps device has not."""
    return torch.float32 if device.type == "mps" else torch.float64


def use_threads(threads: int | None) -> None:
    """Compute with so many CPU threads; None: OMP_NUM_THREADS, else as many as there are processors for us.

    Raises:
        UsageError: more than any machine can start.
    """
    if threads is not None and threads > MOST_THREADS:
        raise UsageError(f"{threads} threads are more than {MOST_THREADS}", where="threads")
    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or min(available_cpus(), torch.get_num_threads()))


def available_cpus() -> int:
    """How many processors we may use: the affinity mask's, within the control group's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    most = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, math.ceil(min(most, _quota())))


def _quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """The processors that the kernel's control groups (version 1 or 2) leave us; infinite without a limit.

    The limits of all groups above count. In a container only the groups' root is seen, as its own.
    """
    least = math.inf
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return least
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", *CPU_GROUPS):
            continue
        inside = groups / controllers / path.lstrip("/")
        for group in (inside, *inside.parents):
            if group.is_relative_to(groups):
                least = min(least, _limit(group))
    return least


def _limit(group: Path) -> float:
    """Processors a control group has: microseconds of time in each period, over the period."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if quota != "max" and int(quota) > 0:
            return int(quota) / int(period)
    return math.inf


def default_batch_size(device: torch.device, image_size: int, views: int) -> int:
    """Images a batch: a power of two of about as many pixels on every image size."""
    pixels, most = _BATCH.get(device.type, _BATCH["cpu"])
    fit = max(1, min(most, pixels // image_size**2) // views)
    return 1 << (fit.bit_length() - 1)


def lanes(threads: int, images: int, image_size: int) -> int:
    """How many batches of so many images go side by side on a CPU, each with its share of the threads.

    One a thread, unless that would take more memory than 64 batches of the default size.
    """
    return max(1, min(threads, _LANES * _BATCH["cpu"][0] // (images * image_size**2)))
