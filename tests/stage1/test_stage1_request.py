"""ltfix.stage1.request: options and values of the recipe are told apart by name."""

from __future__ import annotations

from typing import Any

import pytest

from ltfix.errors import UsageError
from ltfix.stage1.request import TrainingRequest


def test_what_is_no_option_is_a_value_of_the_recipe() -> None:
    request = TrainingRequest.of(
        data="x", out="y", image_size=8, limit=None, model_args=None, lr=0.1, decay=None
    )
    assert (request.image_size, request.limit, request.model_args) == (8, None, {})
    assert request.values == {"lr": 0.1}
    assert request.preprocess() == {"image_size": 8}


@pytest.mark.parametrize("given", [{"limit": 0}, {"workers": -1}, {"threads": 0}, {"image_size": 0}])
def test_numbers_that_no_training_can_have(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        TrainingRequest.of(data="x", out="y", **given)
