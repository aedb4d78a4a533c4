"""``run.json``: what a training run says of itself, and the files that lie beside it in the run's folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ltfix import files
from ltfix.errors import InputError

FORMAT = "ltfix-run/1"
NAME = "run.json"
METRICS = "metrics.jsonl"
BACKBONE = "backbone.safetensors"
CLASSIFIER = "classifier.safetensors"
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "finished": (lambda value: isinstance(value, bool), "true or false"),
    "model": (lambda value: isinstance(value, str), "a text"),
    "model_args": (lambda value: isinstance(value, dict), "an object"),
    "preprocess": (lambda value: isinstance(value, dict), "an object"),
    "provenance": (lambda value: isinstance(value, dict), "an object"),
    "classes": (lambda value: _is_list(value, str), "a list of names"),
    "counts": (lambda value: _is_list(value, int), "a list of whole numbers"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class RunDescription:
    """The content of a ``run.json`` whose known keys are of their kinds.

    Attributes:
        path: the file.
        content: all that it says.
        finished: whether training ended. Every run writes this key when it begins, so a file without it is
            no finished run's.
    """

    path: Path
    content: dict[str, Any]
    finished: bool

    def demand(self, keys: Collection[str]) -> None:
        """Refuse a file that lacks one of ``keys``.

        Raises:
            InputError: naming the file and the key.
        """
        for key in keys:
            if self.content.get(key) is None:
                raise InputError(f"the run lacks {key}", where=self.path)


def read_run(folder: Path) -> RunDescription:
    """What the run in ``folder`` says of itself.

    Raises:
        InputError: there is no ``run.json``, it is of a newer format, or a key is of the wrong kind; the
            file and the key are named.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(
            f"not a run folder: it has no {NAME}" if folder.exists() else "no such run folder", where=folder
        )
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise InputError("it holds no JSON object", where=path)
    files.check_format(content.get("format"), FORMAT, path)
    for key, (fits, said) in _KINDS.items():
        if content.get(key) is not None and not fits(content[key]):
            raise InputError(f"its {key} is not {said}", where=path)
    return RunDescription(path, content, bool(content.get("finished")))


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)
