"""``ltfix.extract``: images to feature caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ltfix.extraction.opening import open_data
from ltfix.extraction.request import Request
from ltfix.features.read import FeatureCache
from ltfix.progress import Progress, listener
from ltfix.public import public


@public
def extract(
    data: str | Path,
    *,
    backbone: str,
    out: str | Path = "features",
    progress: Progress | bool | None = None,
    **options: Any,
) -> FeatureCache | dict[str, FeatureCache]:
    """Run a frozen backbone over images and cache its features in ``out/<split>/``.

    An unfinished cache of the same request is resumed, and ends with the bytes that an uninterrupted
    run would have written.

    For example::

        caches = ltfix.extract("photos", backbone="resnet50", views="center,hflip", out="features")
        head = ltfix.fit(caches["train"], "samn")

    Args:
        data: a folder, ``list:FILE``, ``list:train=F,test=G``, or another ``prefix:rest``.
        backbone: a timm name, ``torchvision:NAME``, or a run folder of train-backbone.
        out: the folder of the caches.
        progress: told of images done and of notes; True shows a bar.
        options: further fields of :class:`Request`.

    Returns:
        The cache, features [N, V, D], where there is one split; else a cache by split name.

    Raises:
        UsageError: an option out of range, an unknown model, or finished caches are there.
        InputError: data, image or checkpoint missing or wrong; a feature that overflows.
        EnvironmentFault: no such device, no memory, no space, no permission.
    """
    request = public(Request)(data=data, backbone=backbone, out=out, **options)
    opened = open_data(request)

    from ltfix.extraction.plan import prepare
    from ltfix.extraction.run import run

    caches = run(prepare(opened), listener(progress or False))
    return next(iter(caches.values())) if len(caches) == 1 else caches
