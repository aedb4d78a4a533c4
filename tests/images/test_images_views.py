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


def test_random_ones_follow_and_are_of_training_images_alone():
    views, image = parse_views("center,train:3"), make_image(0)
    assert (len(views), str(views), len(views.of_split("test"))) == (4, "center,train:3", 1)
    assert str(parse_views("train:3").of_split("val")) == "center"
    assert parse_views("train:3").of_split("train").names == ()
    seen = []
    rendered = views.render(
        image, 7, np.asarray, lambda image, centre, *where: seen.append(where) or centre // 2
    )
    assert seen == [(7, 0), (7, 1), (7, 2)]
    np.testing.assert_array_equal(rendered[3], rendered[0] // 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [("centre", "unknown view.*center"), ("center,center", "twice"), ("", "unknown view")],
)
def test_wrong_views(text: str, message: str):
    with pytest.raises(UsageError, match=message):
        parse_views(text)
