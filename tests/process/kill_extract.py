"""Kills extractions by SIGKILL; run as a script by test_process_extract.py.

Usage: kill_extract.py FOLDER ROUNDS, with the images in FOLDER/photos. Prints one JSON line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from forked import contents, finish, start

from ltfix import cli

SMALL = ["--shard-rows", "2", "--batch-size", "2"]


def verify(cache: Path) -> int:
    """The exit code of ``inspect --verify``."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return cli.run(["inspect", str(cache), "--verify"])


def main() -> None:
    """Kill ROUNDS extractions at moments spread over their whole length; finish each and compare."""
    os.chdir(sys.argv[1])
    rounds, draw = int(sys.argv[2]), random.Random(0)
    began = time.monotonic()
    assert finish(start(*SMALL, "--out", "whole")) == 0
    length, whole = time.monotonic() - began, contents(Path("whole"))
    told: dict[str, list[object]] = {"ends": [], "differing": [], "verified": []}
    for i in range(rounds):
        process = start(*SMALL, "--out", "halves")
        time.sleep(length * (i + draw.random()) / rounds)
        os.kill(process, signal.SIGKILL)
        finish(process)
        before = contents(Path("halves")) if Path("halves").exists() else {}
        caches = [Path("halves") / split for split in ("train", "test")]
        codes = [verify(cache) for cache in caches]
        told["verified"] += zip([(cache / "manifest.json").exists() for cache in caches], codes, strict=True)
        more = ["--overwrite"] if any(codes) else []  # as docs/ci.md does
        told["ends"].append([before != whole, finish(start(*SMALL, "--out", "halves", *more))])
        after = contents(Path("halves"))
        told["differing"] += [f"{i}: {n}" for n in {*after, *whole} if after.get(n) != whole.get(n)]
        shutil.rmtree("halves")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
