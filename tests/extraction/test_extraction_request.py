"""ltfix.extraction.request: values that no extraction can have."""

from __future__ import annotations

from typing import Any

import pytest

from ltfix.errors import UsageError
from ltfix.extraction.request import Request


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "float61"}, r"dtype is 'float61' \(dtype\): it may be float16, float32"),
        ({"on_error": "ignore"}, r"\(on_error\): it may be error, skip"),
        ({"batch_size": 0}, r"batch_size = 0 is out of range \(batch_size\): it must be at least 1"),
        ({"limit": 0}, r"limit = 0 is out of range \(limit\): it must be at least 1"),
        ({"workers": -1}, r"workers = -1 is out of range \(workers\): it must be at least 0"),
        ({"threads": 0}, r"\(threads\)"),
        ({"shard_rows": 0}, r"\(shard_rows\)"),
        ({"image_size": 0}, r"\(image_size\)"),
        ({"seed": -1}, r"\(seed\)"),
    ],
)
def test_refusals(values: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        Request(data="x", backbone="y", **values)


def test_defaults_are_fine():
    assert Request(data="x", backbone="y").shard_rows is None
    Request(data="x", backbone="y")
    Request(data="x", backbone="y", workers=0, batch_size=1)
