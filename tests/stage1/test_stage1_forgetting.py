"""Forgetting counted by hand, over processes, over a resumed run, and told of a run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from told import Told

import ltfix
from ltfix import cli
from ltfix.evaluation import learned
from ltfix.evaluation.describe import describe
from ltfix.stage1.distributed import ALONE, Processes
from ltfix.stage1.forgetting import Forgetting
from ltfix.tensorfile import load_tensors

CPU = torch.device("cpu")


def test_it_is_the_number_of_times_from_right_to_wrong() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 50)
    right = rng.random((6, 50)) < 0.6  # what each sample was in each epoch
    found = Forgetting(labels, 5, CPU)
    epochs = []
    for row in right:
        for batch in np.array_split(rng.permutation(50), 7):
            found.see(torch.from_numpy(batch), torch.from_numpy(row[batch]))
        epochs.append(found.end_epoch(ALONE))
    events = (right[:-1] & ~right[1:]).sum(0)  # Toneva et al. 2019, definition 1
    assert np.sum(epochs, 0).tolist() == [int(events[labels == k].sum()) for k in range(5)]
    assert epochs[0] == [0] * 5


@dataclasses.dataclass(frozen=True, slots=True)
class Two(Processes):
    """One of two processes, given what the other one sums."""

    other: tuple[torch.Tensor, ...] = ()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor + next(each for each in self.other if each.shape == tensor.shape)


def test_a_sample_that_a_batch_has_twice_is_right_if_it_was_both_times() -> None:
    found = Forgetting(np.array([0, 1, 1]), 2, CPU)
    found.see(torch.tensor([0, 1, 0, 1, 2, 2]), torch.tensor([True, True, False, True, False, True]))
    assert found.right.tolist() == [False, True, False]


def test_processes_know_what_the_others_saw() -> None:
    labels = np.array([0, 1, 1])
    found = Forgetting(labels, 2, CPU)
    found.see(torch.tensor([0]), torch.tensor([True]))
    theirs = (torch.tensor([0, 0]), torch.tensor([0, 1, 0]))  # they saw sample 1 right
    found.end_epoch(Two(0, 2, other=theirs))
    assert found.right.tolist() == [True, True, False]
    found.see(torch.tensor([1]), torch.tensor([False]))  # and now it is here, forgotten
    assert found.end_epoch(Two(0, 2, other=(torch.tensor([1, 0]), torch.tensor([-1, 0, 0])))) == [1, 1]
    assert found.right.tolist() == [False, False, False]


def test_a_resumed_run_counts_on(photos: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    given = {**tiny, "epochs": 5, "lr": 0.5}
    whole = ltfix.train_backbone(photos, out=tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        ltfix.train_backbone(photos, out=tmp_path / "cut", progress=Told("epoch 4/5"), **given)
    cut = ltfix.train_backbone(photos, out=tmp_path / "cut", **given)
    events = [entry["forgotten"] for entry in whole.metrics]
    assert events == [entry["forgotten"] for entry in cut.metrics] and np.sum(events) > 0
    score = learned.forgetting(tmp_path / "whole", whole.info["counts"])
    np.testing.assert_allclose(score or [], np.sum(events, 0) / np.array(whole.info["counts"]))


def test_inspect_tells_it_and_batch_norm_by_layer(
    photos: Path, tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ltfix.train_backbone(photos, out=tmp_path / "run", **tiny)
    facts = describe(tmp_path / "run").to_dict()
    assert len(facts["forgetting"]) == 4
    tensors = load_tensors(run.path / "backbone.safetensors")[0]
    layers = [name[: -len(".running_mean")] for name in tensors if name.endswith(".running_mean")]
    assert [norm["layer"] for norm in facts["batch_norms"]] == layers and len(layers) == 5
    for norm in facts["batch_norms"]:
        gamma = tensors[f"{norm['layer']}.weight"].astype(np.float64)
        expected = {"mean": gamma.mean(), "least": gamma.min(), "most": gamma.max()}
        assert norm["gamma"] == pytest.approx(expected, rel=1e-12)
    assert cli.run(["inspect", str(run.path)]) == 0
    out = capsys.readouterr().out
    assert "times a sample on average" in out and "bn1" in out and "γ " in out


def test_mixtures_and_older_runs_have_none(photos: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    run = ltfix.train_backbone(photos, out=tmp_path / "run", mixup=1.0, **tiny)
    assert all("forgotten" not in entry for entry in run.metrics)
    assert describe(run.path).to_dict()["forgetting"] is None
    lines = [{**entry, "forgotten": [0]} for entry in run.metrics]
    (run.path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert learned.forgetting(run.path, run.info["counts"]) is None  # of other classes
