"""``ltfix.predict``: pictures or cached features in, labels and probabilities out, batch by batch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltfix.errors import InputError, UsageError
from ltfix.evaluation.given import NamedHead, check_features
from ltfix.evaluation.scores import logit_blocks
from ltfix.exporting.body import load_body, own_cache
from ltfix.exporting.export import class_names
from ltfix.exporting.request import OF_BODIES, is_export, refuse_given
from ltfix.features.manifest import is_cache
from ltfix.features.read import CacheLike, FeatureCache, open_cache
from ltfix.files import ENDINGS, completed
from ltfix.heads.head import Head, load_head
from ltfix.heads.vectors import numpy_of
from ltfix.predicting.listing import Item, list_pictures
from ltfix.predicting.request import PredictRequest
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public

if TYPE_CHECKING:
    from ltfix.exporting.opened import Exported
    from ltfix.predicting.classifiers import Classifier
    from ltfix.predicting.pictures import Answered

_ROWS = 4096  # of a cache at once
_OF_PICTURES = ("root", "split", "columns")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What is said of one sample.

    Attributes:
        sample: its path, as the source or the list has it; its row where a cache has no names.
        label: the most probable class; None where that is below ``abstain``, or the picture cannot be read.
        top: classes and their probabilities, the most probable first; none of an unreadable picture.
        probabilities: [K] float32, NaN of an unreadable picture.
        error: why a picture that was kept cannot be read.
    """

    sample: str
    label: str | None
    top: list[tuple[str, float]]
    probabilities: np.ndarray
    error: str | None = None

    @property
    def probability(self) -> float:
        """Of the most probable class; NaN of an unreadable picture."""
        return self.top[0][1] if self.top else math.nan


@dataclasses.dataclass(slots=True, eq=False)
class Predictions:
    """Predictions in the order of the samples, made as they are asked for; to be gone through once.

    Attributes:
        classes: the K class names. model: what predicts, by name. top, abstain: as requested.
        answered: names and logits, batch by batch. keeps: whether unreadable pictures are among them.
        kept: given a list, names and probabilities [B, K] of all that went by.
    """

    classes: tuple[str, ...]
    model: str
    top: int
    abstain: float | None
    answered: Answered
    keeps: bool = False
    kept: list[tuple[list[str], np.ndarray]] | None = None

    def __iter__(self) -> Iterator[Prediction]:
        return itertools.chain.from_iterable(self.batches())

    def batches(self) -> Iterator[list[Prediction]]:
        """Each batch as soon as it is done."""
        for names, logits, errors in self.answered:
            p = np.full((len(names), len(self.classes)), np.nan, np.float32)
            order: list[list[int]] = [[]] * len(names)
            if logits is not None:
                read = [place for place in range(len(names)) if place not in errors]
                shifted = np.exp(logits - logits.max(1, keepdims=True), dtype=np.float32)
                p[read] = shifted / shifted.sum(1, keepdims=True)
                best = np.argsort(-logits, axis=1, kind="stable")  # of equal ones the lower index
                for place, row in zip(read, best[:, : self.top].tolist(), strict=True):
                    order[place] = row
            if self.kept is not None:
                self.kept.append((names, p))
            yield [self._one(*row, errors.get(i)) for i, row in enumerate(zip(names, order, p, strict=True))]

    def _one(self, name: str, order: list[int], p: np.ndarray, error: str | None) -> Prediction:
        if error is not None:
            return Prediction(name, None, [], p, error)
        top = [(self.classes[k], float(p[k])) for k in order]
        unsure = self.abstain is not None and top[0][1] < self.abstain
        return Prediction(name, None if unsure else top[0][0], top, p)


