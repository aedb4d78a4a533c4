"""Time a training step of ltfix's engine beside the two matrix products it cannot avoid and autograd loops.

    python benchmarks/fit.py [--threads 2] [--device cpu] [--repeats 7] [--only K,D,B]

Below the table: bfloat16 products against float32, where there are such, and 16 runs at a time against one.

Everything runs interleaved in one process; a figure is the median over repeats of the mean step. The floor
is z = x Wᵀ and G = dzᵀ x. The engine's small steps take one thread, as in a fit; all else takes --threads.
The autograd loops are nn.Linear and SAMNLinear with F.cross_entropy and torch.optim.SGD. Ratios: engine
over floor (lower is better), loop over engine (higher is better).
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ltfix import SAMNLinear
from ltfix.compute import Compute, rounds_products
from ltfix.stage2.layers.sgd import Sgd
from ltfix.stage2.loop import engine
from ltfix.stage2.losses.loss import build_loss
from ltfix.stage2.methods.catalog import HEADS

SHAPES = ((100, 64, 64), (100, 256, 64), (100, 512, 64), (1000, 2048, 512), (8142, 2048, 512))
SAMN = {name: value.default for name, value in HEADS["samn"].values.items()}
BARS = {(100, 64, 64): (4.0, 8.0), (100, 256, 64): (3.0, 5.0), (100, 512, 64): (2.5, 4.0)}
LARGE_BAR = 1.25
Step = Callable[[int], object]
Contender = tuple[Step, Callable[[], AbstractContextManager[None]]]  # and how many threads it takes


def long_tail(k: int) -> torch.Tensor:
    """Counts from 500 down to 5."""
    return torch.from_numpy((500 * 0.01 ** (np.arange(k) / (k - 1))).astype(np.int64))


def steps(k: int, d: int, b: int, device: str) -> dict[str, Contender]:
    """One callable a contender; each takes the number of the batch."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(16, 1, b, d, generator=rng).abs().to(device)
    y = torch.randint(k, (16, 1, b), generator=rng).to(device)
    weight = (torch.randn(k, d, generator=rng) / d**0.5).to(device)
    bias = torch.zeros(k, device=device)
    counts = long_tail(k)

    z, dz, grad = weight.new_empty(b, k), weight.new_ones(b, k), torch.empty_like(weight)

    def floor(i: int) -> None:
        torch.mm(x[i, 0], weight.T, out=z)
        torch.mm(dz.T, x[i, 0], out=grad)

    def ours(name: str, runs: int = 1, precision: str = "fp32") -> Contender:
        values = [SAMN] * runs
        start = weight.expand(1, runs, k, d).contiguous(), bias.expand(1, runs, k).contiguous()
        head = HEADS[name].function(*start, counts.numpy(), values)
        loss = build_loss("ce", counts, [{}] * runs, device=device)
        compute = Compute(torch.device(device), precision)
        sgd, batches = Sgd(5e-4, 0.9), x.to(compute.batch_type(x.dtype))

        @contextlib.contextmanager
        def as_in_a_fit() -> Iterator[None]:
            with engine.threads_for(head, b), compute.products():
                yield

        return lambda i: engine.step(head, loss, batches[i], y[i], sgd), as_in_a_fit

    def autograd(module: nn.Module) -> Contender:
        module = module.to(device)
        solver = torch.optim.SGD(module.parameters(), lr=5e-4, momentum=0.9)

        def step(i: int) -> None:
            solver.zero_grad()
            F.cross_entropy(module(x[i, 0]), y[i, 0]).backward()
            solver.step()

        return step, contextlib.nullcontext

    linear = nn.Linear(d, k)
    more: dict[str, Contender] = {}
    if k * d > 1e5:
        if device != "cpu" or rounds_products():
            more = {f"{name} bf16": ours(name, precision="bf16") for name in ("linear", "samn")}
    elif d == 64:
        more = {f"{name} x16": ours(name, runs=16) for name in ("linear", "samn")}
    return {
        **more,
        "floor": (floor, contextlib.nullcontext),
        "linear": ours("linear"),
        "samn": ours("samn"),
        "linear loop": autograd(linear),
        "samn loop": autograd(SAMNLinear.from_linear(linear, counts)),
    }


def measure(contenders: dict[str, Contender], repeats: int, device: str) -> dict[str, float]:
    """Median seconds a step, contenders taking turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats + 1):
        for name, (step, threads) in contenders.items():
            with threads():
                step(0)
                n, began = 0, time.perf_counter()
                while n < 3 or (time.perf_counter() - began < 0.15 and n < 2000):
                    step(n % 16)
                    n += 1
                if device.startswith("cuda"):
                    torch.cuda.synchronize()
                times[name].append((time.perf_counter() - began) / n)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", help="one shape, K,D,B")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shapes = [tuple(map(int, args.only.split(",")))] if args.only else SHAPES
    print("(K, D, B)           floor µs  linear ×floor  loop/linear   samn ×floor (bar)   loop/samn (bar)")
    notes = []
    for shape in shapes:
        found = measure(steps(*shape, args.device), args.repeats, args.device)
        floor, linear, samn = found["floor"], found["linear"], found["samn"]
        over, faster = BARS.get(shape, (LARGE_BAR, None))
        bar = "" if faster is None else f" (≥ {faster:g})"
        print(
            f"{shape!s:18} {1e6 * floor:9.0f} {linear / floor:14.2f} {found['linear loop'] / linear:12.1f}"
            f" {samn / floor:13.2f} (≤ {over:g}) {found['samn loop'] / samn:12.1f}{bar}",
            flush=True,
        )
        for name in ("linear", "samn"):
            if f"{name} bf16" in found:
                notes.append(
                    f"{shape} {name}: bf16 is {found[name] / found[f'{name} bf16']:.2f}× as fast (bar 1.5)"
                )
            if f"{name} x16" in found:
                notes.append(
                    f"{shape} {name}: 16 runs cost {found[f'{name} x16'] / found[name]:.1f}× one (bar 6)"
                )
    print("\n".join(notes))


if __name__ == "__main__":
    main()
