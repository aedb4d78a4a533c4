"""Kills extractions by SIGKILL; run as a script by test_process_extract.py.

Usage: kill_extract.py FOLDER ROUNDS, with the images in FOLDER/photos. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from forked import contents, finish, start

SMALL = ["--shard-rows", "2", "--batch-size", "2"]


def main() -> None:
    """Kill ROUNDS extractions at moments spread over their whole length; finish each and compare."""
    os.chdir(sys.argv[1])
    rounds, draw = int(sys.argv[2]), random.Random(0)
    began = time.monotonic()
    assert finish(start(*SMALL, "--out", "whole")) == 0
    length, whole = time.monotonic() - began, contents(Path("whole"))
    told: dict[str, list[object]] = {"ends": [], "differing": []}
    for i in range(rounds):
        process = start(*SMALL, "--out", "halves")
        time.sleep(length * (i + draw.random()) / rounds)
        os.kill(process, signal.SIGKILL)
        finish(process)
        before = contents(Path("halves")) if Path("halves").exists() else {}
        told["ends"].append([before != whole, finish(start(*SMALL, "--out", "halves"))])
        after = contents(Path("halves"))
        told["differing"] += [f"{i}: {n}" for n in {*after, *whole} if after.get(n) != whole.get(n)]
        shutil.rmtree("halves")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
