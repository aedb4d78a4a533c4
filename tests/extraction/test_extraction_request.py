"""ltfix.extraction.request: values that no extraction can have."""

from __future__ import annotations

from typing import Any

import pytest

from ltfix.errors import UsageError
from ltfix.extraction.request import Request
from ltfix.features.layout import SHARD_ROWS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "float61"}, r"'float61' \(dtype\): did you mean float16"),
        ({"on_error": "ignore"}, r"\(on_error\)"),
        ({"batch_size": 0}, r"at least 1, not 0 \(batch_size\)"),
        ({"limit": 0}, r"at least 1, not 0 \(limit\)"),
        ({"workers": -1}, r"at least 0, not -1 \(workers\)"),
        ({"threads": 0}, r"\(threads\)"),
        ({"shard_rows": 0}, r"\(shard_rows\)"),
    ],
)
def test_refusals(values: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        Request(data="x", backbone="y", **values).check()


def test_defaults_are_fine():
    assert Request(data="x", backbone="y").shard_rows == SHARD_ROWS
    Request(data="x", backbone="y").check()
    Request(data="x", backbone="y", workers=0, batch_size=1).check()
