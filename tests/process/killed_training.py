"""Kill a small training run at random moments and let it go on, until ten kills are done and it ends.

Children are forked from one process that has imported everything, so a round costs no start-up.

    python killed_training.py IMAGES OUT ROUNDS
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from ltfix.errors import UsageError
from ltfix.stage1.state import read_state
from ltfix.stage1.train import train_backbone


def train(images: str, out: Path, resume: bool) -> None:
    train_backbone(
        images,
        out=out,
        model_args={"depths": [1, 1], "widths": [4, 8]},
        preprocess={"image_size": 8},
        epochs=12,
        batch_size=8,
        device="cpu",
        threads=1,
        recipe="glmc",
        ema=0.9,
        resume=resume,
    )


def child(images: str, out: Path) -> int:
    """Train in a forked process, with ``resume`` once there is a checkpoint; returns its id."""
    resume = read_state(out) is not None
    pid = os.fork()
    if pid == 0:
        try:
            train(images, out, resume)
        except UsageError:  # it had ended before the kill came
            os._exit(0)
        except BaseException as err:
            print(f"failed: {err!r}", flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def epochs_done(out: Path) -> int:
    state = read_state(out)
    return 0 if state is None else state.epoch


def main(images: str, folder: str, rounds: int) -> int:
    whole, cut = Path(folder) / "whole", Path(folder) / "cut"
    began = time.monotonic()
    if os.waitpid(child(images, whole), 0)[1]:
        return 1
    seconds, done, rng = time.monotonic() - began, 0, random.Random(0)
    for _ in range(rounds):
        pid = child(images, cut)
        time.sleep(rng.uniform(0.0, 0.4) * seconds)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if epochs_done(cut) < done:
            print("an epoch that was done is lost")
            return 1
        done = epochs_done(cut)
        print(f"killed after epoch {done}", flush=True)
    if os.waitpid(child(images, cut), 0)[1]:
        return 1
    names = ("backbone.safetensors", "classifier.safetensors")
    same = all((whole / name).read_bytes() == (cut / name).read_bytes() for name in names)
    left = sorted(path.name for path in cut.iterdir() if path.name.startswith("."))
    print("same bytes" if same and not left else f"differs; left behind: {left}")
    return int(not same or bool(left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
