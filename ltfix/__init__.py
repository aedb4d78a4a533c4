"""Repair the bias of long-tailed classifiers by retraining only the last layer.

The names below load their modules on first use: ``import ltfix`` itself stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ltfix._version import __version__ as __version__

if TYPE_CHECKING:
    from ltfix.errors import EnvironmentFault as EnvironmentFault
    from ltfix.errors import GateMissed as GateMissed
    from ltfix.errors import InputError as InputError
    from ltfix.errors import LtfixError as LtfixError
    from ltfix.errors import UsageError as UsageError
    from ltfix.estimator import LongTailClassifier as LongTailClassifier
    from ltfix.evaluation.measure import evaluate as evaluate
    from ltfix.evaluation.temperature import calibrate as calibrate
    from ltfix.exporting.export import export as export
    from ltfix.exporting.opened import open_export as open_export
    from ltfix.extraction.extract import extract as extract
    from ltfix.features.read import FeatureCache as FeatureCache
    from ltfix.features.read import open_cache as open_cache
    from ltfix.heads.head import Head as Head
    from ltfix.heads.head import load_head as load_head
    from ltfix.importing.importing import import_features as import_features
    from ltfix.pava import isotonic as isotonic
    from ltfix.predicting.predict import predict as predict
    from ltfix.stage1.recipes import recipes as recipes
    from ltfix.stage1.train import train_backbone as train_backbone
    from ltfix.stage2.fit import fit as fit
    from ltfix.stage2.layers.samn import SAMNLinear as SAMNLinear
    from ltfix.stage2.methods.registry import Method as Method
    from ltfix.stage2.methods.registry import methods as methods
    from ltfix.stage2.tables.compare import compare as compare
    from ltfix.stage2.tables.sweep import sweep as sweep

_PUBLIC = {
    "EnvironmentFault": "ltfix.errors",
    "FeatureCache": "ltfix.features.read",
    "GateMissed": "ltfix.errors",
    "Head": "ltfix.heads.head",
    "InputError": "ltfix.errors",
    "LongTailClassifier": "ltfix.estimator",
    "LtfixError": "ltfix.errors",
    "Method": "ltfix.stage2.methods.method",
    "SAMNLinear": "ltfix.stage2.layers.samn",
    "UsageError": "ltfix.errors",
    "calibrate": "ltfix.evaluation.temperature",
    "compare": "ltfix.stage2.tables.compare",
    "evaluate": "ltfix.evaluation.measure",
    "export": "ltfix.exporting.export",
    "extract": "ltfix.extraction.extract",
    "fit": "ltfix.stage2.fit",
    "import_features": "ltfix.importing.importing",
    "isotonic": "ltfix.pava",
    "load_head": "ltfix.heads.head",
    "methods": "ltfix.stage2.methods.registry",
    "open_cache": "ltfix.features.read",
    "open_export": "ltfix.exporting.opened",
    "predict": "ltfix.predicting.predict",
    "recipes": "ltfix.stage1.recipes",
    "sweep": "ltfix.stage2.tables.sweep",
    "train_backbone": "ltfix.stage1.train",
}
__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ltfix' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
