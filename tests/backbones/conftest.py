"""What the tests of backbones share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pictures import write_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, nine training and six test images of 40 × 32 pixels."""
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(autouse=True)
def threads():
    """Every test starts with one thread, whatever the one before took over from a resumed run."""
    torch.set_num_threads(1)