@public
def predict(
    model: Head | Path | str,
    data: CacheLike | Any,
    *,
    cache: FeatureCache | Path | str | None = None,
    request: PredictRequest | None = None,
    progress: Progress | bool = SILENT,
    **options: Any,
) -> Predictions:
    """What a head or an export says of pictures or of cached features.

    ``for one in ltfix.predict("heads/samn.safetensors", "photos", cache="features/train"): …`` goes through
    pictures without ever holding more than some batches.

    >>> import numpy as np, ltfix
    >>> head = ltfix.Head(4 * np.eye(3), np.zeros(3), "mine", classes=("cat", "dog", "owl"))
    >>> np.savez("new.npz", features=np.eye(3)[[2, 0]], labels=[0, 0])
    >>> [(one.sample, one.label, round(one.probability, 2)) for one in ltfix.predict(head, "new.npz")]
    [('0', 'owl', 0.96), ('1', 'cat', 0.96)]

    Args:
        model: a Head, its file, or what :func:`ltfix.export` wrote.
        data: a feature cache, features X or ``(X, y)`` in memory, or pictures: a folder at any depth,
            ``list:FILE``, another source, or ``-`` for paths on standard input, one a line.
        cache: the features that a head was fitted on, which say what made them; pictures need it, or a body.
        request: all further options in one record, in place of ``options``.
        progress: told of samples done and of what is left out; True shows a bar.
        options: fields of :class:`PredictRequest`: ``top``, ``abstain``, ``on_error``, ``backbone``, ….

    Raises:
        UsageError, InputError, EnvironmentFault: model, body or data are not there or not of each other; on
            going through, an unreadable picture, or none that can be read.
    """
    asked, progress = request or public(PredictRequest)(**options), listener(progress)
    exported = isinstance(model, Path | str) and is_export(Path(model))
    if exported:
        refuse_given(asked, (*OF_BODIES, "classes"), "an export has its own body and class names")
    head = None if exported else _head(model)
    known = None if cache is None else open_cache(cache)
    features = _as_cache(data)
    if features is not None:
        refuse_given(asked, (*OF_BODIES, *_OF_PICTURES), "a feature cache needs no body and has no pictures")
    if head is not None:
        known = own_cache(head, known, asked, alone=features is not None)
        names, name = class_names(head, known or features, asked), head.name
    pictures = list_pictures(str(data), asked, progress) if features is None else None
    opened = _export(str(model), asked) if head is None else head
    if not isinstance(opened, Head):
        names, name = opened.classes, opened.path.name
    if features is not None:
        answered = _of_features(opened, features, progress)
    else:
        assert pictures is not None
        answered = _of_pictures(opened, known, pictures, asked, progress)
    keeps = features is None and asked.on_error == "keep"
    return Predictions(names, name, min(asked.top, len(names)), asked.abstain, answered, keeps)


def _head(model: Head | Path | str) -> Head:
    if isinstance(model, Head):
        return model
    if Path(model).is_dir():
        hint = "give a file of heads/, or what `ltfix export` wrote"
        raise InputError("neither a head nor an export", where=model, hint=hint)
    return load_head(model)


def _as_cache(data: CacheLike | Any) -> FeatureCache | None:
    """The feature cache that the data is, if it is one."""
    if isinstance(data, FeatureCache):
        return data
    if not isinstance(data, Path | str):  # of arrays the labels, if there are any, say nothing here
        x = numpy_of(data[0] if isinstance(data, tuple) else data)
        return open_cache((x, np.zeros(x.shape[:1], np.int64)))
    path = completed(data)
    return open_cache(path) if is_cache(path) or path.suffix in ENDINGS else None


def _export(path: str, request: PredictRequest) -> Exported:
    from ltfix.compute import resolve_device
    from ltfix.exporting.opened import open_export

    return open_export(path, str(resolve_device(request.device)))


def _of_pictures(
    model: Head | Exported,
    cache: FeatureCache | None,
    pictures: tuple[Iterator[Item], int | None],
    request: PredictRequest,
    progress: Progress,
) -> Answered:
    """The logits of pictures."""
    body = load_body(model, cache, request) if isinstance(model, Head) else None  # which looks, then imports

    from ltfix.compute import choose_compute, resolve_device
    from ltfix.predicting.classifiers import ExportOnPixels, HeadOnBody
    from ltfix.predicting.pictures import answer

    classifier: Classifier
    if isinstance(model, Head):
        assert body is not None
        device = resolve_device(request.device)
        compute = choose_compute(device, request.precision, channels_last=True, emulated=True)
        classifier = HeadOnBody(model, body, cache, compute)
    else:
        classifier = ExportOnPixels(model)
    items, n = pictures
    progress.start("predict", n or 0, "pictures")
    return answer(classifier, items, request, progress)


def _of_features(model: Head | Exported, cache: FeatureCache, progress: Progress) -> Answered:
    """The logits of a cache, with several views their mean."""
    if isinstance(model, Head):
        for line in check_features(NamedHead(model.name, model), cache):
            progress.note(line)
        blocks = logit_blocks(model, cache)
    elif model.preprocess is not None:
        raise UsageError("the export takes pictures, not features", where=cache.path)
    else:
        views = range(cache.tested_views)
        blocks = (
            (rows, np.mean([model.logits(x[:, v]) for v in views], 0)) for rows, x in cache.blocks(_ROWS)
        )
    return _named(blocks, cache, progress)


def _named(blocks: Iterable[tuple[slice, np.ndarray]], cache: FeatureCache, progress: Progress) -> Answered:
    samples = cache.samples or range(cache.n)
    progress.start("predict", cache.n, "samples")
    for rows, logits in blocks:
        yield [str(name) for name in samples[rows]], logits, {}
        progress.advance(len(logits))
    progress.finish()
