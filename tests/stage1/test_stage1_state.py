"""A captured state comes back bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from ltfix.errors import InputError
from ltfix.stage1 import state
from ltfix.tensorfile import load_tensors


def network(width: int = 3) -> tuple[nn.Module, torch.optim.SGD]:
    model = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def train(model: nn.Module, optimizer: torch.optim.SGD, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.arange(8.0).reshape(4, 2) + step).square().sum().backward()
        optimizer.step()


def test_training_goes_on_bit_by_bit(tmp_path: Path) -> None:
    model, optimizer = network()
    train(model, optimizer, 3)
    state.capture(2, {"seed": 0}, state.Moving(model, optimizer)).save(tmp_path)
    train(model, optimizer, 3)
    other, its_optimizer = network()
    found = state.read_state(tmp_path)
    assert found is not None and (found.epoch, found.decides) == (2, {"seed": 0})
    state.restore(found, state.Moving(other, its_optimizer))
    train(other, its_optimizer, 3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    model, optimizer = network()
    train(model, optimizer, 1)
    written = []
    for _ in range(2):
        state.capture(1, {"b": 1, "a": 2}, state.Moving(model, optimizer)).save(tmp_path)
        written.append((tmp_path / state.NAME).read_bytes())
    assert written[0] == written[1]


def test_a_torn_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    assert state.read_state(tmp_path) is None
    model, optimizer = network()
    state.capture(1, {}, state.Moving(model, optimizer)).save(tmp_path)
    found = state.read_state(tmp_path)
    assert found is not None
    with pytest.raises(InputError, match="another network"):
        state.restore(found, state.Moving(*network(width=5)))
    path = tmp_path / state.NAME
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="torn"):
        state.read_state(tmp_path)


@pytest.mark.parametrize("group", ["model/", "momentum/"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(tmp_path: Path, group: str) -> None:
    model, optimizer = network()
    train(model, optimizer, 1)
    state.capture(1, {}, state.Moving(model, optimizer)).save(tmp_path)
    path = tmp_path / state.NAME
    arrays, metadata = load_tensors(path)
    name = next(name for name in arrays if name.startswith(group))
    for changed in (
        {k: v for k, v in arrays.items() if k != name},
        {**arrays, name: arrays[name].reshape(-1)[:1]},
    ):
        save_file({key: value.copy() for key, value in changed.items()}, path, metadata)
        with pytest.raises(InputError, match=r"lacks tensors .*checkpoint-last.*overwrite=True"):
            state.read_state(tmp_path)
