"""ltfix.compute: what auto means, what a machine lacks, and that global switches come back."""

from __future__ import annotations

import contextlib
import math
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ltfix.compute import (
    Compute,
    _quota,
    available_cpus,
    choose_compute,
    default_batch_size,
    exact_products,
    lanes,
    resolve_device,
    rounds_products,
    use_threads,
    widest,
)
from ltfix.errors import EnvironmentFault, UsageError

CPU = torch.device("cpu")


def test_auto_is_float32_on_the_cpu():
    assert choose_compute(CPU, "auto", channels_last=True) == Compute(CPU, "fp32", True)
    assert choose_compute(CPU) == Compute(CPU, "fp32", False)


def test_unknown_and_emulated_precisions_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"unknown precision \(fp64\): did you mean fp16"):
        choose_compute(CPU, "fp64")
    monkeypatch.setattr("ltfix.compute._cpu_has_bf16", lambda: False)
    with pytest.raises(EnvironmentFault, match="no bfloat16"):
        choose_compute(CPU, "bf16")
    assert choose_compute(CPU, "bf16", emulated=True).precision == "bf16"


@pytest.mark.parametrize("rounds", [True, False])
def test_products_in_bfloat16_are_refused_where_none_are_made(monkeypatch: pytest.MonkeyPatch, rounds: bool):
    def bmm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if rounds and torch.get_float32_matmul_precision() == "medium":
            a, b = a.bfloat16().float(), b.bfloat16().float()
        return (a.double() @ b.double()).float()  # which no setting rounds

    monkeypatch.setattr("ltfix.compute._cpu_has_bf16", lambda: not rounds)  # the flags do not tell
    monkeypatch.setattr(torch, "bmm", bmm)
    monkeypatch.setattr("ltfix.compute.rounds_products", rounds_products.__wrapped__)
    before = torch.get_float32_matmul_precision()
    if rounds:
        assert choose_compute(CPU, "bf16", products=True) == Compute(CPU, "bf16")
    else:
        with pytest.raises(EnvironmentFault, match="in float32 alone on this processor"):
            choose_compute(CPU, "bf16", products=True)
    assert choose_compute(CPU, "fp32", products=True) == Compute(CPU)
    assert torch.get_float32_matmul_precision() == before


def test_devices_by_name():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        resolve_device("gpu")
    with pytest.raises(EnvironmentFault, match="there is no device cuda:99"):
        resolve_device("cuda:99")


def test_sums_are_as_wide_as_the_device_has_numbers():
    """mps, which only a Mac has, knows no float64: asked for it, torch fails there."""
    assert [widest(torch.device(kind)) for kind in ("cpu", "cuda", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]


def test_more_threads_than_any_machine_can_start_are_refused():
    with pytest.raises(UsageError, match="5000 threads"):
        use_threads(5000)


@pytest.mark.parametrize(
    ("precision", "dtype", "scaled"),
    [("fp32", torch.float32, False), ("bf16", torch.bfloat16, False), ("fp16", torch.float16, True)],
)
def test_the_forward_pass_is_in_its_precision(precision: str, dtype: torch.dtype, scaled: bool):
    compute = Compute(CPU, precision)
    with compute.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype
    assert compute.scaler().is_enabled() is scaled


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_module_is_placed_in_the_memory_format(channels_last: bool):
    convolution = nn.Conv2d(3, 4, 3)
    assert Compute(CPU, channels_last=channels_last).place(convolution) is convolution
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last) is channels_last


@given(st.sampled_from(["cpu", "cuda", "mps", "xpu"]), st.integers(1, 2000), st.integers(1, 64))
def test_batches_are_powers_of_two(kind: str, size: int, views: int):
    n = default_batch_size(torch.device(kind), size, views)
    assert n >= 1
    assert n & (n - 1) == 0
    assert n >= default_batch_size(torch.device(kind), size + 1, views)


@given(st.integers(1, 200), st.integers(1, 4096), st.integers(1, 1000))
def test_threads_share_what_memory_batches_may_take(threads: int, images: int, size: int):
    n = lanes(threads, images, size)
    assert 1 <= n <= threads
    assert n == 1 or n * images * size**2 <= 64 * 16 * 224**2
    batch = default_batch_size(CPU, size, 1)
    assert lanes(threads, batch, size) == threads or threads > 64 or size > 896


def test_inference_restores_what_it_sets():
    linear, x = torch.nn.Linear(3, 3), torch.rand(2, 3)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    with Compute(CPU, "bf16").inference():
        assert linear(x).dtype == torch.bfloat16
        assert not torch.is_grad_enabled()
    with Compute(CPU, "fp32").inference():
        assert linear(x).dtype == torch.float32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark) == before
    assert torch.is_grad_enabled()


def test_products_are_rounded_until_the_last_one_has_left():
    before = torch.get_float32_matmul_precision()
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    with Compute(CPU, "fp32").products():
        assert torch.get_float32_matmul_precision() == before
    for stack in (first, second):
        stack.enter_context(Compute(CPU, "bf16").products())
    first.close()
    assert torch.get_float32_matmul_precision() == "medium"
    second.close()
    assert torch.get_float32_matmul_precision() == before


def test_an_exact_product_waits_for_rounded_ones_and_holds_off_others():
    compute, found = Compute(CPU, "bf16"), []

    def exact() -> None:
        with exact_products():
            found.append(torch.get_float32_matmul_precision())
            later.append(pool.submit(rounded))

    def rounded() -> None:
        with compute.products():
            found.append(torch.get_float32_matmul_precision())

    later: list[Future[None]] = []
    before = torch.get_float32_matmul_precision()
    with ThreadPoolExecutor(2) as pool:
        with compute.products():
            waiting = pool.submit(exact)
            assert not wait([waiting], timeout=0.05).done and found == []
        waiting.result()
        later[0].result()
    assert found == [before, "medium"]
    assert torch.get_float32_matmul_precision() == before


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_quota_of_a_control_group_of_version_2(tmp_path: Path):
    write(tmp_path / "cgroup", "0::/jobs/mine\n")
    groups = tmp_path / "fs"
    assert _quota(groups, tmp_path / "cgroup") == math.inf
    write(groups / "jobs" / "mine" / "cpu.max", "max 100000\n")
    assert _quota(groups, tmp_path / "cgroup") == math.inf
    write(groups / "jobs" / "cpu.max", "150000 100000\n")
    assert _quota(groups, tmp_path / "cgroup") == 1.5


def test_the_quota_of_a_container_that_sees_its_group_as_the_root(tmp_path: Path):
    write(tmp_path / "cgroup", "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/\n")
    for name, value in (("quota", 200_000), ("period", 100_000)):
        write(tmp_path / "fs" / "cpu,cpuacct" / f"cpu.cfs_{name}_us", f"{value}\n")
    assert _quota(tmp_path / "fs", tmp_path / "cgroup") == 2.0
    write(tmp_path / "fs" / "cpu,cpuacct" / "cpu.cfs_quota_us", "-1\n")
    assert _quota(tmp_path / "fs", tmp_path / "cgroup") == math.inf


def test_threads_are_as_many_as_processors_for_us(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        use_threads(3)
        monkeypatch.setattr("ltfix.compute._quota", lambda: 0.5)
        assert available_cpus() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        use_threads(None)
        assert torch.get_num_threads() == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        use_threads(None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity masks")
def test_an_affinity_mask_is_heeded():
    def on_one() -> int:  # the mask is the thread's own
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return available_cpus()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(on_one).result() == 1
