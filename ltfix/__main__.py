"""The process of the command line: `ltfix`, `python -m ltfix`, which is also how torchrun starts it."""

import os
import signal

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""Threads that wait for each other sleep. By default they spin, which on a machine that is shared takes the
very time away that the others need to arrive. Read by the libraries as they are loaded."""


def _leave(number: int, frame: object) -> None:
    """Ctrl-C while the command line is loaded, or when it is done: there is nothing to clean up."""
    os.write(2, b"ltfix: interrupted\n")
    os._exit(130)


def script() -> None:
    """The console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell ignores it
        signal.signal(signal.SIGINT, _leave)
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    from ltfix import cli

    cli.script()


if __name__ == "__main__":
    script()
