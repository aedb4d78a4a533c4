"""Where torch computes: ``--device`` and ``--threads``."""

from __future__ import annotations

from pathlib import Path

import torch

from ltfix.errors import EnvironmentFault, UsageError

MOST_THREADS = 4096


def resolve_device(name: str) -> torch.device:
    """The device called ``auto`` (a GPU if there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or
    ``mps``.

    Raises:
        UsageError: another word.
        EnvironmentFault: this machine has no such device.
    """
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(f"unknown device {name!r}", where="--device", hint="auto, cpu, cuda, cuda:N or mps")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= there:
        raise EnvironmentFault(
            f"there is no device {name}", where="--device", hint="use --device auto or cpu"
        )
    return torch.device(name)


def demand_bf16(device: torch.device) -> None:
    """Refuse bfloat16 where the processor only emulates it, which is slower than float32.

    Raises:
        EnvironmentFault: it does.
    """
    if device.type == "cuda":
        native = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:
        native = device.type == "mps" or _cpu_has_bf16()
    if not native:
        raise EnvironmentFault("this processor has no bfloat16", where="--precision bf16", hint="use fp32")


def _cpu_has_bf16() -> bool:
    """What the kernel says of an x86 processor's flags; an Arm one's feature is spelled the same."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def use_threads(threads: int | None) -> None:
    """Compute with so many CPU threads; None leaves torch's own choice.

    Raises:
        UsageError: more than any machine can start.
    """
    if threads is not None:
        if threads > MOST_THREADS:
            raise UsageError(f"{threads} threads are more than {MOST_THREADS}", where="--threads")
        torch.set_num_threads(threads)
