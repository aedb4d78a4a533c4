"""Extracts to a disk that is read-only, then too small, then large enough; run by test_process_extract.py.

Usage: tight_extract.py FOLDER, in a mount namespace of its own, with the images in FOLDER/photos.
Leaves copies of the disk and the errors in FOLDER, and prints the exit codes as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from forked import finish, start

STEPS = {
    "read-only": ["-t", "tmpfs", "-o", "size=64k,ro", "tmpfs", "disk"],
    "full": ["-o", "remount,rw,size=64k", "disk"],
    "resumed": ["-o", "remount,rw,size=8m", "disk"],
}


def main() -> None:
    """Mount, extract and copy, step by step."""
    os.chdir(sys.argv[1])
    codes = {}
    for name, options in STEPS.items():
        subprocess.run(["mount", *options], check=True)
        argv = ["--shard-rows", "1", "--batch-size", "1", "--out", "disk/out"]
        codes[name] = finish(start(*argv, errors=f"{name}.txt"))
        shutil.copytree("disk", name)
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
