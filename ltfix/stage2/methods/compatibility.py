"""Whether caches, a method and its start go together; asked before anything is fitted or torch imported."""

from __future__ import annotations

import numpy as np

from ltfix.errors import InputError, Unused, UsageError
from ltfix.features.cache import FeatureCache
from ltfix.features.foreign import ask_from_1
from ltfix.features.provenance import demand_alike
from ltfix.features.read import CacheLike, open_cache
from ltfix.heads.head import Head, load_head
from ltfix.stage2.methods.method import find_start
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.presets import with_preset
from ltfix.stage2.methods.values import Values


def open_caches(
    train: CacheLike, held: CacheLike | None, options: Options, test: CacheLike | None = None
) -> tuple[FeatureCache, FeatureCache | None, FeatureCache | None]:
    """The training, validation and test caches, their labels numbered alike.

    Raises:
        InputError: they are wrong, or do not fit each other or the head to start from; one class only;
            nothing to calibrate on.
    """
    opened = _as_start(open_cache(train), options)
    held, test = (None if one is None else open_cache(one, opened.classes or ()) for one in (held, test))
    opened.demand_labels()
    if int((opened.counts > 0).sum()) < 2:
        raise InputError("all samples are of one class", where=opened.path, hint="a classifier needs two")
    for other, name in ((held, "validation"), (test, "test")):
        if other is not None:
            _demand_pair(opened, other, name)
    if options.calibrate and held is None and opened.head is not None:
        what = "the backbone was trained on these samples, so they ask for far too low a temperature"
        hint = "give others by val=CACHE, or fit without and use `ltfix calibrate`"
        raise InputError(what, where=opened.path, hint=hint)
    given_head(options, opened)
    return opened, held, test


def _as_start(train: FeatureCache, options: Options) -> FeatureCache:
    """The training cache with names that it numbered itself numbered as the head to start from has them."""
    head = _start(options)
    names = () if head is None or not train.own_order else head.classes or ()
    return train.numbered(names) if set(names) == set(train.classes or ()) else train


def _demand_pair(train: FeatureCache, other: FeatureCache, name: str) -> None:
    """Refuse a cache to score on that is not like the training cache in weights, D, classes or K."""
    other.demand_labels()
    demand_alike(train, other, train.path)
    if other.dim != train.dim:
        raise InputError(f"{name} features have D = {other.dim}, training D = {train.dim}", where=other.path)
    if int(other.labels.max()) >= train.n_classes:
        largest = int(other.labels.max())
        ask = ask_from_1(other.counts, other.classes) if largest == train.n_classes else None
        hint = ask or f"the training features, {train.path}, have classes 0 to {train.n_classes - 1} alone"
        told = f"{name} label {largest} is not below K = {train.n_classes}"
        raise InputError(told, where=other.path, hint=hint)
    if other.classes and train.classes and other.classes != train.classes:
        raise InputError(f"{name} and training classes differ", where=other.path)


def _start(options: Options) -> Head | None:
    """The head that ``init`` gives, if any."""
    own = None if options.init is None else find_start(options.init).own
    return own if isinstance(own, Head | None) else load_head(own)


def given_head(options: Options, train: FeatureCache) -> Head | None:
    """The head that ``init`` gives, if any; InputError where training on this cache cannot start from it."""
    head = _start(options)
    if head is None:
        return None
    where = head.path or head.name
    if head.transform is not None:
        what = f"no linear head ({head.transform['kind']}), so training cannot start from it"
        raise InputError(what, where=where)
    k, dim = train.n_classes, train.dim
    if head.weight.shape != (k, dim):
        what = f"K, D = {head.n_classes}, {head.dim}, where the training features have {k}, {dim}"
        one_more = (k, dim) == (head.n_classes + 1, head.dim)
        hint = ask_from_1(train.counts, train.classes) if one_more else None
        raise InputError(what, where=where, hint=hint)
    if head.classes is not None and train.classes is not None and head.classes != train.classes:
        i, own = next((i, own) for i, own in enumerate(head.classes) if own != train.classes[i])
        what = f"its classes are not those of the training features: {i} is {own!r}, not {train.classes[i]!r}"
        raise InputError(what, where=where)
    if head.classes is None or train.classes is None:
        train.numbered(head.classes or ())  # which refuses names or numbers that may count otherwise
    demand_alike(head, train, where)
    return head


