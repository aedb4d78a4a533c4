"""Every test that asks for ``twin`` runs over the C kernel and over its Python twin."""

from __future__ import annotations

from types import ModuleType

import pytest
from pava_cases import BOTH, load


@pytest.fixture(params=BOTH, ids=["c", "py"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    return load(request.param)
