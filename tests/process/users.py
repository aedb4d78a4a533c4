"""Command lines one after another, each in a forked process, so that torch is imported once.

    users.py < commands.json > ends.json

``commands.json``: pairs of a name and argv. ``NAME=VALUE`` before it is for the environment, ``tty`` gives
it a terminal, ``python FILE`` runs a file of the user's. ``ends.json``: by name the exit code and what came
out (of a terminal both streams together).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import runpy
import sys
import tempfile
from typing import Any, NoReturn

from forked import finish
from PIL import Image

from ltfix import cli
from ltfix.cli import compare, evaluate, export, extract, fit, inspect, predict, sweep, train  # noqa: F401
from ltfix.extraction import run  # noqa: F401  torch and timm, once
from ltfix.stage1 import train as training  # noqa: F401
from ltfix.stage2.tables import compare as tables  # noqa: F401


def become(argv: list[str]) -> NoReturn:
    """The command, in this process."""
    code = 0
    if argv[0] == "python":
        sys.path.insert(0, ".")
        runpy.run_path(argv[1], run_name="__main__")
    else:
        code = cli.run(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def piped(argv: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = os.fork()
        if process == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            become(argv)
        code = finish(process)
        out.seek(0)
        err.seek(0)
        return {"code": code, "out": out.read(), "err": err.read()}


def on_a_terminal(argv: list[str]) -> dict[str, Any]:
    process, ours = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm"
        become(argv)
    text = b""
    try:
        while part := os.read(ours, 65536):
            text += part
    except OSError:  # Linux says so when the other end is closed
        pass
    return {"code": finish(process), "out": text.decode().replace("\r\n", "\n"), "err": ""}


def done(argv: list[str]) -> dict[str, Any]:
    before = dict(os.environ)
    try:
        while "=" in argv[0]:
            name, _, value = argv[0].partition("=")
            os.environ[name], argv = value, argv[1:]
        return on_a_terminal(argv[1:]) if argv[0] == "tty" else piped(argv)
    finally:
        os.environ.clear()
        os.environ.update(before)


def load_what_all_need() -> None:
    """Once, before the first fork: rich, the parser's own imports, Pillow's formats."""
    Image.init()
    with contextlib.redirect_stdout(io.StringIO()):
        cli.run(["methods"])


if __name__ == "__main__":
    load_what_all_need()
    print(json.dumps({name: done(argv) for name, argv in json.load(sys.stdin)}))
