"""ltfix as an estimator of scikit-learn, which is imported when the class is asked for."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ltfix.errors import EnvironmentFault, UsageError
from ltfix.features.read import open_cache
from ltfix.heads.head import Head, load_head
from ltfix.progress import Progress
from ltfix.stage2.fit import fit
from ltfix.stage2.methods.method import find_start

if TYPE_CHECKING:
    from ltfix.stage2.methods.method import Method
    from ltfix.stage2.methods.values import LossLike


_APART = {"method": "method", "loss": "loss", "seed": "random_state", "progress": "progress"}
"""Arguments of a fit that are no values, and what they are called here."""


class _Absent:
    def __new__(cls, *given: Any, **named: Any) -> Any:
        hint = 'pip install "ltfix[sklearn]"'
        raise EnvironmentFault("scikit-learn 1.6 or newer is not installed", hint=hint)


_BASES: tuple[Any, ...] = (_Absent,)
with contextlib.suppress(ImportError):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data

    _BASES = (ClassifierMixin, BaseEstimator)


class LongTailClassifier(*_BASES):  # type: ignore[misc]
    """A stage-2 method as a classifier of scikit-learn, over features of a frozen backbone.

    >>> import numpy as np, ltfix
    >>> y = np.repeat(["cat", "dog", "owl"], [40, 12, 4])
    >>> X = np.repeat(np.eye(3, 8), [40, 12, 4], axis=0)
    >>> model = ltfix.LongTailClassifier("samn", epochs=2).fit(X, y)
    >>> model.predict(np.eye(3, 8)).tolist(), model.score(X, y)
    (['cat', 'dog', 'owl'], 1.0)

    Args:
        method, loss: as :func:`ltfix.fit` takes them.
        lr, weight_decay, batch_size, epochs: of the method; None: as published.
        normalize, tune: how to fit, see :func:`ltfix.fit`.
        values: further values of the method and options of the fit, by name: ``{"delta": 0.9}``.
        random_state: the seed; None is 0, since equal seeds give equal results.
        progress: True shows a bar and notes; else no note is told.

    Attributes:
        classes_: [K] the labels that ``y`` had, sorted. n_features_in_: D.
        head_: the :class:`ltfix.Head`, which knows the classes as text: ``model.head_.save(path)``.
    """

    def __init__(
        self,
        method: Method | str = "samn",
        *,
        loss: LossLike | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        normalize: str = "auto",
        tune: bool = False,
        values: Mapping[str, Any] | None = None,
        random_state: Any = None,
        progress: Progress | bool = False,
    ) -> None:
        self.method, self.loss = method, loss
        self.lr, self.weight_decay, self.batch_size, self.epochs = lr, weight_decay, batch_size, epochs
        self.normalize, self.tune, self.values = normalize, tune, values
        self.random_state, self.progress = random_state, progress

    def fit(self, X: Any, y: Any) -> LongTailClassifier:
        """Retrain the classifier on features X [n, D] and labels y [n].

        Raises:
            ValueError: X or y is nothing that scikit-learn takes, or y has one class only.
            LtfixError: as :func:`ltfix.fit`; an argument of this class stands among ``values``.
        """
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class in n_samples = {len(y)}: a classifier needs two")
        for name, argument in _APART.items():
            if name in (self.values or {}):
                raise UsageError(
                    f"{name} is no value", where="values", hint=f"LongTailClassifier({argument}=…)"
                )
        own = {name: getattr(self, name) for name in ("lr", "weight_decay", "batch_size", "epochs")}
        given = {"normalize": self.normalize, "tune": self.tune, **(self.values or {})}
        given |= {name: value for name, value in own.items() if value is not None}
        seed = 0 if self.random_state is None else self.random_state
        seed = int(seed if isinstance(seed, Integral) else check_random_state(seed).randint(2**31))
        names = tuple(map(str, self.classes_))
        given |= {"init": _in_order(given["init"], names)} if "init" in given else {}
        cache = open_cache((X, np.array(names)[numbers]), names)  # as a head to start from may know names
        self.head_: Head = fit(cache, self.method, loss=self.loss, seed=seed, progress=self.progress, **given)
        return self

    def _logits(self, X: Any) -> np.ndarray:
        """[n, K] float64."""
        import torch

        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        found: np.ndarray = self.head_.logits(torch.from_numpy(np.ascontiguousarray(X))).numpy()
        return found

    def decision_function(self, X: Any) -> np.ndarray:
        """The logits [n, K]; of two classes [n], by how much the second leads."""
        z = self._logits(X)
        return np.asarray(z[:, 1] - z[:, 0]) if z.shape[1] == 2 else z

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [n, K], the softmax of the logits."""
        z = self._logits(X)
        e = np.exp(z - z.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest of ``classes_`` for each sample, [n]."""
        best = self._logits(X).argmax(1)
        return np.asarray(self.classes_[best])


def _in_order(init: Any, names: tuple[str, ...]) -> Any:
    """A head, or that of a file, with its rows in the order of ``classes_``, where it knows these names."""
    own = None if init is None else find_start(init).own
    head = load_head(own) if isinstance(own, Path) and own.is_file() else own
    if not isinstance(head, Head) or head.transform is not None or head.classes is None:
        return init
    if head.classes == names or set(head.classes) != set(names):
        return init
    rows = [head.classes.index(name) for name in names]
    divided = None if head.temperature is None else head.temperature[rows]
    weight, bias = head.weight[rows], head.bias[rows]
    return dataclasses.replace(
        head, weight=weight, bias=bias, temperature=divided, classes=names, counts=None
    )
