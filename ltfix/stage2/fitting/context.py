"""What the fits on one training cache share: its samples, the validation samples, the starts."""

from __future__ import annotations

import copy
import dataclasses
import threading

import numpy as np
import torch

from ltfix.compute import choose_compute, resolve_device
from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress
from ltfix.stage2.fitting.probe import fit_probe
from ltfix.stage2.fitting.runs import Fitter
from ltfix.stage2.fitting.starts import find_start
from ltfix.stage2.fitting.validation import FRACTION, Validation, validation_samples
from ltfix.stage2.loop.data import Features
from ltfix.stage2.loop.scaling import Coordinates, natural
from ltfix.stage2.methods.options import Options

FOLDS = 5
FOLD_SAMPLES = 10_000
"""So many samples, at most ``FOLDS`` times over, are fitted to choose: a small cut is noisy, and cheap."""


@dataclasses.dataclass(slots=True)
class Material:
    """A training cache, and what is found out about it once for all fits.

    Attributes:
        train: the cache. held: the validation cache, if there is one.
        options: how to fit. seed: of the validation cuts and of the probe's.
        data: the training samples. natural: how such features are normalised (``normalize="auto"``).

    Raises:
        InputError: caches that do not fit each other, one class only, a feature that is not finite.
        UsageError, EnvironmentFault: there is no such device, or it lacks the precision.
    """

    train: FeatureCache
    held: FeatureCache | None
    options: Options
    seed: int
    progress: Progress = SILENT
    data: Features = dataclasses.field(init=False)
    natural: str = dataclasses.field(init=False)
    _folds: list[Validation] | None = None
    _probes: dict[int, tuple[Features, Head]] = dataclasses.field(default_factory=dict)
    _reference: np.ndarray | None = None
    _directions: list[np.ndarray] | None = None
    _continued: Head | None = None
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        _check_caches(self.train, self.held)
        compute = choose_compute(resolve_device(self.options.device), self.options.precision)
        self.options = dataclasses.replace(self.options, device=str(compute.device))
        self.data = Features.of(self.train, self.options.views_used, self.options.stream)
        self.natural = natural(self.data.some_rows())
        self._continued = self.train.head
        if self._continued is not None and self._continued.transform is not None:
            kind = self._continued.transform["kind"]
            self.progress.note(
                f"the stage-1 classifier is not linear ({kind}): the linear probe stands in for it"
            )
            self._continued = None

    def telling(self, progress: Progress) -> Material:
        """The same for another listener; what was found out so far is shared."""
        other = copy.copy(self)
        other.progress = progress
        return other

    def warm_up(self) -> None:
        """Find out once what all fits will ask for, before several threads do.

        Raises:
            InputError: nothing can be held out.
        """
        self.reference()
        self.start_directions()

    @property
    def normalize(self) -> str:
        """What is done to the features where a method has nothing against it."""
        return self.natural if self.options.normalize == "auto" else self.options.normalize

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.data.counts)

    def folds(self) -> list[Validation]:
        """The validation cache, or the cuts of the training samples.

        Raises:
            InputError: every class has one sample. UsageError: both a cache and a cut are asked for.
        """
        if self._folds is None:
            self._folds = validation_samples(
                self.data,
                self.held,
                seed=self.seed,
                seen=self.train.head is not None,
                fraction=self.options.val_fraction or FRACTION,
                per_class=self.options.val_per_class,
                stream=self.options.stream,
                folds=int(np.clip(round(FOLD_SAMPLES / len(self.data)), 1, FOLDS)),
                progress=self.progress,
            )
        return self._folds

    def held_labels(self) -> np.ndarray:
        """[N] labels of the validation samples, fold after fold."""
        return np.concatenate([fold.held.labels for fold in self.folds()])

    def reference(self) -> np.ndarray:
        """[N] whether stage 1 (else the probe) is right on the validation samples, fold after fold."""
        if self._reference is None:
            right = []
            for fold in self.folds():
                start = self.start(fold.train)
                found = fold.correct(start)
                right.append(np.zeros(len(fold.held), bool) if found is None else found)
            self._reference = np.concatenate(right)
        return self._reference

    def start_directions(self) -> list[np.ndarray]:
        """[n, K] a fold: what stage 1 (else the probe) says of its validation samples."""
        if self._directions is None:
            self._directions = [fold.directions(self.start(fold.train)) for fold in self.folds()]
        return self._directions

    def start(self, data: Features) -> Head:
        """The stage-1 classifier, else the linear probe of ``data``, for raw features."""
        return self._probe(data) if self.train.head is None else self.train.head

    def fitter(self, data: Features, init: str, scale: float, normalize: str) -> Fitter:
        """What fits on ``data`` (all samples, or those a fold leaves).

        Args:
            init: where it starts. scale: so many times the usual feature scale.
            normalize: what is done to the features first: "none", "standardize" or "l2".
        """
        o, device = self.options, torch.device(self.options.device)
        coordinates = Coordinates.of(data.some_rows(), o.feature_scale, normalize)
        coordinates = dataclasses.replace(coordinates, scale=coordinates.scale * scale)
        start = find_start(init, data, coordinates, stage1=self._continued, probe=lambda: self._probe(data))
        return Fitter(data, start, coordinates, device, self.progress, o.precision)

    def _probe(self, data: Features) -> Head:
        with self._lock:  # several threads may ask for the same
            if id(data) not in self._probes:
                device = torch.device(self.options.device)
                found = fit_probe(data, device, normalize=self.natural, progress=self.progress)
                self._probes[id(data)] = data, found
        return self._probes[id(data)][1]


def _check_caches(train: FeatureCache, held: FeatureCache | None) -> None:
    if int((train.counts > 0).sum()) < 2:
        raise InputError("all samples are of one class", where=train.path, hint="a classifier needs two")
    if held is not None:
        check_pair(train, held, "validation")


def check_pair(train: FeatureCache, other: FeatureCache, name: str) -> None:
    """Refuse a cache to score on that does not fit the training cache.

    Raises:
        InputError: D or the class names differ, or a label is not below K.
    """
    if other.dim != train.dim:
        raise InputError(f"{name} features have D = {other.dim}, training D = {train.dim}", where=other.path)
    if int(other.labels.max()) >= train.n_classes:
        largest = int(other.labels.max())
        raise InputError(f"{name} label {largest} is not below K = {train.n_classes}", where=other.path)
    if other.classes and train.classes and other.classes != train.classes:
        raise InputError(f"{name} and training classes differ", where=other.path)
