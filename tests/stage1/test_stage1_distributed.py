"""How batches are shared out, and what processes cannot share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltfix.errors import EnvironmentFault, InputError, UsageError
from ltfix.stage1.distributed import Processes, joined, split


@given(start=st.integers(0, 50), n=st.integers(0, 300), size=st.integers(1, 8), parts=st.integers(1, 4))
def test_processes_cover_a_batch_once_in_order_and_evenly(start: int, n: int, size: int, parts: int) -> None:
    step = slice(start, start + n)
    found = [part for rank in range(size) for part in Processes(rank, size).parts(step, parts)]
    positions = [at for part in found for at in range(part.start, part.stop)]
    assert positions == list(range(start, start + n))
    lengths = [part.stop - part.start for part in found]
    assert len(found) == size * parts and max(lengths) - min(lengths) <= 1
    assert found == split(step, size * parts)


def test_one_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as (processes, device):
        assert processes == Processes(0, 1) and processes.first and device == torch.device("cpu")
        module, tensor = torch.nn.Linear(1, 1), torch.ones(1)
        assert processes.wrap(module, device) is module
        assert processes.sum(tensor) is tensor
        assert processes.by_first(lambda: 3) == 3


def test_an_error_of_the_first_process_is_its_own() -> None:
    def fail() -> None:
        raise InputError("torn")

    with pytest.raises(InputError, match="torn"):
        Processes().by_first(fail)


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_many_processes_cannot_share_a_device(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises((UsageError, EnvironmentFault), match="2 processes cannot share"), joined(device):
        pass
