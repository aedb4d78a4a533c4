"""What one of two training processes does; started by torchrun.

    torchrun --nproc-per-node 2 two_processes.py IMAGES OUT

OUT/resumed holds a run that one process left after its first epoch; OUT/left is left so by two.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torch import distributed

from ltfix.errors import InputError, UsageError
from ltfix.stage1 import train
from ltfix.stage1.train import train_backbone

FORMER: dict[str, Any] = {  # layer norm, so the parts of a batch compute what the whole does
    "model": "vit_tiny_patch16_224",
    "model_args": {"patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2},
}
NORMED: dict[str, Any] = {"model_args": {"depths": [1, 1], "widths": [4, 8]}, "recipe": "glmc"}
COMMON: dict[str, Any] = {
    "preprocess": {"image_size": 8},
    "epochs": 2,
    "batch_size": 8,
    "lr": 0.05,
    "threads": 1,
    "device": "cpu",
}


class Interrupted(Exception):
    """Stands for a kill between two epochs."""


def leave_after_one_epoch(images: str, out: Path, options: dict[str, Any]) -> None:
    """Leave an unfinished run behind, in every process at the same place."""
    real = train.rate_at

    def rate_at(epoch: int, values: Any) -> float:
        if epoch == 1:
            raise Interrupted
        return real(epoch, values)

    train.rate_at = rate_at
    try:
        train_backbone(images, out=out, **options, **COMMON)
    except Interrupted:
        pass
    finally:
        train.rate_at = real


def say(what: str) -> None:
    """One write to a line: the processes share a pipe; unbuffered `print` writes the end of line apart."""
    sys.stdout.write(f"rank {distributed.get_rank()}: {what}\n")
    sys.stdout.flush()


def main(images: str, out: Path) -> None:
    distributed.init_process_group("gloo")
    train_backbone(images, out=out / "former", **FORMER, **COMMON)
    train_backbone(images, out=out / "parts", accumulate=2, **FORMER, **COMMON)
    train_backbone(images, out=out / "resumed", resume=True, **NORMED, **COMMON)
    leave_after_one_epoch(images, out / "left", NORMED)
    again = train_backbone(images, out=out / "former", **FORMER, **COMMON)
    say(f"finished already, {len(again.metrics)} epochs")
    try:
        train_backbone(images, out=out / "former", **FORMER, **{**COMMON, "lr": 0.1})
    except UsageError as err:
        say(err.what)
    try:
        train_backbone(images, out=out / "wild", **FORMER, **{**COMMON, "lr": 1e30, "momentum": 0.0})
    except InputError as err:
        say(err.what)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
