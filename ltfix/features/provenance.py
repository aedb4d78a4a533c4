"""What made features, as files say it, and whether others were made alike."""

from __future__ import annotations

from typing import Any

from ltfix.errors import InputError
from ltfix.features.cache import FeatureCache
from ltfix.features.layout import changes, differences
from ltfix.features.manifest import Contents
from ltfix.heads.head import Head

EXTRACTED = "extracted"  # in a head's metadata: what made the features that it was fitted on
_WEIGHTS = "weights_sha256"
_BUILT = ("args", "experts")  # what makes other features of the same weights; the second where it was given
PIXELS = ("image_size", "crop_pct", "mean", "std", "interpolation", "crop_mode")


def made_by(item: Head | FeatureCache | Contents) -> dict[str, Any]:
    """The backbone, how it was built, the hash of its weights, how pictures became its pixels, which views.

    Empty where a file does not say; of a stage-1 head without the pixels.
    """
    if isinstance(item, Head):
        known = item.meta.get(EXTRACTED)
        if isinstance(known, dict):
            return known
        backbone, pixels = item.meta.get("backbone"), dict[str, Any]()
    else:
        found = item.manifest if isinstance(item, FeatureCache) else item
        backbone, pixels = (None, {}) if found is None else (found.backbone, found.preprocess)
    if not isinstance(backbone, dict) or not backbone:
        return {}
    body = {"backbone": backbone.get("name"), _WEIGHTS: backbone.get(_WEIGHTS)}
    body |= {name: backbone[name] for name in _BUILT if name in backbone}
    return body | {name: pixels[name] for name in (*PIXELS, "views") if name in pixels}


def made_otherwise(one: Head | FeatureCache | Contents, other: FeatureCache | Contents) -> str:
    """In words, by what other weights, body or pixels; empty where alike, as far as both say."""
    return differences(*_common(one, other))


def demand_alike(one: Head | FeatureCache, other: FeatureCache, name: object) -> tuple[str, ...]:
    """Refuse features of other weights; of a body built otherwise or of other pixels, which may be meant,
    give a line that says so.

    Args:
        name: what to call the first.

    Raises:
        InputError: other weights made them, so that the features have nothing in common.
    """
    ours, theirs = _common(one, other)
    if _WEIGHTS in changes(ours, theirs):
        a, b = made_by(one).get("backbone"), made_by(other).get("backbone")
        told = f"other weights of {a}" if a == b else f"of {a} and of {b}"
        hint = "extract both by one `ltfix extract`, and fit on what it wrote"
        hint = "take features of the weights that it was fitted on" if isinstance(one, Head) else hint
        raise InputError(f"{name} and {other.path} are of different features: {told}", hint=hint)
    told = differences(ours, theirs)
    what = "pictures prepared" if all(n in PIXELS for n in changes(ours, theirs)) else "features made"
    return (f"{name} and {other.path} are of {what} otherwise: {told}.",) if told else ()


def _common(one: Head | FeatureCache | Contents, other: FeatureCache | Contents) -> list[dict[str, Any]]:
    """What both say, of each."""
    known = [made_by(one), made_by(other)]
    names = [n for n in (_WEIGHTS, "args", *PIXELS) if all(made.get(n) is not None for made in known)]
    names += ["experts"] if "args" in names else []  # without them it says that there are none
    return [{name: made.get(name) for name in names} for made in known]
