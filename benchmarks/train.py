"""Time an epoch of train-backbone beside a bare PyTorch loop of the same model, precision and memory format.

    python benchmarks/train.py [--model cifar_resnet32] [--precision fp32] [--threads 1] [--device cpu]

The bare loop trains on random tensors that lie on the device: forward, cross-entropy, backward, SGD, no data,
no counting. Ours augments real pixels of a resident set and keeps loss and accuracy. Both run in one process,
in turn, repeat after repeat; a figure is the median. Ratio: our images/s over the bare loop's (bar: 0.95).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from ltfix.backbones import augment
from ltfix.compute import Compute, choose_compute, resolve_device
from ltfix.progress import SILENT
from ltfix.stage1.loop import Trainer
from ltfix.stage1.objectives import build_objective
from ltfix.stage1.optimise import build_optimizer
from ltfix.stage1.recipes import find_recipe, resolve
from ltfix.stage1.request import TrainingRequest
from ltfix.stage1.streams import Normaliser, ResidentImages
from ltfix.stage1.trainee import TrainingStart, build_start

BAR = 0.95
K = 100


def build(model: str) -> TrainingStart:
    """The network of recipe ce, as a run would start from it."""
    return build_start(TrainingRequest(data="", out="", model=model), find_recipe("ce"), K)


def ours(model: str, steps: int, values: dict, compute: Compute) -> Callable[[], float]:
    """A call trains one epoch and returns its seconds."""
    start = build(model)
    size, n = start.preprocess.image_size, steps * values["batch_size"]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, 3, size, size), np.uint8)
    labels = rng.integers(0, K, n)
    trainee = compute.place(start.trainee)
    normalise = Normaliser(start.preprocess, compute)
    counts = np.bincount(labels, minlength=K)
    trainer = Trainer(
        trainee=trainee,
        optimizer=build_optimizer(trainee, values),
        objective=build_objective(find_recipe("ce"), values, counts, compute.device),
        images=ResidentImages(pixels, labels, augment.CropFlip(4, True), normalise),
        labels=labels,
        n_classes=K,
        values={**values, "epochs": 1},
        seed=0,
        compute=compute,
    )
    return lambda: trainer.epoch(0, values["lr"], SILENT).seconds


def bare(model: str, steps: int, values: dict, compute: Compute) -> Callable[[], float]:
    """The same without data, as one would write it by hand."""
    start = build(model)
    size, batch = start.preprocess.image_size, values["batch_size"]
    network = compute.place(start.trainee).train()
    images = torch.randn(batch, 3, size, size, device=compute.device)
    images = images.contiguous(memory_format=compute.memory_format)
    labels = torch.randint(0, K, (batch,), device=compute.device)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=values["lr"], momentum=0.9, weight_decay=values["weight_decay"]
    )
    scaler = compute.scaler()

    def epoch() -> float:
        began = time.perf_counter()
        with compute.reproducible():
            for _ in range(steps):
                optimizer.zero_grad(set_to_none=True)
                with compute.autocast():
                    loss = F.cross_entropy(network.heads["fc"](network.extractor(images)), labels)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            if compute.device.type == "cuda":
                torch.cuda.synchronize()
        return time.perf_counter() - began

    return epoch


def main() -> None:
    """Measure and print one line a precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cifar_resnet32")
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8, help="batches an epoch")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = resolve_device(given.device)
    values = resolve(find_recipe("ce"), "cifar", {"batch_size": given.batch_size, "lr": 1e-4})
    print(f"{given.model}, batches of {given.batch_size}, {device}, threads {given.threads}")
    for precision in given.precision.split(","):
        compute = choose_compute(device, precision, channels_last=values["channels_last"])
        contenders = [make(given.model, given.steps, values, compute) for make in (ours, bare)]
        for contender in contenders:
            contender()
        seconds = [[contender() for contender in contenders] for _ in range(given.repeats)]
        images = given.steps * given.batch_size
        mine, theirs = (images / statistics.median(column) for column in zip(*seconds, strict=True))
        ratio = statistics.median(theirs / mine for mine, theirs in seconds)
        print(f"{precision:5} ours {mine:8.1f} images/s, bare {theirs:8.1f}, ratio {ratio:.3f} (bar {BAR})")


if __name__ == "__main__":
    main()
