"""Real extractions in forked processes, so that torch and timm are imported once.

Nothing of torch computes before a fork, so there are no threads to lose.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ltfix import cli
from ltfix.cli import extract  # noqa: F401
from ltfix.extraction import run  # noqa: F401  torch and timm, once

ARGV = ["extract", "--backbone", "cifar_resnet32", "--no-pretrained", "--device", "cpu", "--threads", "1"]
ARGV += ["--data", "photos", "--quiet"]


def start(*argv: str, errors: Path | str = os.devnull) -> int:
    """Fork ``ltfix extract`` with further options, stderr into a file; the process id."""
    process = os.fork()
    if process == 0:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        sys.stderr = open(errors, "a")  # noqa: PTH123, SIM115
        code = cli.run([*ARGV, *argv])
        sys.stderr.flush()
        os._exit(code)
    return process


def finish(process: int) -> int:
    """Wait for an extraction; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
