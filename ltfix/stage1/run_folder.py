"""The run folder: what a training run leaves for `extract`, and what it needs to go on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ltfix import files
from ltfix.errors import InputError, UsageError
from ltfix.features.layout import differences
from ltfix.heads.head import Head
from ltfix.runfile import BACKBONE, CLASSIFIER, FORMAT, METRICS, read_run
from ltfix.runfile import NAME as RUN
from ltfix.stage1 import events
from ltfix.stage1.state import NAME as STATE
from ltfix.stage1.state import TrainingState, read_state

BACKBONE_FORMAT = "ltfix-backbone/1"
_WRITTEN = (RUN, METRICS, BACKBONE, CLASSIFIER, STATE)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A finished training run.

    Attributes:
        path: its folder.
        info: the content of ``run.json``.
        metrics: one entry per epoch, as in ``metrics.jsonl``.
    """

    path: Path
    info: Mapping[str, Any]
    metrics: list[dict[str, Any]]


class RunFolder:
    """Opens a run folder: empty, or with this very run's unfinished work.

    Args:
        path: the folder; made if it is not there.
        decides: all that decides the weights, as JSON.
        overwrite: remove what a finished or another run left.
        resume: demand that there be an unfinished run.

    Raises:
        UsageError: a finished run is there, or foreign files, or nothing to resume.
        InputError: another run is unfinished there; what differs is said.
        EnvironmentFault: the folder cannot be written.
    """

    def __init__(self, path: Path, decides: dict[str, Any], *, overwrite: bool, resume: bool) -> None:
        self.path, self.decides = path, decides
        self.state: TrainingState | None = None
        with files.os_errors(path):
            found = path.exists() and any(path.iterdir())
        if found:
            self._reuse(overwrite)
        if resume and self.state is None:
            raise UsageError(
                "there is no unfinished run to resume", where=path, hint="leave resume out to start one"
            )
        self.metrics = self._read_metrics()

    def _reuse(self, overwrite: bool) -> None:
        ours = (self.path / RUN).exists() or (self.path / STATE).exists()
        if not ours:
            raise UsageError("the folder holds other files", where=self.path, hint="choose another folder")
        if overwrite:
            for name in _WRITTEN:
                files.remove(self.path / name)
            events.remove(self.path)
            return
        if (self.path / RUN).exists() and read_run(self.path).finished:
            raise UsageError(
                "a finished run is there already", where=self.path, hint="overwrite=True replaces it"
            )
        files.sweep(self.path)
        self.state = read_state(self.path)
        if self.state is None:
            return
        told = differences(self.state.decides, self.decides)
        if told:
            raise InputError(
                f"another run is unfinished there; {told}",
                where=self.path,
                hint="repeat its values, choose another folder, or overwrite=True",
            )

    def _read_metrics(self) -> list[dict[str, Any]]:
        path, done = self.path / METRICS, 0 if self.state is None else self.state.epoch
        if done == 0 or not path.exists():
            return []
        with files.os_errors(path):
            lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines[:done]]

    def begin(self, info: dict[str, Any]) -> None:
        """Write ``run.json`` of an unfinished run."""
        files.write_json(self.path / RUN, {"format": FORMAT, "finished": False, **info})

    def commit(self, entry: dict[str, Any], state: TrainingState) -> None:
        """Add an epoch's metrics, then its checkpoint: a kill between the two repeats the epoch."""
        self.metrics.append(entry)
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.metrics)
        files.write_text(self.path / METRICS, text)
        state.save(self.path)

    def publish(
        self,
        info: dict[str, Any],
        backbone: Mapping[str, np.ndarray],
        classifier: Head,
        heads: Mapping[str, np.ndarray],
    ) -> Run:
        """Write the backbone, its classifiers and, last, ``run.json`` of a finished run.

        ``classifier.safetensors`` is the head file of the test head; every head of the recipe rides
        along as tensors under its own name.
        """
        said = {key: info[key] for key in ("model", "model_args", "preprocess", "versions")}
        files.write_safetensors(self.path / BACKBONE, backbone, {"format": BACKBONE_FORMAT, **said})
        tensors = {"weight": classifier.weight, "bias": classifier.bias, **classifier.tensors, **heads}
        files.write_safetensors(self.path / CLASSIFIER, tensors, classifier.metadata())
        done = {"format": FORMAT, "finished": True, **info}
        files.write_json(self.path / RUN, done)
        return Run(self.path, done, self.metrics)
