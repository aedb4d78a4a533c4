"""What can be said of a backbone's name and its weights before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ltfix import files, runfile
from ltfix.errors import Unused, UsageError

PREFIX = "torchvision:"
LOCAL = "local-dir:"
HUB = ("hf-hub:", "hf_hub:", LOCAL)
NOT_RUNS = (*HUB, PREFIX, "timm/")
"""What names begin with that have a slash and are of models."""


def demand_backbone(
    name: str, checkpoint: Path | str | None, key: str | None = None, ignore: Sequence[str] = ()
) -> None:
    """Refuse a run folder or a checkpoint that cannot be read; whether there is such a model is not asked.

    Raises:
        UsageError, InputError: as `open_run` and `demand_weights`.
    """
    refuse_file(name)
    if is_run(name):
        open_run(Path(name), checkpoint)
    else:
        demand_weights(checkpoint, key, ignore)


def refuse_file(name: str) -> None:
    """Refuse a file of weights where a model is to be named (UsageError)."""
    if name.endswith((".safetensors", ".pth", ".pt", ".bin", ".tar")) and Path(name).is_file():
        hint = f"give its architecture by backbone=…, and checkpoint={name}"
        raise UsageError("that is a file of weights, not a model's name", where=name, hint=hint)


def is_run(name: str) -> bool:
    """Whether a run folder is meant, where the name itself or the folder says so."""
    path = not name.startswith(NOT_RUNS) and ("/" in name or "\\" in name)
    return path or (Path(name) / runfile.NAME).exists()


def open_run(folder: Path, checkpoint: Path | str | None) -> runfile.RunDescription:
    """What a finished run says of its network.

    Raises:
        UsageError: a checkpoint was given, too.
        InputError: there is none, or training has not ended.
    """
    found = runfile.read_run(folder)
    found.demand_finished()
    found.demand(("model", "model_args", "preprocess"))
    if checkpoint is not None:
        raise UsageError("a run folder brings its own weights", where=folder, hint="leave checkpoint out")
    demand_readable(folder / runfile.BACKBONE)
    return found


def demand_weights(checkpoint: Path | str | None, key: str | None, ignore: Sequence[str]) -> None:
    """Refuse a checkpoint that is not there, or to be told how to read none.

    Raises:
        UsageError: how to read one is said, but not which. InputError: it is missing or no file.
    """
    if checkpoint is not None:
        demand_readable(Path(checkpoint))
        return
    for option, value in (("checkpoint_key", key), ("ignore_tensors", ignore)):
        if value:
            raise Unused("there is no checkpoint to read so", where=option, hint="give checkpoint=FILE")


def demand_readable(path: Path) -> None:
    """Refuse what is no file (InputError), or may not be read (EnvironmentFault)."""
    files.demand_regular(path)
    with files.os_errors(path), path.open("rb"):
        pass
