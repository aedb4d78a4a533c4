"""ltfix.images.views: parsing and rendering."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import make_image

from ltfix.errors import UsageError
from ltfix.images.views import parse_views


def test_center_and_its_mirror():
    image = make_image(0)
    views = parse_views("center, hflip")
    assert (len(views), str(views)) == (2, "center,hflip")
    rendered = views.render(image, 0, np.asarray)
    np.testing.assert_array_equal(rendered[0], np.asarray(image))
    np.testing.assert_array_equal(rendered[1], np.asarray(image)[:, ::-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [("centre", "unknown view.*center"), ("center,center", "twice"), ("", "unknown view")],
)
def test_wrong_views(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        parse_views(text)
