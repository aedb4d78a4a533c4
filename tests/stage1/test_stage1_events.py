"""TensorBoard's files hold what metrics.jsonl holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ltfix.errors import EnvironmentFault
from ltfix.stage1 import events
from ltfix.stage1.train import train_backbone


def read(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / events.FOLDER))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_and_its_events_say_the_same(photos: Path, tmp_path: Path, tiny: dict[str, Any]) -> None:
    run = train_backbone(photos, out=tmp_path / "run", **tiny, tensorboard=True)
    found = read(run.path)
    assert set(found) >= {"train/loss", "train/accuracy", "lr", "speed", "val/all"}
    assert found["train/loss"] == [(m["epoch"], pytest.approx(m["loss"])) for m in run.metrics]
    again = train_backbone(photos, out=tmp_path / "run", **{**tiny, "epochs": 1}, overwrite=True)
    assert not list((again.path / events.FOLDER).iterdir())


def test_without_the_extra_nothing_starts(
    photos: Path, tmp_path: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(EnvironmentFault, match=r"pip install \"ltfix\[tb\]\""):
        train_backbone(photos, out=tmp_path / "run", **tiny, tensorboard=True)
    assert not (tmp_path / "run").exists()
