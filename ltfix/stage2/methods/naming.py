"""What a head file is called when nobody names it: the method and what sets it apart."""

from __future__ import annotations

from pathlib import Path

from ltfix.stage2.methods.options import Options
from ltfix.stage2.methods.values import Values

APART = ("init", "normalize", "views_used", "precision", "select")
TUNED = "tuned"


def head_name(
    values: Values, *, loss: str | None = None, tuned: bool = False, options: Options | None = None
) -> str:
    """``samn-freq``, ``los-delta0.9``: the method, SAMN's metric, and what differs from the defaults.

    Args:
        values: from :func:`ltfix.stage2.methods.values.resolve`.
        loss: the loss that replaced the method's own, if one did.
        tuned: values were searched.
        options: how it was fitted; what is not the default there is part of the name too.
    """
    method, spec = values.method, values.spec
    parts = [f"{method.name}+{loss}" if loss else method.name]
    if "metric" in spec:
        parts.append(values["metric"])
    for name, value in spec.items():
        if name != "metric" and values.origin[name] != "default" and values[name] != value.default:
            word = str(values[name]) if value.choices else f"{values[name]:g}"
            named = name.replace("_", "")
            parts.append(f"no-{named}" if word == "none" else word if value.choices else named + word)
    options, plain = options or Options(), Options()
    words = [getattr(options, name) for name in APART if getattr(options, name) != getattr(plain, name)]
    words = [Path(getattr(word, "name", word)).stem for word in words] + (
        [f"preset-{options.preset}"] if options.preset else []
    )
    parts += ["raw" if word == "none" else word for word in words]
    parts += [TUNED] * tuned + ["calibrated"] * bool(options.calibrate)
    return "-".join(parts + ["shots"] * (options.calibrate == "shots"))
