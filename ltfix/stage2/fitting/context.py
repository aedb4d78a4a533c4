"""What the fits on one training cache share: its samples, the validation samples, the starts."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch

from ltfix._version import __version__
from ltfix.compute import Compute, choose_compute, exact_products, resolve_device
from ltfix.evaluation.given import is_same
from ltfix.evaluation.temperature import calibrate, on_samples
from ltfix.features.cache import FeatureCache
from ltfix.features.foreign import unread_layer
from ltfix.features.provenance import EXTRACTED, demand_alike, made_by
from ltfix.heads.head import INIT, PROBE, Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting.probe import find_probe
from ltfix.stage2.fitting.runs import Fitter
from ltfix.stage2.fitting.validation import FRACTION, OWN, Validation, is_fresh, told_seen, validation_samples
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Scaling, natural
from ltfix.stage2.methods.catalog import STARTS
from ltfix.stage2.methods.compatibility import given_head, open_caches
from ltfix.stage2.methods.method import find_part
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.parts import Part

P = ParamSpec("P")
T = TypeVar("T")

ASKED = (
    *("init", "preset", "views_used", "normalize", "feature_scale"),
    *("select", "val_fraction", "val_per_class", "precision"),
)
"""Options that a head file names where they were given, so that the same can be asked again."""
FOLDS = 5
FOLD_SAMPLES = 10_000
"""So many samples, at most ``FOLDS`` times over, are fitted to choose: a small cut is noisy, and cheap."""


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """How much of what tuning could try it tries: what a budget leaves of it.

    Attributes:
        folds: cuts at most. samples: share of the training samples. settings: share of the candidates, those
            nearest to the published one.
        about: for the head file; empty where nothing is left out.
    """

    folds: int = FOLDS
    samples: float = 1.0
    settings: float = 1.0
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def of(self, tried: list[T]) -> list[T]:
        """Its share of candidates, which are in order; at least one."""
        return tried[: max(1, math.ceil(self.settings * len(tried)))]


def _once(find: Callable[Concatenate[Material, P], T]) -> Callable[Concatenate[Material, P], T]:
    """A method that finds its answer once for all copies of a record, whichever thread asks first."""

    @functools.wraps(find)
    def asked(material: Material, /, *given: P.args, **named: P.kwargs) -> T:
        what = (find.__name__, *given)
        with material._lock:
            if what not in material._found:
                material._found[what] = find(material, *given, **named)
            found: T = material._found[what]
            return found

    return asked


@dataclasses.dataclass(frozen=True)
class Material:
    """A training cache, and what is found out about it once for all fits, by whichever thread asks first.

    A copy for another listener (``dataclasses.replace(material, progress=…)``) shares what was found.

    Attributes:
        train: the cache. held: the validation cache, if there is one.
        options: how to fit. compute: on what device, in what precision. seed: of the validation cuts.
        progress: who listens.
        data: the training samples. natural: how such features are normalised (``normalize="auto"``).
        stage1: the classifier that came with them, where it is linear.
        given: the head that every fit begins with, where one was given (``init``).
        search: how much tuning tries.
    """

    train: FeatureCache
    held: FeatureCache | None
    options: Options
    compute: Compute
    seed: int
    progress: Progress
    data: Features
    natural: str
    stage1: Head | None
    given: Head | None = None
    search: Search = Search()
    _found: dict[Hashable, Any] = dataclasses.field(default_factory=dict, repr=False)
    _lock: AbstractContextManager[Any] = dataclasses.field(default_factory=threading.RLock, repr=False)

    @classmethod
    def of(
        cls,
        train: FeatureCache,
        held: FeatureCache | None,
        options: Options,
        seed: int,
        progress: Progress = SILENT,
    ) -> Material:
        """What can be said before anything is fitted.

        Raises:
            InputError: caches that do not fit each other, one class only, a feature that is not finite,
                nothing to calibrate on.
            UsageError, EnvironmentFault: there is no such device, or it lacks the precision.
        """
        train, held, _ = open_caches(train, held, options)
        given = given_head(options, train)
        lines = () if held is None else demand_alike(train, held, train.path)
        for line in lines + (() if given is None else demand_alike(given, train, given.path or given.name)):
            progress.note(line)
        if held is not None and is_same(train, held):
            progress.note(f"val is {held.path}, {OWN}; without val a cut of it serves")
        compute = choose_compute(resolve_device(options.device), options.precision, products=True)
        data = Features.of(train, options.views_used, options.stream)
        stage1 = train.head
        if stage1 is not None and stage1.transform is not None:
            kind = stage1.transform["kind"]
            progress.note(f"the stage-1 classifier is not linear ({kind}): the linear probe stands in for it")
            stage1 = None
        layer = unread_layer(train.path) if stage1 is None and options.init in (None, "stage1") else None
        if layer is not None:
            how = f'`ltfix.import_features("{train.path}", head_from="{train.path}:{layer}")`'
            progress.note(f"{train.path} holds {layer}.weight, read as no classifier; {how} makes it stage 1")
        usual = natural(data.some_rows(), continued=stage1 is not None)
        if given is not None:
            given = dataclasses.replace(given, method=INIT, path=None, label="")
        return cls(train, held, options, compute, seed, progress, data, usual, stage1, given)

    def warm_up(self) -> None:
        """Find out what all fits will ask for, before several threads do."""
        self.reference()
        self.start_directions()

    @_once
    def note_once(self, text: str) -> None:
        """Say one line, however often it is asked for."""
        self.progress.note(text)

    @property
    def normalize(self) -> str:
        """What is done to the features where a method has nothing against it."""
        return self.natural if self.options.normalize == "auto" else self.options.normalize

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.data.counts)

    @_once
    def folds(self) -> list[Validation]:
        """The validation cache, or the cuts of the training samples.

        Raises:
            InputError: every class has one sample. UsageError: both a cache and a cut are asked for.
        """
        return validation_samples(
            self.data,
            self.held,
            seed=self.seed,
            seen=told_seen(self.train, self.given),
            fraction=self.options.val_fraction or FRACTION,
            per_class=self.options.val_per_class,
            stream=self.options.stream,
            own=is_same(self.train, self.held),
            fresh=is_fresh(self.train, self.held, self.given),
            folds=int(np.clip(round(FOLD_SAMPLES / len(self.data)), 1, self.search.folds)),
            progress=self.progress,
        )

    def held_labels(self) -> np.ndarray:
        """[N] labels of the validation samples, fold after fold."""
        return np.concatenate([fold.held.labels for fold in self.folds()])

    @_once
    def reference(self) -> np.ndarray:
        """[N] whether the start is right on the validation samples, fold after fold."""
        return self.right(self.start)

    def right(self, fit: Callable[[Features], Head]) -> np.ndarray:
        """[N] whether heads fitted on what the folds leave are right on the rest; if not finite, nowhere."""
        found = [(fold, fold.correct(fit(fold.train))) for fold in self.folds()]
        return np.concatenate([np.zeros(len(fold.held), bool) if r is None else r for fold, r in found])

    @_once
    def start_directions(self) -> list[np.ndarray]:
        """[n, K] a fold: what the start says of its validation samples."""
        return [fold.directions(self.start(fold.train)) for fold in self.folds()]

    def start(self, data: Features) -> Head:
        """The head that was given, else the stage-1 classifier, else the linear probe of ``data``: for raw
        features, its method one of ``BEFORE``."""
        return self.came or self._probe(data)

    @property
    def came(self) -> Head | None:
        """What fits begin with where that is not a probe, which has to be solved first."""
        return self.given or (None if self.options.init == PROBE else self.train.head)

    def calibrated(self, heads: list[Head], fit: Callable[[Features], list[Head]]) -> list[Head]:
        """The heads with the temperatures that validation samples ask for, if that was asked for.

        Without a validation cache they are those of fits on what the cuts leave, since a head is too sure of
        samples that it was fitted on.

        Args:
            fit: the same heads fitted on fewer samples.
        """
        by = self.options.calibrate
        if by is None:
            return heads
        if self.held is not None:
            return [calibrate(head, self.held, by) for head in heads]
        folds, labels = self.folds(), self.held_labels()
        fitted = [fit(fold.train) for fold in folds]
        return [
            on_samples(head, functools.partial(_blocks, folds, parts), labels, folds[0].where, by)
            for head, *parts in zip(heads, *fitted, strict=True)
        ]

    def recorded(self, head: Head, seed: int, selection: Mapping[str, Any], **more: Any) -> Head:
        """A finished head with what its file says of it, whatever made it; ``more`` is of that."""
        versions = {"ltfix": __version__, "torch": torch.__version__}
        of_all = {"seed": seed, "selection": selection, "cache": self.train.identity, "versions": versions}
        of_all |= {} if self.held is None else {"val": self.held.identity}
        of_all |= {EXTRACTED: made} if (made := made_by(self.train)) else {}
        own, plain = self.options, Options()
        asked = {name: getattr(own, name) for name in ASKED if getattr(own, name) != getattr(plain, name)}
        if not (isinstance(own.init, str) and own.init in STARTS):  # a head's file is told elsewhere
            asked.pop("init", None)
        of_all |= {"asked": asked} if asked else {}
        train, meta = self.train, {**more, **of_all}
        return dataclasses.replace(
            head, classes=train.classes, counts=train.counts, meta=meta, path=None, label=""
        )

    @_once
    def scaling(self, data: Features, normalize: str) -> Scaling:
        """What is done to the features of ``data`` while fitting on them, normalised so."""
        return Scaling.of(data.some_rows(), self.options.feature_scale, normalize)

    def fitter(self, data: Features, init: Part | str, scale: float, normalize: str) -> Fitter:
        """What fits on ``data`` (all samples, or those a fold leaves).

        Args:
            init: where it starts. scale: so many times the usual feature scale.
            normalize: what is done to the features first: "none", "standardize" or "l2".
        """
        scaling = self.scaling(data, normalize)
        scaling = dataclasses.replace(scaling, scale=scaling.scale * scale)
        start = find_part("start", init).function(data, scaling, self.stage1, lambda: self._probe(data))
        return Fitter(data, start, scaling, self.compute, self.progress)

    @_once
    def _probe(self, data: Features) -> Head:
        asked = None if self.options.init == PROBE else self.options.normalize
        normalize = "standardize" if "standardize" in (self.natural, asked) else "none"
        whole = data is self.data
        penalty = None if whole else self._probe(self.data).meta["penalty"]
        with exact_products():
            return find_probe(
                data,
                self.compute.device,
                beside=self.train if whole and not self.options.no_cache else None,
                normalize=normalize,
                penalty=penalty,
                progress=self.progress,
            )


def _blocks(folds: Sequence[Validation], heads: Sequence[Head]) -> Iterator[tuple[slice, np.ndarray]]:
    """The logits of all folds, one after the other, each of its own head."""
    start = 0
    for fold, head in zip(folds, heads, strict=True):
        for part, logits in fold.blocks(head):
            yield slice(start + part.start, start + part.stop), logits
        start += len(fold.held)
