"""`fit`: a cache and a method in, heads out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltfix.errors import Unused, UsageError
from ltfix.features.read import CacheLike, FeatureCache
from ltfix.heads.head import Head
from ltfix.progress import SILENT, Progress, listener
from ltfix.public import public
from ltfix.stage2.methods.compatibility import decide, open_caches
from ltfix.stage2.methods.entries import METHODS
from ltfix.stage2.methods.method import NOTHING
from ltfix.stage2.methods.naming import head_name
from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.registry import Method, find_method
from ltfix.stage2.methods.values import LossLike, Values, resolve, with_loss

if TYPE_CHECKING:
    from ltfix.stage2.fitting.trace import Trace

__all__ = ["AUTO", "FitPlan", "Options", "fit", "plan_fit"]
AUTO = "auto"


@dataclasses.dataclass(frozen=True, slots=True)
class FitPlan:
    """What is to be fitted, whatever the cache; made by :func:`plan_fit`.

    Attributes:
        values: the method and its values; None: all methods are tuned and one is chosen ("auto").
        options: how to fit. loss: what replaced the method's own loss, if that was asked for.
        methods: of "auto", those that it chooses among; None: all.
    """

    values: Values | None
    options: Options
    loss: str | None = None
    methods: tuple[Method, ...] | None = None

    @property
    def name(self) -> str:
        """What a head of it is called when nobody names it."""
        if self.values is None:
            return AUTO
        return head_name(self.values, loss=self.loss, tuned=self.options.tune, options=self.options)

    def open(self, cache: CacheLike, val: CacheLike | None) -> tuple[FeatureCache, FeatureCache | None]:
        """The caches, with all refused that is known of a fit on them before torch is imported.

        Raises:
            UsageError, InputError: as :meth:`train`.
        """
        train, held, _ = open_caches(cache, val, self.options)
        if self.values is not None:
            decide(self.values, self.options, train)
        return train, held

    def train(
        self,
        cache: CacheLike,
        seeds: Sequence[int],
        *,
        val: CacheLike | None = None,
        trace: Trace | None = None,
        folder: Path | None = None,
        overwrite: bool = False,
        progress: Progress = SILENT,
    ) -> list[Head]:
        """Fit one head per seed, side by side; what is open is chosen once, with the first seed.

        Args:
            trace: told of every epoch; not of "auto", whose heads may be of any method.
            folder: where "auto" keeps the methods that it has tuned; None keeps nothing.
            overwrite: replace heads in the folder that something else wrote.

        Raises:
            UsageError: parts that make no sense together on this cache.
            InputError: a cache that is wrong or does not fit, one class only, a fit that diverges.
        """
        train, held = self.open(cache, val)

        from ltfix.stage2.fitting.context import Material
        from ltfix.stage2.tuning import auto
        from ltfix.stage2.tuning.budget import limit, watched
        from ltfix.stage2.tuning.method_fit import MethodFit
        from ltfix.stage2.tuning.store import Store

        material = Material.of(train, held, self.options, seeds[0], progress)
        with watched(material):
            if self.values is None:
                return auto.fit_auto(material, seeds, self.methods, Store(folder, overwrite))
            task = MethodFit.of(material, self.values)
            tuned_on = dataclasses.replace(task, material=limit([task], len(seeds)))
            return task.train(tuned_on.choose(), seeds, trace)


def plan_fit(
    method: Method | str,
    values: Mapping[str, Any] = NOTHING,
    *,
    loss: LossLike | None = None,
    origins: Mapping[str, str] | None = None,
    options: Options | None = None,
    methods: Sequence[Method | str] | None = None,
) -> FitPlan:
    """What :func:`fit` does with any cache: names and values are looked up and checked, once (UsageError)."""
    options, given = (options or Options()).beside(values)
    if method != AUTO:
        if methods is not None:
            what = "methods are what method auto chooses among"
            raise Unused(what, where="methods")
        options.demand_used()
        entry = with_loss(find_method(method), loss)
        if options.init is not None and entry.needs_no_start:
            what = f"method {entry.name} makes its rows itself, from no start"
            raise Unused(what, where="init")
        found = resolve(entry, given, origins)
        return FitPlan(found, options, str(found.method.loss) if loss is not None else None)
    if given or loss is not None:
        names = ", ".join([*given, *(["loss"] if loss is not None else [])])
        raise UsageError(f"method auto chooses {names} itself", where="method=auto", hint="leave it out")
    if methods is None or list(methods) == ["all"]:
        return FitPlan(None, options)
    named = dict[str, Method]()
    for each in (find_method(name, "methods") for name in methods):
        if named.setdefault(each.name, each) != each:
            what = f"{each.name} is asked for twice, for two methods"
            raise UsageError(what, where="methods", hint="call one of them otherwise")
    usual = {method.name: method for method in METHODS if method.name in named}
    return FitPlan(None, options, methods=tuple({**usual, **named}.values()))  # however they are ordered


@public
def fit(
    cache: CacheLike,
    method: Method | str = "samn",
    *,
    val: CacheLike | None = None,
    seed: int = 0,
    loss: LossLike | None = None,
    origins: Mapping[str, str] | None = None,
    progress: Progress | bool = SILENT,
    options: Options | None = None,
    methods: Sequence[Method | str] | None = None,
    folder: Path | str | None = None,
    **values: Any,
) -> Head:
    """Retrain the classifier on a training cache.

    >>> import numpy as np, ltfix
    >>> labels = np.repeat([0, 1, 2], [40, 12, 4])
    >>> stage1 = {"head.weight": np.eye(3, 8), "head.bias": np.zeros(3)}
    >>> np.savez("train.npz", features=np.eye(3, 8)[labels], labels=labels, **stage1)
    >>> head = ltfix.fit("train.npz", "samn", epochs=2)
    >>> head
    Head('samn', method='samn', K=3, dim=8, linear)
    >>> sha256 = head.save("heads/samn.safetensors")

    Args:
        cache: features [N, V, D] and labels of the training split, as a cache, its path, or arrays
            ``(X, y)``; a stage-1 classifier in it is the start of every method that continues from one.
        method: a name of ``ltfix.methods()``, a :class:`~ltfix.stage2.methods.method.Method` or where one
            is, ``"my.py:METHOD"``; or "auto": all are tuned and one is chosen on validation samples
            (:mod:`ltfix.stage2.tuning.auto`).
        val: validation features to choose on; without them a class-wise cut of the training samples
            serves where something is to be chosen. The test split is never read.
        loss: replaces the method's loss: a name, or a function of logits [n, K] and labels [n] (and, where
            it has a third parameter ``counts``, the training counts [K]) that gives their mean loss, or
            where that is, ``"my.py:loss"``. It is differentiated by autograd, which is slower.
        origins: where each of ``values`` came from, for the record.
        progress: told how far it is, and of notes: what is odd; True shows both, else no note is told.
        options: an :class:`Options`; its fields may be given among ``values`` instead.
        methods: of "auto", those that it chooses among; None: all.
        folder: where "auto" keeps what it has tuned, so that the same call goes on; None: nowhere.
        values: the method's values (``ltfix methods NAME`` lists them): ``lr=1e-3``, ``tau=0.7``, …

    Returns:
        The head: linear methods folded to weight and bias.

    Raises:
        UsageError: an unknown method, value, loss or option, or parts that make no sense together.
        InputError: a cache that is wrong or does not fit, one class only, a fit that diverges.
    """
    plan = plan_fit(method, values, loss=loss, origins=origins, options=options, methods=methods)
    place = None if folder is None else Path(folder)
    return plan.train(cache, [seed], val=val, folder=place, progress=listener(progress))[0]
