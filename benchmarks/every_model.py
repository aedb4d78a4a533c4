"""Train every registered classifier of timm and torchvision for one step, and read it back.

    python benchmarks/every_model.py OUT.jsonl [--sample] [--seconds 120] [--only PATTERN]

Each model is tried at the smallest of ``SIZES`` that it takes, in a process of its own with a time limit:
one epoch of one batch of four pictures by ``ltfix.train_backbone``, then ``load_backbone`` of the run folder.
A line a model goes to OUT.jsonl, and models that have a line are not tried again, so the script can be
stopped. ``--sample`` takes the smallest model of each timm module and all of torchvision's. ``--table``
prints the counts for the docs.

A model may be refused in one line; what must not happen is an error of another kind, which would be exit 70.
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from PIL import Image

from ltfix.backbones import cifar  # noqa: F401  registers its networks
from ltfix.backbones.load import load_backbone
from ltfix.errors import LtfixError
from ltfix.stage1.train import train_backbone

SIZES = (32, 64, 96, 128, 160, 192, 224, 256)
MEMORY = 16 << 30  # bytes of address space for one model
# how small versions are called, smallest first
SMALL = (
    "test_", "atto", "zepto", "femto", "pico", "nano", "xxs", "_005", "_002", "micro", "xxtiny", "xtiny",
    "tiny", "_t0", "_s0", "_m0", "_b0", "_a0", "_050", "_s", "mini", "18", "small", "26", "_xs", "_t", "_b",
    "50",
)  # fmt: skip


def names(sample: bool) -> list[str]:
    """The models to try, small ones first as far as their names tell, torchvision's after timm's."""
    tv = [f"torchvision:{name}" for name in torchvision.models.list_models(module=torchvision.models)]
    every = sorted(timm.list_models(), key=_size)
    if not sample:
        return every + tv
    by_module = collections.defaultdict(list)
    for name in every:
        by_module[timm.models._registry._model_to_module[name]].append(name)
    return [min(found, key=_size) for found in by_module.values()] + tv


def _size(name: str) -> tuple[int, int, str]:
    rank = next((at for at, word in enumerate(SMALL) if word in name), len(SMALL))
    return rank, len(name), name


def pictures(folder: Path) -> None:
    """Two classes of two pictures."""
    for k in range(2):
        (folder / "train" / f"c{k}").mkdir(parents=True)
        for i in range(2):
            pixels = np.random.default_rng(2 * k + i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "train" / f"c{k}" / f"{i}.png")


def own_size(name: str) -> int:
    """The side that a model's weights were made for."""
    if name.startswith("torchvision:"):
        weights = torchvision.models.get_model_weights(name.partition(":")[2]).DEFAULT
        return int(weights.transforms().crop_size[0])
    return int(timm.get_pretrained_cfg(name).input_size[-1])


def attempt(name: str, size: int, data: Path, out: Path) -> dict[str, Any]:
    """Train and read back at one size."""
    options = {
        "epochs": 1,
        "batch_size": 4,
        "augment": "none",
        "lr": 1e-4,
        "device": "cpu",
        "workers": 0,
        "threads": 1,
    }
    try:
        train_backbone(data, out=out, model=name, preprocess={"image_size": size}, **options)
        load_backbone(str(out))
    except LtfixError as err:
        return {"size": size, "result": "refused", "code": err.exit_code, "said": str(err)[:300]}
    except (MemoryError, torch.OutOfMemoryError) as err:
        return {"size": size, "result": "memory", "said": str(err)[:300]}
    except Exception as err:
        memory = "allocate memory" in str(err)
        kind = "memory" if memory else "fault"
        return {"size": size, "result": kind, "said": f"{type(err).__name__}: {err}"[:300]}
    return {"size": size, "result": "trained"}


def work(name: str, data: Path, out: Path, pipe: Connection) -> None:
    """Try the sizes in turn, up to the first that the model takes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for size in dict.fromkeys((*SIZES, own_size(name))):
        shutil.rmtree(out, ignore_errors=True)
        found = attempt(name, size, data, out)
        pipe.send(found)
        if found["result"] != "refused":
            break
    pipe.close()


def try_model(name: str, data: Path, seconds: float) -> dict[str, Any]:
    """One model in a process of its own: the last word it says, or that its time was up."""
    begin = time.perf_counter()
    receive, send = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as scratch:
        process = multiprocessing.get_context("fork").Process(
            target=work, args=(name, data, Path(scratch) / "run", send)
        )
        process.start()
        send.close()
        found: dict[str, Any] = {"result": "killed", "said": "the process ended without a word"}
        try:
            while receive.poll(max(0.0, seconds - (time.perf_counter() - begin))):
                found = receive.recv()
            found = {**found, "result": "time"}
        except EOFError:
            pass
        process.kill()
        process.join()
    return {"model": name, **found, "seconds": round(time.perf_counter() - begin, 1)}


def table(lines: list[dict[str, Any]]) -> str:
    """Counts by result, then what was not trained, in Markdown."""
    counts = collections.Counter(
        ("torchvision" if line["model"].startswith("torchvision:") else "timm", line["result"])
        for line in lines
    )
    kinds = sorted({result for _, result in counts})
    rows = [
        f"| {lib} | " + " | ".join(str(counts[lib, kind]) for kind in kinds) + " |"
        for lib in ("timm", "torchvision")
    ]
    rest = [
        f"- `{line['model']}`: {line['result']}, {line.get('said', '')}"
        for line in lines
        if line["result"] != "trained"
    ]
    return "\n".join(
        [f"| library | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|", *rows, "", *rest]
    )


def main() -> None:
    """Read the options and try every model that has no line yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--only", default="*")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    if given.table:
        print(table(lines))
        return
    done = {line["model"] for line in lines}
    with tempfile.TemporaryDirectory() as data, given.out.open("a") as out:
        pictures(Path(data))
        for name in names(given.sample):
            if name not in done and fnmatch.fnmatch(name, given.only):
                line = try_model(name, Path(data), given.seconds)
                print(json.dumps(line), file=out, flush=True)
                print(line["model"], line["result"], line.get("size"), line["seconds"], flush=True)


if __name__ == "__main__":
    main()