def decide(values: Values, options: Options, train: FeatureCache) -> tuple[Values, str | None]:
    """The values with those that a preset and the cache decide; and in a line what the preset did.

    Raises:
        UsageError, InputError: as :func:`demand_sense`.
    """
    told = None
    if options.preset is not None:
        values, told = with_preset(values, options.preset, train)
    values = values.for_classes(train.n_classes)
    demand_sense(values, options, train)
    return values, told


def demand_sense(values: Values, options: Options, train: FeatureCache) -> None:
    """Refuse what would train noise, or what no head file could hold.

    Raises:
        UsageError: a start or a normalisation that this method cannot use.
        InputError: fixed simplex directions, and a cache without the classifier that has them.
    """
    method, head = values.method, values.parts["head"]
    start = method.init if options.init is None else find_start(options.init)
    if start.noise and method.keeps_start:
        raise UsageError(
            f"{method.name} keeps the rows it starts from, and these would be noise", where="init"
        )
    step = values.parts.get("posthoc")
    if method.loss is None and step is not None and step.corrects_prior and not start.trained:
        what = f"{method.name} corrects for the training counts, of which init={start.name} knows nothing"
        raise UsageError(what, where=f"init={start.name}", hint="use init=stage1 or init=probe")
    if head.reads_norms and not start.trained:
        what = f"row norms say nothing of the classes with init={start.name}"
        raise UsageError(what, where="metric=norm", hint="use freq")
    why = _against(values, options.normalize)
    if why is not None:
        raise UsageError(why, where=f"normalize={options.normalize}", hint="use normalize=none")
    if head.simplex:
        if not start.simplex:
            why = f"{head.name} keeps the directions of stage 1"
            raise Unused(why, where=f"init={start.name}")
        _demand_simplex(head.name, train)


def keeps_features(values: Values) -> bool:
    """Whether a method needs its features as they are, which is what ``normalize="auto"`` then means."""
    return _against(values, "standardize") is not None and not values.any("mean_feature")


def _against(values: Values, normalize: str) -> str | None:
    """Why a method cannot have its features normalised so; None: it can."""
    if normalize not in ("standardize", "l2"):
        return None
    name, transforms = values.method.name, values.any("transforms")
    if values.any("raw_features") and not transforms:
        return f"{name} keeps the geometry of its features"
    if values.any("mean_feature") and normalize == "standardize":
        return f"the mean feature that {name} takes out is zero then"
    if values.any("raw_features") or (normalize == "l2" and transforms):
        return f"{name} has a transform of its own, which no head file holds beside a normalisation"
    return None


def _demand_simplex(name: str, train: FeatureCache) -> None:
    """Refuse a start that is no simplex ETF: the fixed directions must be the learned ones (InputError)."""
    hint = "train one with `ltfix.train_backbone(..., recipe='etf-fr')`; elsewhere a fixed ETF is at chance"
    if train.head is None:
        raise InputError(
            f"{name} needs the stage-1 ETF classifier of its backbone", where=train.path, hint=hint
        )
    k, dim = train.head.weight.shape
    if dim < k - 1:
        raise InputError(f"{name} needs D ≥ K − 1, found D = {dim}, K = {k}", where=train.path, hint=hint)
    unit = train.head.weight / np.linalg.norm(train.head.weight, axis=1, keepdims=True).clip(1e-12)
    cosines = (unit @ unit.T)[~np.eye(k, dtype=bool)]
    if np.abs(cosines + 1 / (k - 1)).max() > 1e-2:
        raise InputError("its stage-1 classifier is no simplex ETF", where=train.path, hint=hint)
