"""What the tests of backbones share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def threads():
    """Every test starts with one thread, whatever the one before took over from a resumed run."""
    torch.set_num_threads(1)
