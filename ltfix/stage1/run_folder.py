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
from ltfix.records import record_of
from ltfix.runfile import BACKBONE, CLASSIFIER, FORMAT, METRICS, RunDescription, read_run
from ltfix.runfile import NAME as RUN
from ltfix.stage1 import events
from ltfix.stage1.state import NAME as STATE
from ltfix.stage1.state import TrainingState, read_state

BACKBONE_FORMAT = "ltfix-backbone/1"
_CUT_OF_0_1 = ("imbalance_factor", "imbalance_seed")
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


@dataclasses.dataclass(frozen=True, slots=True)
class Epoch:
    """A line of ``metrics.jsonl``: of epoch 1..E, the mean loss and the test head's accuracy.

    ``forgotten``: samples by class that were right before and are wrong now, none where several labels are
    mixed; ``val``: accuracies by shot, where there are validation images.
    """

    epoch: int
    lr: float
    loss: float
    train_accuracy: float
    images_per_second: float
    seconds: float
    forgotten: list[int] = dataclasses.field(default_factory=list)
    val: dict[str, float | None] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, without what is not known."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in ([], {})}


class RunFolder:
    """Opens a run folder: empty, or with this very run's unfinished work.

    Args:
        path: the folder; made if it is not there.
        decides: all that decides the weights, as JSON.
        overwrite: remove what a finished or another run left.
        resume: demand that there be a run, unfinished or finished.

    Attributes:
        done: the run, where this very one is finished there already; then there is nothing to do.

    Raises:
        UsageError: a finished run of another request is there, or foreign files, or nothing to resume.
        InputError: another run is unfinished there (what differs is said), or its files are not whole.
        EnvironmentFault: the folder cannot be written.
    """

    def __init__(self, path: Path, decides: dict[str, Any], *, overwrite: bool, resume: bool) -> None:
        self.path, self.decides = path, decides
        self.state: TrainingState | None = None
        self.done: Run | None = None
        with files.os_errors(path):
            files.sweep(path)  # what a killed writer left under a temporary name is in nobody's way
            found = {entry.name for entry in path.iterdir()} if path.exists() else set()
        if found:
            self._reuse(found, overwrite)
        if resume and self.state is None and self.done is None:
            raise UsageError(
                "there is no unfinished run to resume", where=path, hint="leave resume out to start one"
            )
        self.metrics = self._read_metrics(0 if self.state is None else self.state.epoch)

    def _reuse(self, found: set[str], overwrite: bool) -> None:
        if not found & ({*_WRITTEN} if overwrite else {RUN, STATE}):
            raise UsageError("the folder holds other files", where=self.path, hint="choose another folder")
        if overwrite:
            for name in _WRITTEN:
                files.remove(self.path / name)
            events.remove(self.path)
            return
        info = read_run(self.path) if RUN in found else None
        if info is not None and info.finished:
            self.done = self._finished(info)
            return
        self.state = read_state(self.path)
        if self.state is None:
            return
        told = differences(self._as_told(self.state.decides), self.decides)
        if told:
            hint = "repeat its values, choose another out, or overwrite=True"
            raise InputError(f"another run is unfinished there; {told}", where=self.path, hint=hint)
        if self.state.epoch > self.decides["values"]["epochs"]:
            epochs = self.decides["values"]["epochs"]
            what = f"the checkpoint says {self.state.epoch} epochs are done, of {epochs}"
            raise InputError(what, where=self.path / STATE, hint="overwrite=True starts anew")

    def _finished(self, run: RunDescription) -> Run:
        """The finished run, where it is of this very request and whole."""
        info = run.content
        said = {key: info.get(key) for key in (*self.decides, "loss")}
        told = differences(self._as_told(said), self.decides)
        if told:
            what = f"a finished run of another request is there; {told}"
            raise UsageError(what, where=self.path, hint="overwrite=True replaces it")
        run.demand(("dim", "provenance"))
        if info["provenance"].get("seconds") is None:
            raise InputError("its provenance lacks seconds", where=run.path)
        for name in (BACKBONE, CLASSIFIER):
            files.demand_regular(self.path / name)
        return Run(self.path, info, self._read_metrics(self.decides["values"]["epochs"]))

    def _as_told(self, said: dict[str, Any]) -> dict[str, Any]:
        """What a run said that decides it; of a cut, 0.1 said the digest of the rows that it leaves alone."""
        data, now = said.get("data"), self.decides.get("data", {})
        if not isinstance(data, dict):
            return said
        return {**said, "data": {name: now[name] for name in _CUT_OF_0_1 if name in now} | data}

    def _read_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """The lines of the first ``epochs`` epochs; one more may have been written before a kill."""
        if epochs == 0:
            return []
        path = self.path / METRICS
        files.demand_regular(path)
        with files.os_errors(path):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[:epochs]
        try:
            entries: list[dict[str, Any]] = [files.parse_json(line, path) for line in lines]
            numbers = [record_of(Epoch, entry, path).epoch for entry in entries]
        except InputError:
            numbers = []
        if numbers != list(range(1, epochs + 1)):
            what = f"torn, or not the metrics of {epochs} epochs"
            raise InputError(what, where=path, hint="overwrite=True starts anew")
        return entries

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
