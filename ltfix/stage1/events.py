"""TensorBoard's event files: an extra, written beside ``metrics.jsonl`` and of the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.errors import extra

FOLDER = "tensorboard"
_NAMES = {"loss": "train/loss", "train_accuracy": "train/accuracy", "lr": "lr", "images_per_second": "speed"}


class Events:
    """Writes the scalars of every epoch below ``<run>/tensorboard``.

    Args:
        run: the run folder.
        done: epochs done; what an interrupted run wrote of later ones is hidden.

    Raises:
        EnvironmentFault: TensorBoard is not installed.
    """

    def __init__(self, run: Path, done: int) -> None:
        demand()
        from torch.utils.tensorboard.writer import SummaryWriter

        with files.os_errors(run):
            self._writer = SummaryWriter(str(run / FOLDER), purge_step=done + 1 if done else None)

    def write(self, entry: Mapping[str, Any]) -> None:
        """One epoch's line of ``metrics.jsonl``."""
        scalars = {_NAMES[key]: entry[key] for key in _NAMES}
        shots = entry.get("val", {})
        scalars |= {f"val/{shot}": value for shot, value in shots.items() if value is not None}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, entry["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def demand() -> None:
    """Refuse to start where TensorBoard is missing (EnvironmentFault)."""
    with extra("tb", "tensorboard"):
        import torch.utils.tensorboard  # noqa: F401


def remove(run: Path) -> None:
    """Remove the event files of a run that is replaced."""
    for path in sorted((run / FOLDER).glob("events.out.tfevents.*")):
        files.remove(path)
